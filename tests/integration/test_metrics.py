"""Prometheus's multiprocess mode: what each process has counted is added up, whatever it has been forked from."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from contract.tokens import make_token
from integration.fleet import PATIENCE, python_environment
from integration.scraped import CHILDREN
from servers import Server
from zoho_token_store import RedisTokenStore

LOOKS = 100


@pytest.fixture
def record_id(real_server: Server, namespace: str) -> Iterator[str]:
    """Store a token that is fresh; give its id."""
    with RedisTokenStore.from_url(real_server.url, namespace=namespace) as store:
        token = make_token("ada", refresh="rt", access="at")
        store.save_token(token)
        yield token.get_id()


GEVENT = pytest.param(
    "gevent",
    marks=pytest.mark.skipif(
        importlib.util.find_spec("gevent") is None, reason="gevent is not installed: an option of gunicorn"
    ),
)


@pytest.mark.parametrize("how", ["fork", GEVENT])
def test_every_look_up_is_counted_once(
    how: str, real_server: Server, namespace: str, record_id: str, tmp_path: Path
) -> None:
    """Parent and children, or greenlets, look up side by side: the files add up to what was done, none is lost."""
    shared = tmp_path / "metrics"
    shared.mkdir()
    environment = python_environment(tmp_path) | {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    command = [sys.executable, "-m", "integration.scraped", how, real_server.url, namespace, record_id, str(LOOKS)]
    # A session of its own, so that children which hang do not outlive the test.
    program = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = program.communicate(timeout=PATIENCE)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
    assert program.returncode == 0, errors
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(shared))
    looks = LOOKS * (CHILDREN[how] + 1)
    labels = {"namespace": namespace}
    assert registry.get_sample_value("zoho_token_store_finds_total", labels) == looks
    fresh = {**labels, "outcome": "fresh"}
    assert registry.get_sample_value("zoho_token_store_find_seconds_count", fresh) == looks
    processes = {path.stem for path in shared.glob("counter_*.db")}
    assert len(processes) == (CHILDREN[how] + 1 if how == "fork" else 1)
