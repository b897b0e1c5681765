"""Put a report's figures where documents quote them: ``python -m benchmarks.readme REPORT``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import compared, report, table

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "docs" / "benchmarks.json"
"""The report that the documents quote."""
ROUNDS = "Medians, with 10th and 90th percentile of the rounds."


def figures(document: report.Document) -> str:
    """Return the table of figures."""
    parts = document["figures"]
    runs = [part["run"] for part in parts]
    return f"\n{table.as_markdown(parts)}\n\n{ROUNDS} {table.as_sentence(document['machine'], runs)}\n"


def comparisons(document: report.Document) -> str:
    """Return the table of comparisons."""
    parts, machine = document["comparisons"], document["machine"]
    runs = [part["run"] for part in parts]
    beside = f"dogpile.cache {machine['dogpile.cache']}, SQLite {machine['sqlite']}, MariaDB {machine['mariadb']}"
    sentence = table.as_sentence(machine, runs)
    return f"\n{compared.as_markdown(parts)}\n\n{ROUNDS} {sentence} Beside: {beside}.\n"


def sqlite(document: report.Document) -> str:
    """Return how long a look-up and a save take in a SQLite file."""
    found = {part["name"]: part["measured"] for part in document["figures"]}
    return f"{found['sqlite_find']} for a look-up by id and {found['sqlite_save']} for a save"


REGIONS = (
    (ROOT / "README.md", "figures", figures),
    (ROOT / "README.md", "comparisons", comparisons),
    (ROOT / "docs" / "stores.md", "sqlite", sqlite),
)
"""Document, marker, and what makes what stands between ``<!-- marker -->`` and ``<!-- /marker -->``."""


def spliced(document: report.Document) -> Iterator[tuple[Path, str]]:
    """Yield each document with the report's figures in it."""
    texts: dict[Path, str] = {}
    for path, marker, make in REGIONS:
        text = texts.setdefault(path, path.read_text("utf-8"))
        begin, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        made = make(document)
        inside = f"{begin}\n{made}\n{end}" if "\n" in made else f"{begin}{made}{end}"
        texts[path], count = pattern.subn(lambda _, inside=inside: inside, text)
        if count != 1:
            raise SystemExit(f"{path.name}: {begin} ... {end} must stand there once")
    yield from texts.items()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the documents."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description="Quote a report in the documents.")
    parser.add_argument("report", type=Path, nargs="?", default=REPORT)
    document: Mapping[str, Any] = report.read(parser.parse_args(arguments).report)
    for path, text in spliced(dict(document)):
        path.write_text(text, "utf-8")
        print(path)


if __name__ == "__main__":
    main()
