"""Places of every kind, each with nothing in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foreign import mariadb
from migration.moving import KEYS
from servers import Server
from zoho_token_store.migration import Naming


@pytest.fixture(scope="session")
def database_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give the port of a MariaDB or MySQL."""
    if not mariadb.is_there():
        pytest.skip("no mariadbd was found, and no server was named")
    with mariadb.running(tmp_path_factory.mktemp("mariadb")) as port:
        yield port


@pytest.fixture
def database(database_port: int) -> Iterator[str]:
    """Give the name of a database with an empty table."""
    name = mariadb.empty_database(database_port)
    yield name
    mariadb.drop_database(database_port, name)


@pytest.fixture
def name_place(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Callable[[str, str], Naming]:
    """Return what names a place of a kind; those of one kind and label are one."""

    def name(kind: str, label: str = "one") -> Naming:
        if kind == "mysql":
            port = request.getfixturevalue("database_port")
            url = f"mysql://root@127.0.0.1:{port}/{request.getfixturevalue('database')}"
            return Naming(url, environ={})
        if kind == "redis":
            server: Server = request.getfixturevalue("real_server")
            return Naming(server.url, f"{namespace}-{label}", environ=KEYS)
        url = f"sqlite:///{tmp_path}/{label}.db" if kind == "sqlite" else f"{kind}:{tmp_path}/{label}.{kind}"
        return Naming(url, "default", environ=KEYS)

    return name
