"""A MariaDB or MySQL server for the SDK's own database store: one that is named, or one of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers import free_port

PORT = "ZOHO_TOKEN_STORE_TEST_MYSQL_PORT"
"""Names a server of 127.0.0.1 whose user root has no password."""

TABLE = """
    CREATE TABLE oauthtoken (
        id varchar(10) NOT NULL, user_name varchar(255), client_id varchar(255), client_secret varchar(255),
        refresh_token varchar(255), access_token varchar(255), grant_token varchar(255), expiry_time varchar(20),
        redirect_url varchar(255), api_domain varchar(255), primary key (id)
    )
"""
"""As the SDK's manual has it."""


def is_there() -> bool:
    """Return whether there is a server, named or installed, and the driver that the SDK uses."""
    try:
        import mysql.connector  # noqa: F401 - to see whether it is there
    except ImportError:
        return False
    return bool(os.environ.get(PORT) or (shutil.which("mariadbd") and shutil.which("mariadb-install-db")))


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """Provide a server; yields its port on 127.0.0.1.

    Args:
        folder: Where it may keep its data.
    """
    named = os.environ.get(PORT)
    if named:
        yield int(named)
        return
    data, log = folder / "data", (folder / "log").open("wb")
    user = ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db", *user], check=True, stdout=log, stderr=log)
    port = free_port()
    place = [f"--datadir={data}", f"--socket={folder}/s", f"--pid-file={folder}/pid", f"--port={port}"]
    cheap = ["--bind-address=127.0.0.1", "--skip-log-bin", "--innodb-buffer-pool-size=16M"]
    server = subprocess.Popen(["mariadbd", "--no-defaults", *place, *cheap, *user], stdout=log, stderr=log)
    try:
        _wait(port, server)
        yield port
    finally:
        server.kill()
        server.wait()
        log.close()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            connect(port).close()
            return
        except Exception:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def connect(port: int, **options: Any) -> Any:
    """Return a connection."""
    import mysql.connector

    return mysql.connector.connect(host="127.0.0.1", port=port, user="root", password="", **options)


def empty_database(port: int) -> str:
    """Make a database with an empty table; return its name."""
    name = f"zts_{os.urandom(6).hex()}"
    connection = connect(port)
    cursor = connection.cursor()
    cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    cursor.execute(f"USE {name}")
    cursor.execute(TABLE)
    connection.commit()
    connection.close()
    return name


def drop_database(port: int, name: str) -> None:
    """Remove a database."""
    connection = connect(port)
    connection.cursor().execute(f"DROP DATABASE {name}")
    connection.close()
