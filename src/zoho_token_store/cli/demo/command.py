"""``zoho-tokens demo``."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from zoho_token_store.cli.demo.local_redis import RedisPlace, open_redis
from zoho_token_store.cli.demo.outcome import Outcome
from zoho_token_store.cli.demo.run import View, run_store
from zoho_token_store.cli.demo.table import print_table
from zoho_token_store.cli.demo.view import LineView, LiveView, SilentView
from zoho_token_store.cli.demo.workload import Workload
from zoho_token_store.cli.settings import json_option
from zoho_token_store.cli.status import INTERRUPTED

STORES = {"file": ("file",), "redis": ("redis",), "both": ("file", "redis")}


@click.command()
@click.option("--workers", type=click.IntRange(1, 128), default=16, show_default=True, help="Worker processes.")
@click.option(
    "--seconds",
    type=click.FloatRange(6, 3600),
    default=18,
    show_default=True,
    help="How long they make calls, per store.",
)
@click.option("--store", type=click.Choice(list(STORES)), default="both", show_default=True, help="Which store to try.")
@click.option("--redis-url", metavar="URL", help="Use this Redis; without it, one is found and started.")
@json_option("Print one JSON document and nothing else.")
@click.pass_context
def demo(
    context: click.Context, workers: int, seconds: float, store: str, redis_url: str | None, as_json: bool
) -> None:
    """Let a fleet of workers with the real SDK live through a boot and several expiries.

    They boot at the same moment on one grant code of a stand-in for Zoho, and call its CRM, first with the SDK's
    FileStore, then with RedisTokenStore. A worker that fails to boot tries again.

    The exit status is 0 if RedisTokenStore kept its promise: all workers up, one exchange, one refresh per expiry,
    nothing throttled, nothing rejected, no error.
    """
    workload = Workload(workers, seconds)
    console = Console(highlight=False)
    try:
        with _interruptible(), open_redis(redis_url) as place:
            if not as_json:
                console.print(_introduction(workload, place, STORES[store]), markup=False, soft_wrap=True)
            outcomes = _run(STORES[store], workload, place, console, as_json)
    except KeyboardInterrupt:
        click.echo("Interrupted: the workers and the Redis of the demo have ended.", err=True)
        context.exit(INTERRUPTED)
    broken = [promise for outcome in outcomes if outcome.store == "redis" for promise in outcome.broken_promises()]
    if as_json:
        click.echo(json.dumps(_document(workload, place, outcomes, broken), indent=2))
    else:
        print_table(console, outcomes)
        _conclude(console, store, broken)
    context.exit(1 if broken else 0)


def _run(
    stores: Sequence[str], workload: Workload, place: RedisPlace, console: Console, as_json: bool
) -> list[Outcome]:
    with ExitStack() as stack:
        view: View
        if as_json:
            view = SilentView()
        elif console.is_terminal and not console.is_dumb_terminal:
            view = stack.enter_context(LiveView(console, workload))
        else:
            view = LineView()
        return [run_store(store, workload, place, view) for store in stores]


def _introduction(workload: Workload, place: RedisPlace, stores: Sequence[str]) -> str:
    redis = f"Redis: {place.title}\n" if "redis" in stores else ""
    fleet = f"{workload.workers} workers with the Zoho CRM SDK, {workload.seconds:g} s on each store"
    return f"{redis}{fleet}, access tokens that live {workload.life} s\n"


def _conclude(console: Console, store: str, broken: Sequence[str]) -> None:
    if store == "file":
        return
    if broken:
        console.print("RedisTokenStore broke its promise: " + "; ".join(broken), style="red")
    else:
        console.print("RedisTokenStore kept its promise.", style="green")


def _document(
    workload: Workload, place: RedisPlace, outcomes: Sequence[Outcome], broken: Sequence[str]
) -> dict[str, object]:
    return {
        "workers": workload.workers,
        "seconds": workload.seconds,
        "access_token_life": workload.life,
        "redis": place.title,
        "runs": [outcome.as_dict() for outcome in outcomes],
        "broken_promises": list(broken),
    }


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the demo in good order; a second one does not cut the clearing up short."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for ending in before:
            signal.signal(ending, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
