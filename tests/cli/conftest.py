"""Fixtures of the operator's commands: on a Redis, and on a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.desk import Desk
from servers import Server


@pytest.fixture(params=["redis", "sqlite"])
def desk(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Desk:
    """Give a desk of each kind of store that commands work on."""
    if request.param == "sqlite":
        return Desk(f"sqlite:///{tmp_path}/tokens.db", namespace)
    server: Server = request.getfixturevalue("real_server")
    return Desk(server.url, namespace)


@pytest.fixture
def redis_desk(real_server: Server, namespace: str) -> Desk:
    """Give a desk for what is the same for every store, or only there in Redis."""
    return Desk(real_server.url, namespace)
