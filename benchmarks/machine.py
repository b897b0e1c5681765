"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SDKS = ("zohocrmsdk8-0", "zohocrmsdk7-0", "zohocrmsdk6-0", "zohocrmsdk5-0")
BUSY = 0.5
"""Load for each core from which on timings are not to be trusted."""


def describe(redis_title: str) -> dict[str, str]:
    """Return the machine's processor, and the versions that matter.

    Args:
        redis_title: Family and version of the server.
    """
    cores = os.cpu_count() or 1
    return {
        "processor": f"{_processor()}, {cores} cores",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "redis": redis_title,
        "redis-py": _version("redis"),
        "hiredis": _version("hiredis"),
        "dogpile.cache": _version("dogpile.cache"),
        "sqlite": sqlite3.sqlite_version,
        "mariadb": _mariadb(),
        "sdk": next((f"{name} {_version(name)}" for name in SDKS if _version(name) != "none"), "none"),
    }


def run(command: str) -> dict[str, str]:
    """Return when something is measured, while how much else is done, and by which command.

    Args:
        command: As it is typed.
    """
    load = os.getloadavg()[0]
    return {"date": f"{datetime.now(timezone.utc):%Y-%m-%d}", "load": f"{load:.1f}", "command": command}


def is_busy() -> bool:
    """Return whether others are at work on this machine."""
    return os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _mariadb() -> str:
    path = shutil.which("mariadbd")
    if path is None:
        return "none"
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Ver ([0-9.]+)", said)
    return found[1] if found else "unknown"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "none"
