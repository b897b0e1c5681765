"""``python -m benchmarks``: measure the figures, and our store against others, and show and write it all."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from redis.utils import HIREDIS_AVAILABLE

from benchmarks import (
    ahead,
    capacity,
    changes,
    compare,
    compared,
    crowd,
    hooks,
    local,
    look_ups,
    machine,
    memory,
    million,
    near,
    outage,
    packed,
    report,
    scale,
    sealed,
    storms,
    table,
    takeover,
    waiters,
)
from benchmarks.comparison import Comparison
from benchmarks.figure import Figure
from benchmarks.server import open_server

GROUPS = (
    storms,
    ahead,
    takeover,
    changes,
    outage,
    look_ups,
    near,
    hooks,
    sealed,
    scale,
    memory,
    packed,
    million,
    waiters,
    crowd,
    capacity,
    local,
)
"""Modules that measure figures; each has ``NAMES``, and ``measure`` for some of them."""
FIGURES = [name for group in GROUPS for name in group.NAMES]
NAMES = [*FIGURES, *compare.NAMES]
ALL_OF = {"figures": FIGURES, "compare": list(compare.NAMES)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    if not HIREDIS_AVAILABLE:
        raise SystemExit("the figures are taken with hiredis: pip install 'zoho-token-store[hiredis]'")
    with open_server() as server:
        setting = machine.describe(server.title)
    run = machine.run(shlex.join(["python", "-m", "benchmarks", *given]))
    if machine.is_busy():
        _say("this machine is busy: what is timed now is not to be quoted")
    wanted = [name for each in options.only or NAMES for name in ALL_OF.get(each, [each])]
    document = report.make(list(_measure(wanted, options)), setting, run, options.quick)
    document = report.ordered(document, NAMES)
    _show(document, options.markdown)
    for path in filter(None, (options.json, options.update)):
        is_update = path == options.update and path.exists()
        whole = report.update(report.read(path), document) if is_update else document
        report.write(path, report.ordered(whole, NAMES))


def _show(document: report.Document, markdown: bool) -> None:
    figures, comparisons = document["figures"], document["comparisons"]
    form = (table.as_markdown, compared.as_markdown) if markdown else (table.as_text, compared.as_text)
    if figures:
        print(form[0](figures))
    if comparisons:
        print(form[1](comparisons))
    print(f"\n{table.as_sentence(document['machine'], [part['run'] for part in (*figures, *comparisons)])}")


def _measure(wanted: Sequence[str], options: argparse.Namespace) -> Iterator[Figure | Comparison]:
    for group in GROUPS:
        names = [name for name in group.NAMES if name in wanted]
        if names:
            began = time.monotonic()
            yield from group.measure(names, options.quick)
            _say(f"{', '.join(names)}: {time.monotonic() - began:.0f} s")
    names = [name for name in compare.NAMES if name in wanted]
    if names:
        began = time.monotonic()
        yield from compare.measure(names, options.quick, options.sizes or compare.sizes_for(options.quick))
        _say(f"{', '.join(names)}: {time.monotonic() - began:.0f} s")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure the figures that the README quotes, and ours against others."
    )
    choices = [*ALL_OF, *NAMES]
    only = f"one of {', '.join(choices)}; may be repeated"
    parser.add_argument("--only", action="append", choices=choices, metavar="NAME", help=only)
    parser.add_argument("--quick", action="store_true", help="few rounds and small numbers: to see that it works")
    sizes = f"numbers of tokens in what is compared, {compare.SMALLEST} to {compare.LARGEST}: 10,1000,100000"
    parser.add_argument("--sizes", type=compare.read_sizes, metavar="N,N", help=sizes)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured to a file")
    update = "replace in the report in this file what was measured anew, on the same machine"
    parser.add_argument("--update", type=Path, metavar="FILE", help=update)
    parser.add_argument("--markdown", action="store_true", help="print the tables as they stand in the README")
    return parser


if __name__ == "__main__":
    main()
