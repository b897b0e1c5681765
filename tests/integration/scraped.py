"""A worker whose store keeps Prometheus metrics in a directory that other processes share.

Run as ``python -m integration.scraped HOW REDIS_URL NAMESPACE RECORD_ID LOOKS``, where HOW is ``fork`` (the store and
its metrics are made before the children are), or ``gevent`` (greenlets share them). Each child looks the record up
LOOKS times, and so does the parent. ``PROMETHEUS_MULTIPROC_DIR`` names the directory.
"""

from __future__ import annotations

import sys

if sys.argv[1:2] == ["gevent"]:
    from gevent import monkey

    monkey.patch_all()


import os
import threading
from collections.abc import Callable

from zoho_token_store import RedisTokenStore
from zoho_token_store.instrumentation.prometheus import PrometheusHook

CHILDREN = {"fork": 8, "gevent": 3}


def main() -> None:
    """Do what the command line says."""
    how, url, namespace, record_id, looks = sys.argv[1:]
    store = RedisTokenStore.from_url(url, namespace=namespace, hooks=[PrometheusHook()])

    def work() -> None:
        for _ in range(int(looks)):
            store.find_token_by_id(record_id)

    if how == "gevent":
        run([threading.Thread(target=work) for _ in range(CHILDREN[how])])
    else:
        fork_amid(work)
    work()
    store.close()


def fork_amid(work: Callable[[], None]) -> None:
    """Fork while other threads of the parent are counting: no child may inherit a lock that one of them holds."""
    stop = threading.Event()

    def count() -> None:
        hook = PrometheusHook()
        while not stop.is_set():
            hook.count("elsewhere", "finds", 1)

    busy = [threading.Thread(target=count) for _ in range(2)]
    for thread in busy:
        thread.start()
    children = []
    for _ in range(CHILDREN["fork"]):
        child = os.fork()
        if not child:
            work()
            os._exit(0)  # as Celery's pool processes do; mapped files outlive that
        children.append(child)
    statuses = [os.waitpid(child, 0)[1] for child in children]
    stop.set()
    for thread in busy:
        thread.join()
    assert statuses == [0] * len(children)


def run(threads: list[threading.Thread]) -> None:
    """Run threads, which are greenlets if the process is patched."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
