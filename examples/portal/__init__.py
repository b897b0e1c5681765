"""A small web application in which users log in with Zoho, and the tasks that it hands to Celery."""
