"""What docs/ says of keys, commands and counts against the code and real servers."""

from __future__ import annotations

import re
from pathlib import Path

from servers import find_binaries
from zoho_token_store import commit, connection, keyspace

DOCS = Path(__file__).parents[2] / "docs"
BINARIES = list(find_binaries().values())


def test_the_keys_of_the_design_are_those_of_the_code() -> None:
    """Each kind of key that keyspace.py lists stands in docs/design.md, and no other does."""
    listed = set(re.findall(r"zts:\{<ns>\}:([a-z-]+)", keyspace.__doc__ or "")) - {"nothing"}
    assert set(re.findall(r"`zts:\{ns\}:([a-z-]+)", (DOCS / "design.md").read_text("utf-8"))) == listed


def test_the_numbers_of_the_documents_are_those_of_the_code() -> None:
    """Connections kept and events remembered are as said."""
    operations = (DOCS / "operations.md").read_text("utf-8")
    assert f"up to {connection.IDLE} of either kind stay open" in operations
    assert f"last {commit.EVENTS_KEPT:,}" in operations


def test_the_log_messages_of_the_documents_are_those_of_the_code() -> None:
    """What operations.md says to look for in the log is what the code writes there."""
    source = "".join(path.read_text("utf-8") for path in Path(commit.__file__).parent.glob("*.py"))
    messages = re.findall(r"^\| log: \"(.+?)\"", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert len(messages) >= 3
    assert [message for message in messages if message not in source] == []
