"""The compose file as data, and what the code that it runs reads from its environment."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import yaml

from deployment.stage import EXAMPLES, ROOT

FILE = ROOT / "docker-compose.yml"
CELERY_READS = {"CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"}
"""Celery's own variables, which it documents."""


def load() -> dict[str, Any]:
    """Return the file; YAML's merge keys are resolved, variables take their defaults."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", FILE.read_text("utf-8"))
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def service(name: str) -> dict[str, Any]:
    """Return one service."""
    found: dict[str, Any] = load()["services"][name]
    return found


def words(command: str | list[str]) -> list[str]:
    """Return a command's words, as compose parses them; ``$$`` is a dollar sign."""
    parts = shlex.split(command) if isinstance(command, str) else command
    return [str(part).replace("$$", "$") for part in parts]


def as_json(text: str) -> list[str]:
    """Return a Dockerfile's command in its JSON form."""
    command: list[str] = json.loads(text)
    return command


def variables_read() -> set[str]:
    """Return the environment variables that the portal and the store read, as they stand in the code."""
    names = set(CELERY_READS)
    for path in (*EXAMPLES.glob("portal/*.py"), ROOT / "src/zoho_token_store/environment.py"):
        names |= set(re.findall(r'"((?:ZOHO|PORTAL)_[A-Z_]+)"', path.read_text("utf-8")))
    return names


def copied(dockerfile: str) -> Iterator[str]:
    """Yield the sources of a Dockerfile's COPY lines."""
    for line in re.findall(r"^COPY\s+(.+)$", dockerfile, re.MULTILINE):
        yield from (part for part in line.split()[:-1] if not part.startswith("--"))
