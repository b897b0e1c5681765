"""What a process is called in the events that it leaves behind."""

from __future__ import annotations

import os
import re
import socket
from functools import lru_cache

LONGEST = 64
"""Most characters of a label: each of the events that are kept repeats one."""

_LABEL = re.compile(rf"[!-~](?:[ -~]{{0,{LONGEST - 2}}}[!-~])?")
_NOT_PRINTED = re.compile(r"[^!-~]")


def is_label(label: object) -> bool:
    """Return whether a process may be called so: 1 to 64 printable ASCII characters, no space at either end."""
    return isinstance(label, str) and _LABEL.fullmatch(label) is not None


def process_label() -> str:
    """Return this process's own label, ``<host name>:<process id>``."""
    return _made_for(os.getpid())


@lru_cache(maxsize=1)
def _made_for(pid: int) -> str:
    # By the process id, so that a forked child gets one of its own.
    number = f":{pid}"
    host = _NOT_PRINTED.sub("?", socket.gethostname()) or "?"
    return host[: LONGEST - len(number)] + number
