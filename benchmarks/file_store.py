"""The SDK's FileStore with many tokens, for comparison."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.api.authenticator.store import FileStore

from benchmarks.interleave import Batch, interleave
from benchmarks.tokens import fields, full_token, named_token

COLUMNS = (
    "id",
    "user_name",
    "client_id",
    "client_secret",
    "refresh_token",
    "access_token",
    "grant_token",
    "expires_in",
    "redirect_url",
    "api_domain",
)
"""The order in which FileStore writes them."""


def write_rows(path: Path, tokens: list[Any]) -> None:
    """Write FileStore's file; its header is not read by name."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for token in tokens:
            values = fields(token)
            writer.writerow([values[column] for column in COLUMNS])


def time_file_store(counts: Sequence[int], operations: Collection[str], rounds: int) -> dict[str, list[float]]:
    """Time the SDK's FileStore at several sizes, in turns.

    Args:
        counts: Numbers of tokens.
        operations: ``find``, a look-up by user name, and ``save``, of an existing token: of the one in the middle.
        rounds: How many rounds of one call.

    Returns:
        The time of each call, microseconds, by ``find 100`` and the like.
    """
    with tempfile.TemporaryDirectory(prefix="zoho-bench-") as folder:
        batches: dict[str, Batch] = {}
        for count in counts:
            made = _batches(Path(folder) / f"{count}.csv", count)
            batches |= {f"{operation} {count}": made[operation] for operation in operations}
        return interleave(batches, rounds, calls=1)


def _batches(path: Path, count: int) -> dict[str, Batch]:
    tokens = [full_token(number) for number in range(count)]
    for number, token in enumerate(tokens, start=1):
        token.set_id(str(number))
    write_rows(path, tokens)
    store, middle = FileStore(str(path)), count // 2
    return {
        "find": lambda calls: [partial(store.find_token, named_token(middle)) for _ in range(calls)],
        "save": lambda calls: [partial(store.save_token, tokens[middle])] * calls,
    }
