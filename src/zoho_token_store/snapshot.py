"""What a plan was made from: every read is remembered, and compared again when the plan is written."""

from __future__ import annotations

from collections.abc import Iterable

from zoho_token_store.record import TokenRecord


class Snapshot:
    """A partial view of a namespace.

    What was never loaded is taken as absent. That is a guess, but a harmless one: whatever a plan has read, guessed or
    loaded, is compared with what is stored before the plan is written.

    Args:
        records: Records that the caller has already seen.
    """

    def __init__(self, records: Iterable[TokenRecord] = ()) -> None:
        self._strings: dict[str, str] = {}
        self._records: dict[str, TokenRecord | None] = {record.id: record for record in records}
        # In the order of reading, which does not change from process to process.
        self._read_strings: dict[str, None] = {}
        self._read_records: dict[str, None] = {}

    def string(self, name: str) -> str:
        """Return a pointer or a tombstone by its name, "" for none."""
        self._read_strings[name] = None
        return self._strings.get(name, "")

    def record(self, record_id: str) -> TokenRecord | None:
        """Return a record by its id."""
        self._read_records[record_id] = None
        return self._records.get(record_id)

    def was_absent(self, record_id: str) -> bool:
        """Return whether a record was looked for and is not there."""
        return record_id in self._read_records and self._records.get(record_id) is None

    def known_absent(self, record_id: str) -> bool:
        """Return whether a record was loaded, and is not there: what is more than a guess."""
        return record_id in self._records and self._records[record_id] is None

    def reads(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return what was read: values of strings by name, revisions of records by id ("" for absent)."""
        strings = {name: self._strings.get(name, "") for name in self._read_strings}
        records = {record_id: self._records.get(record_id) for record_id in self._read_records}
        return strings, {record_id: record.rev if record else "" for record_id, record in records.items()}

    def guessed(self) -> tuple[list[str], list[str]]:
        """Return the names of strings and the ids of records that were read without having been loaded."""
        return (
            sorted(name for name in self._read_strings if name not in self._strings),
            sorted(record_id for record_id in self._read_records if record_id not in self._records),
        )

    def load(self, strings: dict[str, str], records: dict[str, TokenRecord | None]) -> None:
        """Take in what is stored."""
        self._strings.update(strings)
        self._records.update(records)

    def start_over(self) -> None:
        """Forget what was read, not what is known: the next plan reads anew."""
        self._read_strings.clear()
        self._read_records.clear()
