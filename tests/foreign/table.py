"""Asks every store every rule, and writes the table of docs/stores.md: ``python -m foreign.table``, from ``tests``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foreign import mariadb
from foreign.places import NAMES, Places
from foreign.rules import RULES, NotApplicable, Rule
from servers import Server, newest_binary

DOCUMENT = Path(__file__).parents[2] / "docs" / "stores.md"
BEGIN, END = "<!-- rules -->\n", "<!-- /rules -->\n"
KEPT, BROKEN, NOT_APPLICABLE = "✓", "**no**", "-"


@contextmanager
def all_places() -> Iterator[Places]:
    """Provide places for every store."""
    with tempfile.TemporaryDirectory(prefix="zts-") as folder:
        database = Path(folder) / "database"
        database.mkdir()
        redis = Server(newest_binary()).start()
        try:
            with mariadb.running(database) as port:
                yield Places(Path(folder), port, redis)
        finally:
            redis.stop()


def outcome(places: Places, name: str, rule: Rule) -> str:
    """Return what a store does with a rule."""
    with places.new(name) as place:
        try:
            rule(place)
        except NotApplicable:
            return NOT_APPLICABLE
        except Exception:
            return BROKEN
        return KEPT


def table(places: Places) -> str:
    """Return the table."""
    lines = [f"| rule | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    for rule in RULES:
        outcomes = [outcome(places, name, rule) for name in NAMES]
        lines.append(f"| {rule.__doc__} | {' | '.join(outcomes)} |")
    return "\n".join(lines) + "\n"


def written() -> dict[tuple[str, str], str]:
    """Return what the document says, by the name of the store and the words of the rule."""
    text = DOCUMENT.read_text("utf-8").split(BEGIN)[1].split(END)[0].strip()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return {(name, rule): cell for rule, *cells in rows for name, cell in zip(head[1:], cells, strict=True)}


def main() -> None:
    """Ask, and write."""
    if not mariadb.is_there():
        sys.exit(f"needs mariadbd on the PATH, or a server's port in {mariadb.PORT}, and mysql-connector-python")
    with all_places() as places:
        made = table(places)
    before, rest = DOCUMENT.read_text("utf-8").split(BEGIN)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}", "utf-8")
    print(made)


if __name__ == "__main__":
    main()
