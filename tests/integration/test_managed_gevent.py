"""gevent workers whose store refreshes by itself: what it does in the background holds no greenlet up."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from integration.fleet import PATIENCE, python_environment, value_of, wait_until
from integration.replies import Loop, Reply
from integration.site import Site

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason="gevent is not installed; it is an option of gunicorn"
)
GREENLETS = 20
LATENCY = 2.0
"""How long Zoho takes to refresh, seconds."""


def test_greenlets_go_on_while_one_refreshes(site: Site, tmp_path: Path) -> None:
    """A worker with 20 greenlets boots on an expired token, and later refreshes ahead at a slow Zoho: none waits."""
    record_id = site.log_in()
    where = [site.server.url, site.namespace, site.zoho.url, record_id, str(GREENLETS), "5"]
    options = json.dumps({"refresh": "managed", "lease_ttl": 1.5})
    command = [sys.executable, "-m", "integration.greenlets", *where, options]
    process = subprocess.Popen(command, env=python_environment(tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: site.zoho.counters.crm_calls > GREENLETS, "it is at work", 40)
        site.zoho.faults.set(latency=LATENCY)  # longer than the lease, which has to be renewed
        old = site.due(record_id)
        wait_until(lambda: site.access_token(record_id) != old, "there is another token")
        printed, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
    seen = json.loads(printed)
    loops = [Loop(*value_of(Reply(*reply))) for reply in seen["replies"]]
    assert [failure for loop in loops for failure in loop.failures] == []
    assert max(loop.slowest for loop in loops) < LATENCY - 0.2
    assert (seen["stats"]["refreshes"], seen["stats"]["leases"]) == (2, 2)
    assert (site.zoho.counters.refreshes, site.zoho.counters.crm_rejected, site.zoho.max_in_flight()) == (2, 0, 1)
