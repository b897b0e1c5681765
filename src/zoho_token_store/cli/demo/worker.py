"""One worker of the demo's fleet: a process that uses the real SDK as an application does.

It speaks lines of JSON. It says ``ready`` once the SDK is imported, waits for a line with its job, boots, and calls CRM
until its standard input ends; each thing that happens is one line on standard output.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore
from zohocrmsdk.src.com.zoho.crm.api.dc.data_center import DataCenter
from zohocrmsdk.src.com.zoho.crm.api.initializer import Initializer
from zohocrmsdk.src.com.zoho.crm.api.org import OrgOperations

from zoho_token_store import RedisTokenStore
from zoho_token_store.cli.demo.job import Job
from zoho_token_store.zoho_sdk import OAuthToken

OK = 200

Report = Callable[..., None]


def main() -> None:
    """Work until standard input ends."""
    report = _reporter()
    report("ready")
    line = sys.stdin.readline()
    if not line:
        return
    job = Job(**json.loads(line))
    stopped = threading.Event()
    threading.Thread(target=_await_end, args=(stopped,), daemon=True).start()
    logging.getLogger("SDKLogger").addHandler(_SwallowedErrors(report))
    store = _boot(job, report, stopped)
    while not stopped.wait(job.pause):
        if not _call(report):
            stopped.wait(job.error_pause)
    _close(store)
    report("end", statistics=store.stats() if isinstance(store, RedisTokenStore) else {})


def _reporter() -> Report:
    """Return what writes a line; everything else that is printed goes to standard error."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lambda event, **details: _write(out, {"event": event, **details})


def _write(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def _await_end(stopped: threading.Event) -> None:
    sys.stdin.read()
    stopped.set()


def _boot(job: Job, report: Report, stopped: threading.Event) -> Any:
    """Start the SDK as at the start of a process; again after a pause if that fails, as a supervisor would.

    Returns:
        The store in use.
    """
    store: Any = None
    while not stopped.is_set():
        started = time.monotonic()
        try:
            store = _open_store(job)
            Initializer.initialize(_environment(job.zoho), _token(job), store, resource_path=job.resources)
        except Exception as error:  # whatever the SDK raises is what the demo shows
            report("boot", seconds=time.monotonic() - started, error=_describe(error))
            _close(store)
            stopped.wait(job.error_pause)
        else:
            report("boot", seconds=time.monotonic() - started, error=None)
            break
    return store


def _open_store(job: Job) -> Any:
    if job.store == "file":
        return FileStore(job.place)
    return RedisTokenStore.from_url(job.place, job.namespace)


def _close(store: Any) -> None:
    if isinstance(store, RedisTokenStore):
        store.close()


def _environment(url: str) -> Any:
    where = (url, f"{url}/oauth/v2/token", url)
    try:
        return DataCenter.Environment(*where)
    except TypeError:  # SDK 5.0 wants a name
        return DataCenter.Environment(*where, "stand-in")


def _token(job: Job) -> Any:
    return OAuthToken(
        client_id=job.client_id,
        client_secret=job.client_secret,
        grant_token=job.grant_code,
        redirect_url=job.redirect_url,
    )


def _call(report: Report) -> bool:
    """Ask CRM for the organisation; return whether that went well. The SDK returns CRM's refusals, it raises none."""
    started = time.monotonic()
    try:
        answer = OrgOperations().get_organization()
        status = answer.get_status_code()
        error = None if status == OK else f"HTTP {status}"
    except Exception as raised:  # whatever the SDK raises is what the demo shows
        status, error = None, _describe(raised)
    report("call", seconds=time.monotonic() - started, status=status, error=error)
    return error is None


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip()[:300]


class _SwallowedErrors(logging.Handler):
    """Reports the errors that the SDK logs and swallows: a save that failed, a user that could not be asked for.

    Their log calls are malformed, an exception where the message has no place for it, and that tells them from the
    errors that it logs and raises. Formatting them would only print a traceback of the logging module.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(logging.ERROR)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.args[0] if isinstance(record.args, tuple) and record.args else None
        if isinstance(raised, BaseException):
            self._report("swallowed", error=f"swallowed by the SDK: {_describe(raised)}")


if __name__ == "__main__":
    main()
