"""A crowd at one expiry: what its wait costs Redis, counted from outside while it lasts."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from integration.fleet import Worker, start_all, value_of, wait_until
from integration.site import Site

END = "the crowd is served"
POLL = 0.01
WATCHED = 1.0
"""For so long all wait, seconds."""


class Crowd(NamedTuple):
    """What an expiry has cost.

    Attributes:
        tokens: What the threads got.
        refreshes: How often Zoho was asked.
        commands: What clients have sent to the server of the namespace, by the command's name.
        blocked: Most connections that were seen to block at one time.
    """

    tokens: list[str]
    refreshes: int
    commands: Counter[str]
    blocked: int

    @property
    def commands_each(self) -> float:
        """Commands for each who asked."""
        return self.commands.total() / len(self.tokens)


def expiry_of(site: Site, workers: Sequence[Worker], threads: int, record_id: str) -> Crowd:
    """Let an access token end, and have all threads of all workers get the next one at once.

    Args:
        site: Where; its Zoho answers when one thread of each process waits, and a while later.
        workers: Processes that were booted with the record's id.
        threads: How many in each.
        record_id: Which.
    """
    site.expire(record_id)
    asked = site.zoho.counters.refreshes
    with site.server.client() as client, Tap(site.server) as tap:
        site.zoho.faults.set(hang=True)
        start_all(workers, "in_threads", threads, "get_token")
        wait_until(lambda: site.blocked() >= len(workers), "all processes wait")
        blocked, enough = 0, time.monotonic() + WATCHED
        while any(worker.busy() for worker in workers):
            blocked = max(blocked, client.info("clients")["blocked_clients"])
            if time.monotonic() > enough:
                site.zoho.faults.clear()
            time.sleep(POLL)
        tokens = [value_of(reply) for worker in workers for reply in value_of(worker.finish())]
    return Crowd(tokens, site.zoho.counters.refreshes - asked, tap.commands, blocked)


class Tap:
    """Counts what clients send to a server, without what its scripts run and what this process sends.

    Args:
        server: Which.

    Attributes:
        commands: How often each was sent, by its name in capitals.
    """

    def __init__(self, server: Any) -> None:
        self.commands: Counter[str] = Counter()
        self._client = server.client(decode_responses=True)
        self._monitor = self._client.monitor()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Tap:
        self._monitor.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.echo(END)
        self._thread.join(10)
        self._monitor.__exit__(*exc_info)

    def _listen(self) -> None:
        for seen in self._monitor.listen():
            name, _, rest = seen["command"].partition(" ")
            if name.upper() == "ECHO" and rest == END:
                return
            if seen["client_type"] != "lua" and name.upper() not in ("CLIENT", "INFO"):  # how this process looks
                self.commands[name.upper()] += 1
