"""``zoho-tokens refresher``: a process that keeps tokens fresh, so that no worker ever refreshes."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue

import click

from zoho_token_store.cli.settings import quiet_option
from zoho_token_store.cli.signals import tell_endings, wait_for_ending
from zoho_token_store.cli.site_options import make_environment, site_options
from zoho_token_store.cli.status import AWAY, LEFT
from zoho_token_store.cli.target import Target, on_target
from zoho_token_store.errors import ConfigurationError, StoreUnavailable, TokenStoreError
from zoho_token_store.keyspace import check_id
from zoho_token_store.store import CoordinatedTokenStore

log = logging.getLogger("zoho_token_store.refresher")

GRACE = 1.5
"""How long a refresh that is under way may go on after SIGTERM, seconds."""
AWAY_REST = 2.0
"""Rest after a round that Redis has not answered, seconds."""
COUNTED = ("refreshes", "leases", "failing", "wait_timeouts", "unavailable")


class Rounds:
    """Looks after the tokens round by round, in a thread of its own: the main thread has to listen for signals.

    Args:
        store: Refreshes.
        ids: Which tokens; None for all.
        every: Longest rest between two rounds, seconds.
    """

    def __init__(self, store: CoordinatedTokenStore, ids: list[str] | None, every: float) -> None:
        self._store = store
        self._ids = ids
        self._every = every
        self._stopped = threading.Event()
        self._unseen = list(ids or ())
        self.away = False
        self.well = True
        self.failure: Exception | None = None

    def start(self, tell: Callable[[], None], *, once: bool) -> None:
        """Start with the first round.

        Args:
            tell: Called when it has ended by itself.
            once: Whether the first round is the last one too.
        """
        arguments = (tell, once)
        self._thread = threading.Thread(target=self._run, args=arguments, name="zoho-tokens-refresher", daemon=True)
        self._thread.start()

    def stop(self, at_most: float) -> None:
        """Begin no other round, and return when the last has ended, or after some seconds."""
        self._stopped.set()
        self._thread.join(at_most)

    def _run(self, tell: Callable[[], None], once: bool) -> None:
        try:
            rest = self._round()
            while not once and not self._stopped.wait(rest):
                rest = self._round()
        except Exception as error:
            if not self._stopped.is_set():  # else the store was closed under a round that took too long
                self.failure = error
        finally:
            tell()

    def _round(self) -> float:
        """Have due tokens refreshed; return how long to rest, seconds.

        Raises:
            ConfigurationError: Something that no further round will change.
        """
        before = self._store.stats()
        self.well = False
        try:
            rest = self._store.keep_fresh(self._ids)
            unknown = self._look_for_unseen()
        except ConfigurationError:
            raise
        except StoreUnavailable as error:
            return self._be_away(error)
        except TokenStoreError as error:
            if not self._stopped.is_set():
                log.error("this round was cut short: %s", error)
            return self._every
        if self.away:
            log.warning("Redis can be used again")
        self.away = False
        rest = min(rest, self._every)
        self._report(before, self._store.stats(), rest)
        self.well = self.well and not unknown
        return rest

    def _be_away(self, error: StoreUnavailable) -> float:
        """Say once that Redis is away; return how long to rest, seconds."""
        rest = min(AWAY_REST, self._every)
        if not self._stopped.is_set():
            level = logging.DEBUG if self.away else logging.WARNING
            log.log(level, "Redis cannot be used, the next round is in %.0f s: %s", rest, error)
        self.away = True
        return rest

    def _look_for_unseen(self) -> bool:
        """Say once which of the chosen ids have no token, maybe by a slip of the pen; return whether there are such."""
        unseen, self._unseen = self._unseen, []
        unknown = [each for each in unseen if self._store.get(each) is None]
        for each in unknown:
            log.warning("there is no token under the id %s, at least not yet", each)
        return bool(unknown)

    def _report(self, before: dict[str, int], after: dict[str, int], rest: float) -> None:
        done = {name: after[name] - before[name] for name in COUNTED}
        # A lease without a refresh has failed, whatever for; a hitch that the second try has made good has not.
        failed = max(0, done["leases"] - done["refreshes"]) + done["failing"] + done["wait_timeouts"]
        self.well = failed == 0 and done["unavailable"] == 0
        log.debug("%d refreshed, %d failed; the next round is in %.0f s", done["refreshes"], failed, rest)


@click.command()
@on_target
@click.option(
    "--id",
    "ids",
    metavar="ID",
    multiple=True,
    help="Keep this token fresh; may be repeated. Without it, all tokens of the namespace, those that nobody uses too.",
)
@site_options
@click.option(
    "--every",
    type=click.FloatRange(1, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Longest rest between two rounds: how soon a new token is seen.",
)
@click.option("--once", is_flag=True, help="One round. The exit status is 1 if a token could not be refreshed.")
@click.option("--verbose", is_flag=True, help="Log each round too.")
@quiet_option
def refresher(
    target: Target,
    ids: tuple[str, ...],
    accounts_url: str | None,
    crm_url: str | None,
    every: float,
    once: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Keep tokens fresh, so that no worker ever has to refresh.

    An access token is refreshed when a fifth of its life is left, at most ten minutes and at least twenty seconds
    before its end: earlier than by any worker. Any number of these processes may run at once; for each token one is
    elected, as among workers, and if none runs the workers refresh by themselves.

    SIGTERM and SIGINT end it within two seconds or so, with exit status 0; a token that is being refreshed is left to
    the others at once. A Redis that is away is waited for.
    """
    _start_log(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    checked = [check_id(each) for each in ids] or None
    store = target.open(refresh="managed", environment=make_environment(accounts_url, crm_url))
    rounds = Rounds(store, checked, every)
    with store:
        stopped = _run(rounds, once)
    if stopped:
        log.info("stopped")
        logging.shutdown()
        os._exit(0)  # sys.exit would wait for the thread of a refresh that hangs; its lease is given back
    elif rounds.failure:
        raise rounds.failure
    elif not rounds.well:
        sys.exit(AWAY if rounds.away else LEFT)


def _run(rounds: Rounds, once: bool) -> bool:
    """Run until it ends by itself or a signal ends it; return whether it was a signal."""
    ended: SimpleQueue[bool] = SimpleQueue()
    tell_endings(ended)
    rounds.start(lambda: ended.put(False), once=once)
    by_signal = wait_for_ending(ended)
    if by_signal:
        rounds.stop(GRACE)
    return by_signal


def _start_log(level: int) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # This package alone: the HTTP client and the SDK have nothing to say that is wanted here.
    logging.getLogger("zoho_token_store").setLevel(level)
