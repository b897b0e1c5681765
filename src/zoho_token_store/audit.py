"""Finding what is wrong with a namespace, and putting it right, while workers run."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice

from zoho_token_store.commands import Commands
from zoho_token_store.damage import Fault, Judge, Kind, Lives, Sight, Verdict, plan_burial, plan_reunion
from zoho_token_store.fingerprints import Fingerprints
from zoho_token_store.keyspace import tombstone
from zoho_token_store.options import Options
from zoho_token_store.redis_repository import RedisRepository
from zoho_token_store.snapshot import Snapshot
from zoho_token_store.terms import LONGEST_PAUSE_MS
from zoho_token_store.transaction import Transactions

log = logging.getLogger("zoho_token_store")

LOOKED_AT = 210
"""Most keys that one script looks at: a millisecond or so of the server's time."""
READ_AT_ONCE = 60
"""Most records that one script reads: as long."""
AT_ONCE = 2
"""Pages of records that are looked at at one time: while Redis answers for one, another is judged."""
ATTEMPTS = 10
"""How often something is looked at anew that was written meanwhile. Who writes that often puts it right."""


@dataclass(frozen=True)
class Finding:
    """Something that was wrong.

    Attributes:
        kind: What: a key of :data:`zoho_token_store.audit.MEANINGS`.
        record_id: Which record it is about; "" if that is not known.
        repaired: Whether it was put right.
    """

    kind: Kind
    record_id: str
    repaired: bool


MEANINGS: dict[Kind, str] = {
    "dangling": "pointers that lead to no record",
    "missing": "pointers that should lead to a record and are not there",
    "mismatched": "pointers that lead to another record than the one that holds what they stand for",
    "unclaimed": "pointers to a record that does not hold what they stand for under any pointer key given",
    "unlisted": "records without their entry in a list",
    "stale": "entries in a list without a record",
    "endless": "leases, access tokens and other short-lived keys without an end",
    "contradicted": "records that were deleted or merged, and are there again",
    "redirect": "redirects that lead nowhere, or are missing",
    "orphaned": "access tokens without a record",
    "unknown": "keys of a kind or a type that this release does not know",
    "unreadable": "records that cannot be opened or understood",
}
"""What each kind of finding is."""


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit has come.

    Attributes:
        step: ``records``, then ``keys``.
        total: About how many there are of them.
        seen: How many were passed.
        findings: What was found since the last progress.
    """

    step: str
    total: int
    seen: int
    findings: tuple[Finding, ...] = ()


class Audit:
    """One walk through a namespace.

    Args:
        repository: The records.
        transactions: Runs plans.
        repair: Whether to put right what is found.
        unclaimed: Whether to remove pointers to live records that no pointer key of this store makes.
    """

    def __init__(
        self, repository: RedisRepository, transactions: Transactions, *, repair: bool, unclaimed: bool
    ) -> None:
        self._repository = repository
        self._transactions = transactions
        self._repair = repair
        self._keys = repository.keys
        self._judge = Judge(repository.keys, _lives(repository.options), unclaimed)
        self._told: set[str] = set()  # keys that were reported with the record to which they should lead
        self._sound = Fingerprints()
        self._adding = threading.Lock()

    def walk(self, batch: int) -> Iterator[AuditProgress]:
        """Look at all records first, by the list of them; then at all keys, for what has no record or is in no list.

        Yields:
            After each batch, how far it has come.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        total, seen = self._repository.count(), 0
        yield AuditProgress("records", total, seen)
        for verdicts in self._examined(self._repository.ids(batch)):
            seen += len(verdicts)
            yield AuditProgress("records", max(total, seen), seen, tuple(self._settle(verdicts, self._records)))
        for ids in self._repository.ending(batch):
            yield AuditProgress("records", seen, seen, tuple(self._settled(self._unlisted(ids), self._records)))
        total, seen = self._repository.size(), 0
        for seen, scanned in self._repository.scan(batch):
            keys = self._sound.missing(scanned)
            findings = [*self._settled(self._unlisted(self._token_ids(keys)), self._records)]
            others = [key for key in keys if self._keys.kind(key) != "token" and key not in self._told]
            findings += self._settled(others, self._others)
            yield AuditProgress("keys", max(total, seen), seen, tuple(findings))
        yield AuditProgress("keys", seen, seen)

    def _examined(self, pages: Iterable[list[str]]) -> Iterator[list[Verdict]]:
        """Judge pages of records, some at a time, each in a thread of its own; yield them in their order."""
        under_way: deque[Future[list[Verdict]]] = deque()
        with ThreadPoolExecutor(AT_ONCE, "zoho-token-store-audit") as pool:
            for ids in pages:
                under_way.append(pool.submit(self._records, ids))
                if len(under_way) > AT_ONCE:
                    yield under_way.popleft().result()
            for each in under_way:
                yield each.result()

    def _settled(self, subjects: Iterable[str], examine: Callable[[list[str]], list[Verdict]]) -> Iterator[Finding]:
        """Judge some subjects, and yield what is confirmed."""
        some = list(dict.fromkeys(subjects))
        return self._settle(examine(some) if some else [], examine)

    def _settle(self, verdicts: Sequence[Verdict], examine: Callable[[list[str]], list[Verdict]]) -> Iterator[Finding]:
        """Yield what is confirmed of some verdicts; what was written meanwhile is judged anew."""
        for _ in range(ATTEMPTS):
            left = []
            for verdict in verdicts:
                findings = self._confirm(verdict) if verdict.faults else []
                if findings is None:
                    left.append(verdict.subject)
                else:
                    yield from findings
            if not left:
                return
            verdicts = examine(left)

    def _confirm(self, verdict: Verdict) -> list[Finding] | None:
        """Put right what is wrong, or make sure that it is; None if something has changed since it was seen."""
        faults = verdict.faults
        writes = [write for fault in faults for write in fault.writes] if self._repair else []
        checks = verdict.values or verdict.revisions
        if checks and not self._repository.run(self._commit(verdict, dict.fromkeys(writes))):
            return None
        for fault in faults:
            if self._repair and not self._act(fault):
                return None
            if not self._repair:
                self._told.update(write[0] for write in fault.writes)
        return [Finding(fault.kind, fault.record_id, self._repair and fault.can_be_repaired) for fault in faults]

    def _act(self, fault: Fault) -> bool:
        """Do what needs more than a comparison; return whether it was done."""
        if fault.lives:
            self._repository.bound(fault.lives)
        if fault.buried:
            return self._transactions.run(lambda view, _: plan_burial(fault.record_id, view), Snapshot()) is not None
        if fault.reunion:
            plan = partial(plan_reunion, fault.reunion, fault.record_id)
            return self._transactions.run(plan, Snapshot()) is not None
        return True

    def _commit(self, verdict: Verdict, writes: Iterable[Sequence[str]]) -> Commands:
        """Return the commands of some writes that hold only if all is still so that the verdict rests on."""
        indexes = {self._keys.nothing: 1}

        def index(key: str) -> int:
            return indexes.setdefault(key, len(indexes) + 1)

        args: list[str | int] = [len(verdict.values) + len(verdict.revisions)]
        for key, value in verdict.values.items():
            args += (index(key), "value", value)
        for record_id, rev in verdict.revisions.items():
            args += (index(self._keys.token(record_id)), "rev", rev)
        for key, command, *rest in writes:
            args += (len(rest), index(key), command, *rest)
        return Commands(list(indexes), args)

    # What is looked at.

    def _records(self, ids: list[str]) -> list[Verdict]:
        """Look at records, at all that should lead to them, and at the records to which that leads."""
        sight = Sight()
        self._load(ids, sight)
        here = [each for each in ids if each in sight.records]
        absorbed = {other for each in here for other in sight.absorbed[each]}
        self._load(absorbed | self._heirs(ids, sight), sight)
        expected = {key for each in here for key in sight.wanted[each]}
        self._look(expected, sight)
        led = ((key, value) for key in expected if (value := sight.keys[key].value) not in sight.records)
        self._load({each for key, value in led for each in self._judge.leads_to(key, value)}, sight)
        verdicts = [self._judge.of_record(each, sight) for each in ids]
        sound = [each.subject for each in verdicts if not each.faults and each.subject in sight.records]
        with self._adding:
            self._sound.add(key for each in sound for key in self._judge.sound(each, sight))
        return verdicts

    def _others(self, keys: list[str]) -> list[Verdict]:
        """Look at keys that are no records, and at the records to which they belong."""
        sight = Sight()
        self._look(keys, sight)
        led = {each for key in keys for each in self._judge.leads_to(key, sight.keys[key].value)}
        led |= {self._keys.name(key) for key in keys if self._keys.kind(key) == "access"}
        self._load(led, sight)
        return [self._judge.of_key(key, sight) for key in keys]

    def _heirs(self, ids: Iterable[str], sight: Sight) -> set[str]:
        """Return the ids to which redirects of some ids lead."""
        buried = ((key, sight.keys[key].value) for key in (self._keys.key(tombstone(each)) for each in ids))
        return {led for key, value in buried if value for led in self._judge.leads_to(key, value)}

    def _load(self, ids: Iterable[str], sight: Sight) -> None:
        """Look at records by their ids, and read those that are there."""
        new = [each for each in ids if each not in sight.listed]
        self._look_at(new, sight)
        sound = [each for each in new if self._is_sound(each, sight)]
        for some in _batches(sound, READ_AT_ONCE):
            records, unreadable = self._repository.readable(some)
            sight.records |= records
            sight.unreadable |= unreadable
            sight.absorbed |= {each: record.bookkeeping().absorbed for each, record in records.items()}
            sight.wanted |= {each: self._judge.wanted(record) for each, record in records.items()}
        self._look_at([each for each in sound if each not in sight.records], sight)  # some may have gone meanwhile
        there = (each for each in new if sight.keys[self._keys.token(each)].type != "none")
        sight.unreadable |= {each for each in there if each not in sight.records}

    def _look_at(self, ids: Iterable[str], sight: Sight) -> None:
        for some in _batches(ids, LOOKED_AT // 3):
            keys = [key for each in some for key in self._keys_of(each)]
            sight.now_ms, seen, listed = self._repository.look(keys, some)
            sight.keys |= seen
            sight.listed |= dict(zip(some, listed, strict=True))

    def _keys_of(self, record_id: str) -> tuple[str, str, str]:
        return self._keys.token(record_id), self._keys.access(record_id), self._keys.key(tombstone(record_id))

    def _is_sound(self, record_id: str, sight: Sight) -> bool:
        whole, part = sight.keys[self._keys.token(record_id)], sight.keys[self._keys.access(record_id)]
        return whole.type == "hash" and part.type in ("string", "none")

    def _look(self, keys: Iterable[str], sight: Sight) -> None:
        for some in _batches([key for key in keys if key not in sight.keys], LOOKED_AT):
            sight.now_ms, seen, _ = self._repository.look(some)
            sight.keys |= seen

    def _token_ids(self, keys: Iterable[str]) -> list[str]:
        return [self._keys.name(key) for key in keys if self._keys.kind(key) == "token"]

    def _unlisted(self, ids: Sequence[str]) -> list[str]:
        """Return those of some ids that do not stand in the list of all, and so were not looked at yet."""
        found: list[str] = []
        for some in _batches(ids, LOOKED_AT):
            _, _, listed = self._repository.look((), some)
            found += [each for each, (score, _) in zip(some, listed, strict=True) if not score]
        return found


def _batches(items: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _lives(options: Options) -> Lives:
    """Return how long what has no end, and should have one, is left: as long as what is made now."""
    lease, wait = options.lease_ttl, options.wait_timeout
    return Lives(
        lease=int(lease * 1000) + LONGEST_PAUSE_MS,
        wake=int((lease + wait) * 2000),
        calls=int(options.refresh_window * 1000),
        access=int(options.default_access_ttl * 1000),
        gone=int(options.tombstone_ttl * 1000),
    )
