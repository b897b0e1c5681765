"""Who goes on next: greenlets under a clock that moves only when nobody can, or when a step takes time.

Every task gives up control where a real process would wait for the network or for time to pass. The choice of who goes
on, how long a step takes, and what fails are drawn from one seeded source: a seed is a schedule.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

STEP_US = (0, 50, 300, 1_000, 4_000)
"""What a step may take: nothing at all, so that several fall into one millisecond, or up to a slow round trip."""


class Killed(GreenletExit):
    """SIGKILL: raised where a task stands, so that it never goes on."""


class Stuck(AssertionError):
    """Tasks are left that nothing will ever wake, or that go on without an end."""


@dataclass(eq=False)
class Task:
    """A greenlet and what it waits for.

    Attributes:
        name: For the trace.
        owner: The process that it belongs to; when that is dead, the task never goes on.
        until_us: When it goes on by itself.
        ready: Whether it can go on earlier.
        weight: How likely it is chosen.
    """

    name: str
    greenlet: greenlet
    owner: Any
    until_us: int
    ready: Callable[[], bool] | None = None
    weight: float = 1.0


class Scheduler:
    """Runs tasks, one at a time.

    Args:
        rng: Decides everything.
        start_us: The time at the start, microseconds since the epoch.
        most_steps: A schedule with more steps does not end.
    """

    def __init__(self, rng: random.Random, start_us: int, most_steps: int = 6_000) -> None:
        self.now_us = start_us
        self.steps = 0
        self._rng = rng
        self.most_steps = most_steps
        self._tasks: dict[greenlet, Task] = {}
        self._hub = getcurrent()
        self._period = rng.choice((1, 3, 10, 40))

    def spawn(self, name: str, function: Callable[[], None], owner: Any = None) -> Task:
        """Add a task; it starts when it is chosen."""
        task = Task(name, greenlet(function, parent=self._hub), owner, self.now_us)
        self._tasks[task.greenlet] = task
        return task

    def current(self) -> Task:
        """Return the task that is running."""
        return self._tasks[getcurrent()]

    def pause(self, seconds: float = 0.0, ready: Callable[[], bool] | None = None) -> None:
        """Let others go on; called by tasks.

        Args:
            seconds: Not before this time has passed,
            ready: unless this says so.
        """
        task = self.current()
        if task.owner is not None and task.owner.dead:
            raise Killed
        task.until_us = self.now_us + int(seconds * 1_000_000)
        task.ready = ready
        self._hub.switch()

    def run(self) -> None:
        """Run until every task has ended.

        Raises:
            Stuck: That does not happen.
        """
        while self._tasks:
            self.steps += 1
            if self.steps > self.most_steps:
                left = [task.name for task in self._tasks.values()]
                raise Stuck(f"no end after {self.most_steps} steps; left are {left}")
            task = self._next()
            if task.owner is not None and task.owner.dead:
                self._kill(task)
                continue
            self.now_us += self._rng.choice(STEP_US)
            task.greenlet.switch()
            if task.greenlet.dead:
                self._tasks.pop(task.greenlet, None)

    def stop(self) -> None:
        """End whatever is left."""
        for task in list(self._tasks.values()):
            if task.owner is not None:
                task.owner.dead = True
            self._kill(task)

    def _kill(self, task: Task) -> None:
        """End a task where it stands."""
        task.greenlet.throw(Killed)
        self._tasks.pop(task.greenlet, None)

    def _next(self) -> Task:
        """Choose among those that can go on; if there is none, move the clock to the first that can."""
        tasks = list(self._tasks.values())
        if self.steps % self._period == 0:
            # Some tasks run ahead for a while: an even choice never lets one fall far behind.
            for task in tasks:
                task.weight = self._rng.choice((0.02, 1.0, 1.0, 8.0))
        while True:
            now_us = self.now_us
            runnable = [task for task in tasks if task.until_us <= now_us or (task.ready is not None and task.ready())]
            if len(runnable) == 1:
                return runnable[0]
            if runnable:
                return self._rng.choices(runnable, [task.weight for task in runnable])[0]
            self.now_us = min(task.until_us for task in tasks)
