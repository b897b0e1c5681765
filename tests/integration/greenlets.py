"""A gevent worker: a monkey-patched process with many greenlets that share one store.

Run as ``python -m integration.greenlets REDIS_URL NAMESPACE ZOHO_URL RECORD_ID GREENLETS SECONDS [OPTIONS]``: each
greenlet calls CRM once, or for SECONDS if that is not 0; then the process prints what it saw as JSON. With ``-`` for
ZOHO_URL the greenlets look the token up in the store, without the SDK. OPTIONS are the store's, as JSON.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402 - everything else has to be imported patched
import json
import sys
import time
from typing import Any

import gevent

from integration.desk import Desk
from integration.replies import Reply, attempt


def tick(ticks: list[float]) -> None:
    """Note the time, seconds, as often as other greenlets allow."""
    while True:
        ticks.append(time.monotonic())
        gevent.sleep(0.01)


def main() -> None:
    """Do what the command line says."""
    redis_url, namespace, zoho_url, record_id, greenlets, seconds, *options = sys.argv[1:]
    desk = Desk()
    desk.open(redis_url, namespace, **json.loads(options[0] if options else "{}"))
    if zoho_url != "-":
        desk.boot(zoho_url, id=record_id)
        desk.call()
    ticks: list[float] = []
    ticker = gevent.spawn(tick, ticks)
    deadline = time.monotonic() + float(seconds)

    def work() -> Any:
        if zoho_url == "-":
            return desk.find_by_id(record_id)["access_token"]
        return desk.call_until(deadline) if float(seconds) else desk.call()

    running = [gevent.spawn(attempt, work) for _ in range(int(greenlets))]
    replies: list[Reply] = [greenlet.get() for greenlet in running]
    ticker.kill()
    print(json.dumps({"replies": replies, "ticks": len(ticks), "stats": desk.store.stats()}))


if __name__ == "__main__":
    main()
