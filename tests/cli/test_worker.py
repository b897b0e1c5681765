"""One worker of the demo's fleet, spoken to as the fleet does."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

from servers import Server
from zoho_token_store.cli.demo.job import Job
from zoho_token_store.cli.demo.worker import _SwallowedErrors
from zoho_token_store.testing import FakeZoho


def make_job(zoho: FakeZoho, folder: Path, **changes: Any) -> Job:
    """Make a job on a FileStore."""
    settings: dict[str, Any] = {
        "store": "file",
        "place": str(folder / "tokens.csv"),
        "namespace": "demo",
        "zoho": zoho.url,
        "client_id": zoho.client_id,
        "client_secret": zoho.client_secret,
        "redirect_url": zoho.redirect_uri,
        "grant_code": zoho.issue_grant_code(),
        "resources": str(folder),
        "pause": 0.01,
        "error_pause": 0.01,
    }
    return Job(**{**settings, **changes})


class Spoken:
    """A worker process, its reports read one by one."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "zoho_token_store.cli.demo.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __enter__(self) -> Spoken:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        with self.process:  # closes the pipes
            pass

    def hear(self, event: str) -> dict[str, Any]:
        """Return the next report of a kind."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            report: dict[str, Any] = json.loads(line)
            if report["event"] == event:
                return report
        raise AssertionError(f"no {event} came")

    def start(self, job: Job) -> None:
        """Send the job."""
        assert self.process.stdin is not None
        self.hear("ready")
        self.process.stdin.write(job.to_line())
        self.process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Let it end, and return its last report."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        report = self.hear("end")
        assert self.process.wait(20) == 0
        return report


def test_crms_refusal_is_seen(tmp_path: Path) -> None:
    """A 401 of CRM, which the SDK returns like any answer, is reported as such."""
    with FakeZoho(expires_in=60) as zoho, Spoken() as worker:
        worker.start(make_job(zoho, tmp_path))
        assert worker.hear("boot")["error"] is None
        assert worker.hear("call")["status"] == 200
        zoho.expire_access_tokens()
        report = worker.hear("call")
        while report["status"] == 200:  # one that was under way
            report = worker.hear("call")
        assert (report["status"], report["error"]) == (401, "HTTP 401")
        assert worker.end()["statistics"] == {}


def test_a_failed_boot_is_tried_again(tmp_path: Path) -> None:
    """A boot on a code that Zoho refuses is reported and repeated; what the SDK raised is in the report."""
    with FakeZoho(expires_in=60) as zoho, Spoken() as worker:
        worker.start(make_job(zoho, tmp_path, grant_code="1000.never.given"))
        assert "invalid_code" in worker.hear("boot")["error"]
        assert "invalid_code" in worker.hear("boot")["error"]


def test_our_stores_counters_come_with_the_end(tmp_path: Path, real_server: Server, namespace: str) -> None:
    """On our store a worker reports at its end what the store has counted."""
    with FakeZoho(expires_in=60) as zoho, Spoken() as worker:
        worker.start(make_job(zoho, tmp_path, store="redis", place=real_server.url, namespace=namespace))
        assert worker.hear("boot")["error"] is None
        assert worker.hear("call")["status"] == 200
        statistics = worker.end()["statistics"]
        assert (statistics["leases"], statistics["saves"]) == (1, 1)


def test_only_swallowed_errors_are_reported() -> None:
    """An exception in the arguments of the SDK's log call is a swallowed error; other records are not."""
    reports: list[tuple[str, dict[str, Any]]] = []
    logger = logging.Logger("like the SDK's")
    logger.addHandler(_SwallowedErrors(lambda event, **details: reports.append((event, details))))
    logger.error("SAVE_TOKEN_ERROR", OSError("disk full"))
    logger.error("raised anyway")
    logger.info("token used", OSError("not an error"))
    assert reports == [("swallowed", {"error": "swallowed by the SDK: OSError: disk full"})]
