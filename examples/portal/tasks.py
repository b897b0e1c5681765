"""Work on behalf of users: ``celery -A portal.tasks worker``.

A task gets the id of the user's record, never a token: it may run hours later, when the token of today has expired, and
what stands in the broker may be read there.
"""

from __future__ import annotations

import time
from typing import Any

from celery import Celery
from celery.signals import worker_init
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from portal import crm as zoho
from zoho_token_store import RefreshFailing, RefreshTimeout, StoreUnavailable, TokenDeleted, TokenNotFound

app = Celery("portal")  # broker and result backend: CELERY_BROKER_URL and CELERY_RESULT_BACKEND
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_acks_late=True,  # a task whose worker dies is given to another one
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)


class ReportFailed(Exception):
    """Zoho has not given what the report is made of."""


@worker_init.connect
def connect(**_: Any) -> None:
    """Make the store once, before the pool forks; each child's connections to Redis are its own."""
    zoho.from_env()


@app.task(bind=True, max_retries=5)
def report(self: Any, record_id: str) -> dict[str, Any] | None:
    """Return the organization of a user; None if the user has logged out meanwhile."""
    try:
        return zoho.from_env().organization(record_id)
    except (TokenDeleted, TokenNotFound):
        return None
    except RefreshFailing as error:
        raise self.retry(countdown=max(1.0, error.retry_at - time.time()), exc=error) from error
    except (RefreshTimeout, StoreUnavailable) as error:
        raise self.retry(countdown=5, exc=error) from error
    except (SDKException, zoho.CrmError) as error:
        # The words, without the SDK's traceback: pickled that is more than a pipe holds, and a pool process of Celery
        # 5.6 that reports it while the worker shuts down waits for ever.
        raise ReportFailed(str(error)) from None
