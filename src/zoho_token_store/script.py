"""The Lua scripts, read once from the package, and what becomes of replies that they cannot have given."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar

from zoho_token_store.errors import StoreUnavailable

T = TypeVar("T")


class Script(NamedTuple):
    """A script and the digest under which Redis knows it.

    Attributes:
        name: Verb and least number of keys, as in its file's name.
        text: The source.
        sha: SHA-1 of the source, hexadecimal.
    """

    name: str
    text: str
    sha: str


def understood(script: Script, read: Callable[..., T], *reply: Any) -> T:
    """Return what a script's reply means.

    Args:
        script: The script.
        read: Reads the reply.
        reply: Its arguments.

    Raises:
        StoreUnavailable: It is no reply of that script: something else answers in Redis's place.
    """
    try:
        return read(*reply)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        # What it says may be a secret that stands in the wrong place.
        kind = type(error).__name__
        raise StoreUnavailable(f"Redis's reply to {script.name} makes no sense ({kind})", passing=False) from None


def _load(name: str) -> Script:
    text = (files("zoho_token_store") / "scripts" / f"{name}.lua").read_text("utf-8")
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


FIND = _load("find-5")
READ = _load("read-0")
PAGE = _load("page-2")
COMMIT = _load("commit-1")
REFRESH = _load("refresh-5")
RELEASE = _load("release-0")
RENEW = _load("renew-2")
MARK = _load("mark-1")
COUNT = _load("count-1")

TRY = _load("try-1")
LOOK = _load("look-2")
BOUND = _load("bound-0")

FOR_WORKERS = (FIND, READ, PAGE, COMMIT, REFRESH, RELEASE, RENEW, MARK, COUNT, TRY)
"""Scripts that a worker may run."""

FOR_OPERATORS = (LOOK, BOUND)
"""Scripts that no worker runs."""
