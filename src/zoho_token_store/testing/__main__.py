"""Run the stand-in as a service: ``python -m zoho_token_store.testing --host 0.0.0.0 --port 8000``."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Sequence

from .model import Client
from .server import FakeZoho
from .standin import CLIENT_ID, CLIENT_SECRET, REDIRECT_URI


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m zoho_token_store.testing", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--expires-in", type=float, default=3600, metavar="SECONDS", help="life of access tokens")
    parser.add_argument("--public-url", metavar="URL", help="what it calls itself (default: as the caller does)")
    parser.add_argument("--api-domain", metavar="URL", help="api_domain of token answers (default: the same)")
    parser.add_argument("--client-id", default=CLIENT_ID, help="the registered client (default: %(default)s)")
    parser.add_argument("--client-secret", default=CLIENT_SECRET, help="its secret (default: %(default)s)")
    parser.add_argument(
        "--redirect-uri",
        action="append",
        metavar="URI",
        help=f"a redirect URI of it, repeatable (default: {REDIRECT_URI})",
    )
    parser.add_argument("--user", action="append", default=[], metavar="EMAIL", help="a user to offer, repeatable")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Args:
        arguments: the command line; None takes the process's own.
    """
    options = make_parser().parse_args(arguments)
    uris = tuple(options.redirect_uri or (REDIRECT_URI,))
    zoho = FakeZoho(
        host=options.host,
        port=options.port,
        expires_in=options.expires_in,
        client=Client(options.client_id, options.client_secret, uris),
        public_url=options.public_url,
        api_domain=options.api_domain,
    )
    for email in options.user:
        zoho.register_user(email)
    ended: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: ended.append(number))
    with zoho:
        print(zoho.url, flush=True)
        while not ended:  # not an Event, whose lock a signal might find taken
            time.sleep(0.2)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
