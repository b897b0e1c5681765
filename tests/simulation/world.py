"""One simulated world: a Redis, a Zoho, processes, and one seed that decides everything."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from simulation.faults import Faults
from simulation.invariants import Invariants, Violation
from simulation.lease_book import Sent
from simulation.lua import ENGINE
from simulation.memory import CommandError, Memory
from simulation.process import Process, Program, seams
from simulation.scheduler import Scheduler, Stuck
from simulation.zoho import Zoho
from zoho_token_store.script import Script

START_US = 1_800_000_000_000_000


class World:
    """What a workload sets up and runs.

    Args:
        seed: Names the schedule.
        traced: Whether to write down what happens.
        scripts: Texts that stand in for the real ones, by name; for scripts broken on purpose.
    """

    lease_ttl = 8.0

    def __init__(self, seed: int | str, *, traced: bool = False, scripts: Mapping[str, Script] | None = None) -> None:
        self.rng = random.Random(seed)
        self.scheduler = Scheduler(self.rng, START_US + self.rng.randrange(10**9))
        self.memory = Memory(lambda: self.scheduler.now_us)
        self.faults = Faults(self.rng)
        self.zoho = Zoho(self)
        self.invariants = Invariants(self)
        self.processes: list[Process] = []
        self.trace: list[str] | None = [] if traced else None
        self.after: list[Callable[[], None]] = []
        self.round_trips = 0
        self.counts: Counter[str] = Counter()
        """What the stores have counted, all together; there at the end."""
        self._scripts = scripts or {}
        self._start_us = self.now_us

    @property
    def now_us(self) -> int:
        """Return Redis's time, microseconds."""
        return self.scheduler.now_us

    def note(self, who: str, what: str) -> None:
        """Write a line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{(self.now_us - self._start_us) / 1e6:10.4f} {who:>4} {what}")

    def start(self, program: Program, name: str = "", **settings: Any) -> Process:
        """Start a process."""
        process = Process(self, name or f"p{len(self.processes)}", program, **settings)
        self.processes.append(process)
        return process

    def restart(self, process: Process, delay: float) -> None:
        """Start a process anew from its configuration, after a while."""

        def come_back() -> None:
            self.scheduler.pause(delay)
            self.note(process.name, "restarted")
            again = Process(
                self,
                process.name + "'",
                process.program,
                skew=process.clock._skew,
                find_user=process.find_user,
                restarts=process.restarts - 1,
                **process._options,
            )
            self.processes.append(again)

        self.scheduler.spawn(f"restart {process.name}", come_back)

    def execute(self, process: Process, sent: Sent) -> Any:
        """Run a script in one step, and check what must always hold."""
        self.round_trips += 1
        if not self.memory.full and self.faults.happens("full"):
            self._fill()
        before = self.memory.writes
        script = self._scripts.get(sent.script.name, sent.script)
        try:
            reply = ENGINE.run(self.memory, script, sent.keys, sent.args)
        except CommandError as error:
            self.note(process.name, f"{script.name}: {error}")
            raise Violation(f"{script.name} was refused: {error}") from error
        if self.trace is not None:
            answer = reply[0] if isinstance(reply, list) and reply and isinstance(reply[0], str) else ""
            about = sorted(sent.keys[1:]) if script.name.startswith("commit") else sent.keys[3:4]
            self.note(process.name, f"{script.name} {answer} {' '.join(key.partition('}:')[2] for key in about)}")
        self.invariants.executed(process, sent, reply, self.memory.writes != before)
        return reply

    def run_later(self, send: Callable[[], Any]) -> None:
        """Let a request arrive that its sender no longer waits for."""
        delay = self.rng.choice((0.0, 0.05, 1.0)) + self.rng.random() * self.rng.choice((0.01, 1.0, 2 * self.lease_ttl))

        def arrive() -> None:
            self.scheduler.pause(delay)
            send()

        self.scheduler.spawn("late request", arrive)

    def run(self) -> None:
        """Run to the end, and check what must hold then.

        Raises:
            AssertionError: An invariant is broken; with the trace, if there is one.
        """
        log = logging.getLogger("zoho_token_store")
        level, log.disabled = log.level, True
        try:
            with seams(self):
                self.scheduler.run()
                for check in self.after:
                    check()
            self.invariants.at_the_end()
            for process in self.processes:
                if process.store is not None:
                    self.counts.update(process.store.stats())
        except (Violation, Stuck) as failure:
            raise AssertionError("\n".join([str(failure), *(self.trace or ())[-400:]])) from failure
        finally:
            log.disabled = False
            log.setLevel(level)
            self.scheduler.stop()

    def _fill(self) -> None:
        self.memory.full = True
        length = self.rng.uniform(0.1, 6)
        self.note("", f"out of memory for {length:.1f} s")

        def relieve() -> None:
            self.scheduler.pause(length)
            self.memory.full = False

        self.scheduler.spawn("memory", relieve)
