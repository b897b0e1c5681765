"""``python -m benchmarks``: measure the figures and show them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from redis.utils import HIREDIS_AVAILABLE

from benchmarks import (
    ahead,
    changes,
    hooks,
    look_ups,
    machine,
    memory,
    near,
    outage,
    scale,
    sealed,
    storms,
    table,
    takeover,
    waiters,
)
from benchmarks.figure import Figure
from benchmarks.server import open_server

GROUPS = (storms, ahead, takeover, changes, outage, look_ups, near, hooks, sealed, scale, memory, waiters)
"""Modules that measure; each has ``NAMES``, and ``measure`` for some of them."""
NAMES = [name for group in GROUPS for name in group.NAMES]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for."""
    options = _parser().parse_args(arguments)
    if not HIREDIS_AVAILABLE:
        raise SystemExit("the figures are taken with hiredis: pip install 'zoho-token-store[hiredis]'")
    with open_server() as server:
        setting = machine.describe(server.title)
    if machine.is_busy():
        _say("this machine is busy: what is timed now is not to be quoted")
    figures = list(_measure(options.only or NAMES, options.quick))
    if options.json:
        options.json.write_text(table.as_json(figures, setting, options.quick), "utf-8")
    if options.markdown:
        print(table.as_markdown(figures, setting))
    else:
        print(table.as_text(figures))
        print(f"\n{table.as_sentence(setting)}")


def _measure(wanted: Sequence[str], quick: bool) -> Iterator[Figure]:
    for group in GROUPS:
        names = [name for name in group.NAMES if name in wanted]
        if names:
            began = time.monotonic()
            yield from group.measure(names, quick)
            _say(f"{', '.join(names)}: {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the figures that the README quotes."
    )
    only = f"one of {', '.join(NAMES)}; may be repeated"
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=only)
    parser.add_argument("--quick", action="store_true", help="few rounds and small numbers: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to a file")
    parser.add_argument("--markdown", action="store_true", help="print the table as it stands in the README")
    return parser


if __name__ == "__main__":
    main()
