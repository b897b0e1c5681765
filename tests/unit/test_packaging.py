"""What the distribution holds: scripts, type marker, version, command, few dependencies."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import zoho_token_store

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "zoho_token_store"
EXTRAS = {
    "bench", "cli", "demo", "dev", "encryption", "examples", "hiredis", "mysql", "opentelemetry", "prometheus",
    "sdk5", "sdk6", "sdk7", "sdk8", "servers", "test",
}  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """Build the wheel from this checkout, with nothing but hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.Path(path)


@pytest.fixture(scope="module")
def described(wheel: zipfile.Path) -> Message:
    """Read the wheel's metadata."""
    (info,) = [entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info")]
    return Parser().parsestr((info / "METADATA").read_text(encoding="utf-8"))


def test_the_wheel_holds_every_script_and_the_type_marker(wheel: zipfile.Path) -> None:
    """Each file of the package is in it, and nothing else that would be installed."""
    packed = {name for name in wheel.root.namelist() if ".dist-info/" not in name and not name.endswith("/")}
    wanted = {
        path.relative_to(SOURCE.parent).as_posix()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == wanted
    assert "zoho_token_store/py.typed" in packed
    assert any(name.startswith("zoho_token_store/scripts/") and name.endswith(".lua") for name in packed)


def test_the_version_stands_in_one_place(described: Message) -> None:
    """The wheel's version is the package's."""
    assert described["Version"] == zoho_token_store.__version__ == metadata.version("zoho-token-store")
    assert "\nversion =" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_redis_is_the_only_hard_dependency(described: Message) -> None:
    """All else comes by an extra, the SDK above all: its distributions overwrite each other."""
    required = [line for line in described.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [line.partition(">")[0] for line in required] == ["redis"]
    assert set(described.get_all("Provides-Extra", [])) == EXTRAS


def test_python_and_licence(described: Message, wheel: zipfile.Path) -> None:
    """The metadata says which Python it takes and carries the licence."""
    assert described["Requires-Python"] == ">=3.10"
    assert described["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.root.namelist())


def test_the_command_is_installed() -> None:
    """``zoho-tokens`` leads to a function."""
    (command,) = [script for script in metadata.entry_points(group="console_scripts") if script.name == "zoho-tokens"]
    assert callable(command.load())


@pytest.mark.sdk_matrix
def test_the_store_is_one_of_the_installed_sdk() -> None:
    """With each SDK the package imports, and the store is a whole implementation of that SDK's ``TokenStore``."""
    from zohocrmsdk.src.com.zoho.api.authenticator.store.token_store import TokenStore

    assert issubclass(zoho_token_store.RedisTokenStore, TokenStore)
    assert not getattr(zoho_token_store.RedisTokenStore, "__abstractmethods__", frozenset())
