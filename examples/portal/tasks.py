"""Work on behalf of users: ``celery -A portal.tasks worker``, and ``celery -A portal.tasks beat`` to keep tokens fresh.

A task gets the id of the user's record, never a token: it may run hours later, when the token of today has expired, and
what stands in the broker may be read there.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from celery import Celery
from celery.signals import worker_init
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from portal import crm as zoho
from zoho_token_store import (
    RefreshFailing,
    RefreshThrottled,
    RefreshTimeout,
    StoreUnavailable,
    TokenDeleted,
    TokenNotFound,
)

log = logging.getLogger("portal")

KEEP_FRESH_EVERY = 60.0
"""Seconds; a token of an hour is due ten minutes before its end here, and five minutes for whoever uses it."""

app = Celery("portal")  # broker and result backend: CELERY_BROKER_URL and CELERY_RESULT_BACKEND
app.conf.update(
    broker_connection_retry_on_startup=True,
    result_expires=3600,
    task_acks_late=True,  # a task whose worker dies is given to another one
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    beat_schedule={
        # One that comes late, when no worker was free, has nothing to do that the next one does not.
        "keep-fresh": {
            "task": "portal.tasks.keep_fresh",
            "schedule": KEEP_FRESH_EVERY,
            "options": {"expires": KEEP_FRESH_EVERY},
        },
    },
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
    except (RefreshFailing, RefreshThrottled) as error:
        raise self.retry(countdown=max(1.0, error.retry_at - time.time()), exc=error) from error
    except (RefreshTimeout, StoreUnavailable) as error:
        raise self.retry(countdown=5, exc=error) from error
    except (SDKException, zoho.CrmError) as error:
        # The words, without the SDK's traceback: pickled that is more than a pipe holds, and a pool process of Celery
        # 5.6 that reports it while the worker shuts down waits for ever.
        raise ReportFailed(str(error)) from None


@app.task
def keep_fresh() -> float | None:
    """Refresh what is due, before whoever uses it would have to; the same as ``zoho-tokens refresher``.

    It does not matter how many of these run at once, or that one is missed: they elect as workers do, and what has not
    been refreshed by the time it is needed a worker refreshes.

    Returns:
        Seconds until something is due, at most 60; None if Redis is away.
    """
    try:
        return zoho.from_env().store.keep_fresh()
    except StoreUnavailable as error:
        log.warning("tokens could not be kept fresh: %s", error)
        return None
