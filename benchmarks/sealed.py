"""What encryption costs a look-up: the same one in a store with keys and in a store without, in turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from itertools import cycle, islice

from benchmarks.figure import Figure, Spread
from benchmarks.interleave import Batch, interleave
from benchmarks.server import BenchmarkServer, open_server
from benchmarks.tokens import full_token
from zoho_token_store import AesGcmCipher
from zoho_token_store.keyring import new_key
from zoho_token_store.redis_repository import SEEN

NAMES = ("sealed", "sealed_near")
REACH_US = 20.0
REACH_NEAR_US = 1.0


def measure(names: Collection[str], quick: bool) -> Iterator[Figure]:
    """Measure these figures.

    Args:
        names: Which of :data:`NAMES`.
        quick: Fewer rounds.
    """
    rounds, calls = (10, 20) if quick else (150, 50)
    keys = {"cipher": AesGcmCipher([new_key()]), "pointer_keys": [new_key()]}
    if "sealed" in names:
        with open_server() as server:
            took = interleave(_look_ups(server, "clear") | _look_ups(server, "sealed", **keys), rounds, calls)
        spread = _more(took["sealed"], took["clear"])
        unseen = _more(took["sealed, unseen"], took["clear, unseen"])
        yield Figure(
            "sealed",
            "`find_token_by_id` with encryption, p50, over the same without",
            f"at most {REACH_US:g} µs more",
            spread,
            spread.median <= REACH_US and unseen.median <= REACH_US,
            digits=1,
            unit="µs",
            note=f"{unseen.text(1)} µs for records that a process has to read anew",
            details={name.replace(", ", "_") + "_us": Spread.of(times).median for name, times in took.items()},
        )
    if "sealed_near" in names:
        with open_server() as server:
            took = interleave(_near(server, "clear") | _near(server, "sealed", **keys), rounds, calls)
        spread = _more(took["sealed"], took["clear"])
        yield Figure(
            "sealed_near",
            "the same from the near cache",
            "unaffected",
            spread,
            abs(spread.median) <= REACH_NEAR_US,
            digits=2,
            unit="µs",
            details={f"{name}_us": Spread.of(times).median for name, times in took.items()},
        )


def _look_ups(server: BenchmarkServer, namespace: str, **options: object) -> dict[str, Batch]:
    """Return look-ups of one record that the process still has, and of more than it remembers."""
    store = server.store(namespace, **options)
    tokens = [full_token(number) for number in range(SEEN + 100)]
    for token in tokens:
        store.save_token(token)
    find = partial(store.find_token_by_id, tokens[0].get_id())
    others = cycle(partial(store.find_token_by_id, token.get_id()) for token in tokens)

    def unseen(calls: int) -> Sequence[Callable[[], object]]:
        return list(islice(others, calls))

    return {namespace: lambda calls: [find] * calls, f"{namespace}, unseen": unseen}


def _near(server: BenchmarkServer, namespace: str, **options: object) -> dict[str, Batch]:
    store = server.store(namespace, near_cache=True, **options)
    token = full_token(0)
    store.save_token(token)
    find = partial(store.find_token_by_id, token.get_id())
    while not store.stats()["near_hits"]:  # its reader of events is not there yet
        find()
    return {namespace: lambda calls: [find] * calls}


def _more(these: Sequence[float], those: Sequence[float]) -> Spread:
    """Return how many microseconds longer one operation took than another, round by round."""
    return Spread.of([this - that for this, that in zip(these, those, strict=True)])
