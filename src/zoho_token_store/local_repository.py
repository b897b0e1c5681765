"""Records in tables that this process reaches itself: the same steps for SQLite and for memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from zoho_token_store.budget import spend
from zoho_token_store.change import Change, pointer_names
from zoho_token_store.clock import MachineClock, SystemClock
from zoho_token_store.commit import Bury, Commit, CommitBuilder, EndLease, Point, Write
from zoho_token_store.errors import CorruptRecord, TokenStoreError
from zoho_token_store.keyspace import is_id, tombstone
from zoho_token_store.lease import Lease
from zoho_token_store.options import Options
from zoho_token_store.question import Answer, Fresh, Leased, Moved, Pause, Question, Wait, say
from zoho_token_store.record import TokenRecord
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.storage import LeaseLost, Repository, read_page
from zoho_token_store.tables import Database, Row, Tables
from zoho_token_store.tenure import ended, given_back, renewed
from zoho_token_store.terms import terms_of
from zoho_token_store.verdict import Due, Verdict, elect, judge


class LocalRepository(Repository):
    """The records of one namespace.

    Args:
        database: Where they are.
        options: Margins and lives.
        clock: This machine's clocks.
        seals_on_sight: See :class:`Repository`.
    """

    def __init__(
        self, database: Database, options: Options, clock: SystemClock, *, seals_on_sight: bool = False
    ) -> None:
        self._database = database
        self.options = options
        self.server_clock = MachineClock(clock)
        self.seals_on_sight = seals_on_sight
        self._terms = terms_of(options)

    def find(self, question: Question) -> Answer:
        """See :class:`Repository`. Only who is given a lease, or ends one, writes."""
        with self._database.reading() as tables:
            verdict, row = self._decide(tables, question)
        answer = self._elect(question) if verdict.tenure else _answer(verdict, row)
        if isinstance(answer, (Fresh, Leased)) and answer.record:
            self.seal_on_sight(answer.record)
        return answer

    def _elect(self, question: Question) -> Answer:
        with self._database.writing() as tables:
            verdict, row = self._decide(tables, question)  # anew: another may have been faster
            answer = _answer(verdict, row)  # first: a record that cannot be opened leases nothing
            if verdict.tenure is not None:
                tables.put_tenure(question.lease, verdict.tenure)
            return answer

    def _decide(self, tables: Tables, question: Question) -> tuple[Verdict, Row | None]:
        values = [tables.string(name) for name in question.pointers]
        if values != list(question.values):
            return Verdict("MOVED", tuple(values)), None
        row = tables.row(question.record_id)
        buried = "" if row else tables.string(tombstone(question.tombstone))
        head = row.head(question.client_id) if row else None
        outcome = judge(head, buried, question, tables.now_us // 1000)
        if isinstance(outcome, Due):
            outcome = elect(outcome, tables.tenure(question.lease), question, self._terms, tables.now_us)
        return outcome, row

    def wait(self, lease: str, answer: Wait, at_most: float) -> None:
        """See :class:`Repository`."""
        seconds = min(answer.left_ms / 1000, at_most)
        self._database.wait(lambda tables: tables.tenure(lease).mark != answer.wake_id, seconds)

    def load(self, snapshot: Snapshot, strings: Sequence[str], ids: Sequence[str]) -> None:
        """See :class:`Repository`."""
        with self._database.reading() as tables:
            values = {name: tables.string(name) for name in strings}
            rows = {record_id: tables.row(record_id) for record_id in ids}
        snapshot.load(values, {record_id: row.open() if row else None for record_id, row in rows.items()})

    def pages(
        self, size: int, on_unreadable: Callable[[TokenStoreError], None] | None = None
    ) -> Iterator[list[TokenRecord]]:
        """See :class:`Repository`."""
        after = ""
        while True:
            with self._database.reading() as tables:
                ids = tables.ids(after, size)
                rows = [tables.row(record_id) for record_id in ids if is_id(record_id)]
            if not ids:
                return
            after = ids[-1]
            nameless = [_read_nameless] * (len(ids) - len(rows))
            yield read_page([*(row.open for row in rows if row), *nameless], on_unreadable)

    def count(self) -> int:
        """See :class:`Repository`."""
        with self._database.reading() as tables:
            return tables.count()

    def unread(self, record_id: str) -> dict[str, str] | None:
        """See :class:`Repository`."""
        with self._database.reading() as tables:
            row = tables.row(record_id)
            return {record_id: row.rev} if row else None

    def in_place(self, records: Iterable[TokenRecord]) -> set[str]:
        """See :class:`Repository`."""
        with self._database.reading() as tables:
            return {
                record.id
                for record in records
                if not record.stale and all(tables.leads(name, record.id) for name in pointer_names(record))
            }

    def commit(self, commit: Commit) -> bool:
        """See :class:`Repository`."""
        with self._database.writing() as tables:
            if any(tables.string(name) != value for name, value in commit.strings.items()):
                return False
            if any(_rev(tables.row(record_id)) != rev for record_id, rev in commit.records.items()):
                return False
            for write in commit.writes:
                _carry_out(tables, write)
            return True

    def refresh(self, change: Change) -> bool:
        """See :class:`Repository`."""
        snapshot = Snapshot(change.before)
        for record in change.before:
            snapshot.record(record.id)  # so that it is compared
        return self.commit(CommitBuilder(self.options, snapshot, self.server_clock.now_ms()).build([change]))

    def release(self, leases: Iterable[Lease], pause: Pause | None = None) -> None:
        """See :class:`Repository`."""
        held = list(leases)
        if not held:
            return
        with self._database.writing() as tables:
            for lease in held:
                before = tables.tenure(lease.name)
                if before.is_of(lease):
                    tables.put_tenure(lease.name, given_back(before, lease, pause, tables.now_us // 1000))

    def renew(self, lease: Lease) -> bool:
        """See :class:`Repository`."""
        with self._database.writing() as tables:
            return self._renew(tables, lease)

    def take_call(self, lease: Lease, credential: str) -> int | None:
        """See :class:`Repository`."""
        most, window_ms = self.options.refresh_budget, int(self.options.refresh_window * 1000)
        with self._database.writing() as tables:
            if not self._renew(tables, lease):
                raise LeaseLost
            now_ms = tables.now_us // 1000
            spending = spend(tables.calls(credential), most, window_ms, now_ms)
            if spending.retry_ms is None:
                tables.put_calls(credential, spending.calls, now_ms + window_ms)
            return spending.retry_ms

    def _renew(self, tables: Tables, lease: Lease) -> bool:
        after = renewed(tables.tenure(lease.name), lease, self._terms.lease_ms, tables.now_us // 1000)
        if after:
            tables.put_tenure(lease.name, after)
        return after is not None

    def ping(self) -> None:
        """See :class:`Repository`."""
        with self._database.reading():
            pass

    def close(self) -> None:
        """See :class:`Repository`."""
        self._database.close()

    def reset_after_fork(self) -> None:
        """See :class:`Repository`."""
        self._database.reset_after_fork()


def _answer(verdict: Verdict, row: Row | None) -> Answer:
    """Return an answer, with the record that it is about."""
    if verdict.kind == "MOVED":
        return Moved(list(verdict.values))
    record = row.open() if row and verdict.kind in ("FRESH", "LEASED") else None
    if verdict.kind == "FRESH" and record:
        return Fresh(record)
    if verdict.kind == "LEASED":
        fence, attempts, can_be_used = verdict.values
        return Leased(fence, attempts, record, can_be_used)
    return say(verdict.kind, *verdict.values)


def _read_nameless() -> TokenRecord:
    raise CorruptRecord(None, "the id of a record")


def _rev(row: Row | None) -> str:
    return row.rev if row else ""


def _carry_out(tables: Tables, write: Write) -> None:
    match write:
        case EndLease(name, owner, fence):
            before = tables.tenure(name)
            if before.fence:
                tables.put_tenure(name, ended(before, owner, fence, tables.now_us // 1000))
        case Bury(name, least, ttl_ms):
            fence = max(least, tables.now_us)
            tables.write(Point(name, f"deleted {fence}", tables.now_us // 1000 + ttl_ms))
        case _:
            tables.write(write)
