"""The fleet: worker processes, started together, heard, and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import IO, cast

from zoho_token_store.cli.demo.job import Job
from zoho_token_store.cli.demo.tally import FleetTally, WorkerTally

START_LIMIT = 120.0
"""Longest time that importing the SDK in all workers may take, seconds."""
END_LIMIT = 25.0
"""Longest time that a worker may take to end its last call, seconds: one that waits may do so for the wait timeout."""


class Fleet:
    """Worker processes. Leaving the context ends those that are still there.

    Args:
        size: How many.
        folder: Where they write what they print.
    """

    def __init__(self, size: int, folder: Path) -> None:
        self.tally = FleetTally([WorkerTally() for _ in range(size)])
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []
        self._readers: list[threading.Thread] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the processes; they import the SDK and wait."""
        for number in range(len(self.tally.workers)):
            process = self._spawn(number)
            self._processes.append(process)
            reader = threading.Thread(target=self._read, args=(number, process), daemon=True)
            reader.start()
            self._readers.append(reader)

    def ready(self) -> bool:
        """Return whether each worker is ready, or has already ended."""
        pairs = zip(self.tally.workers, self._processes, strict=True)
        return all(worker.ready or process.poll() is not None for worker, process in pairs)

    def go(self, job: Job) -> None:
        """Let all workers boot at once."""
        for process in self._processes:
            _send(process, job.to_line())

    def end(self) -> None:
        """Let the workers end their calls, and wait until they have."""
        deadline = time.monotonic() + END_LIMIT
        for process in self._processes:
            _close(process)
        for number, process in enumerate(self._processes):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.tally.fail(number, "the worker did not end")
            else:
                if process.returncode:
                    self.tally.fail(number, f"the worker died: {self._last_words(number)}")
        self.kill()

    def kill(self) -> None:
        """End at once what is still running."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
            _close(process)
        for reader in self._readers:
            reader.join(5)

    def _spawn(self, number: int) -> subprocess.Popen[str]:
        with open(self._log(number), "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "zoho_token_store.cli.demo.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
                # The terminal's Ctrl-C is for the demo, which then ends its workers.
                start_new_session=True,
            )

    def _read(self, number: int, process: subprocess.Popen[str]) -> None:
        with cast("IO[str]", process.stdout) as lines:
            for line in lines:
                self.tally.take(number, json.loads(line))

    def _log(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"

    def _last_words(self, number: int) -> str:
        lines = self._log(number).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "no word"


def _send(process: subprocess.Popen[str], line: str) -> None:
    orders = cast("IO[str]", process.stdin)
    try:
        orders.write(line)
        orders.flush()
    except BrokenPipeError:
        pass  # it has died; what it printed last is told at the end


def _close(process: subprocess.Popen[str]) -> None:
    try:
        cast("IO[str]", process.stdin).close()
    except BrokenPipeError:
        pass  # it has died, and what was sent to it with it
