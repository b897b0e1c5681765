"""The ends of commands that run on and on."""

from __future__ import annotations

import subprocess
import sys

AT_RANDOM = """
import random, signal
from queue import SimpleQueue
from zoho_token_store.cli import signals

signals.SLICE = 0.01
ended = SimpleQueue()
signals.tell_endings(ended)
signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
for _ in range(5_000):
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 5e-5))
    assert signals.wait_for_ending(ended)
print("each was told")
"""


def test_a_signal_is_told_whenever_it_comes() -> None:
    """Also while the main thread is just beginning to wait, or has just been woken: nothing is lost, nothing locked."""
    done = subprocess.run([sys.executable, "-c", AT_RANDOM], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr) == ("each was told\n", "")
