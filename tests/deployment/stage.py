"""What a deployment of the examples needs on one machine: processes, browsers, and a look into Redis."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import redis
import requests

from zoho_token_store import RedisTokenStore
from zoho_token_store.keyspace import Keyspace
from zoho_token_store.testing import FakeZoho

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
ANNOUNCE = "def post_worker_init(worker):\n    worker.log.info('worker serves')\n"
"""A configuration that makes each of gunicorn's workers say when it has loaded the application."""

PATIENCE = 60.0
"""Longest wait for anything, seconds; only a failure takes that long."""


class Program:
    """A running command with its output in a file.

    Args:
        arguments: of the command; the first is a module that ``python -m`` runs
        environment: all of it
        log: where its output goes
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            # A session of its own, so that whatever it has forked can be killed with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env=dict(environment),
                cwd=EXAMPLES,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for(self, pattern: str, times: int = 1) -> list[str]:
        """Return what the output says that matches, once it says so often enough."""
        until = time.monotonic() + PATIENCE
        while len(found := re.findall(pattern, self.output)) < times:
            assert self._process.poll() is None, f"it has ended:\n{self.output}"
            assert time.monotonic() < until, f"{pattern!r} was not said {times} times:\n{self.output}"
            time.sleep(0.02)
        return found

    def wait(self) -> int:
        """Return the exit code of a command that ends by itself."""
        return self._process.wait(PATIENCE)

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text("utf-8", "replace")

    def terminate(self) -> int:
        """Send SIGTERM, as docker stop and systemd do, and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGABRT)  # with PYTHONFAULTHANDLER each says where it stands
            self._process.wait(PATIENCE)
            raise AssertionError(f"SIGTERM has not ended it:\n{self.output}") from None

    def kill(self) -> None:
        """End it and what it has forked, whatever state they are in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Browser:
    """A user's browser, with cookies."""

    def __init__(self, base: str, user: str) -> None:
        self.user = user
        self._base = base
        self._session = requests.Session()
        self._session.trust_env = False
        self._twins: list[Browser] = []

    def log_in(self) -> str:
        """Go to the consent page, say yes, come back; return the code that Zoho gave."""
        consent = self.get("/login").headers["Location"]
        answer = self._session.get(f"{consent}&user={quote(self.user)}", allow_redirects=False, timeout=PATIENCE)
        back = urlsplit(answer.headers["Location"])
        landed = self.get(f"{back.path}?{back.query}")
        assert landed.status_code == 302, landed.text
        return str(re.search("code=([^&]+)", back.query)[1])  # type: ignore[index]

    def get(self, path: str) -> requests.Response:
        """Get a page, as it is."""
        return self._session.get(self._base + path, allow_redirects=False, timeout=PATIENCE)

    def post(self, path: str) -> requests.Response:
        """Send an empty form."""
        return self._session.post(self._base + path, allow_redirects=False, timeout=PATIENCE)

    def twin(self) -> Browser:
        """Return another browser with a copy of the cookies of now; a copy is safe to use in another thread."""
        twin = Browser(self._base, self.user)
        twin._session.cookies.update(self._session.cookies)
        self._twins.append(twin)
        return twin

    def close(self) -> None:
        """Close its connections, and those of its twins."""
        for browser in (self, *self._twins):
            browser._session.close()


class RedisUrls(NamedTuple):
    """Where the tokens are, and what Celery needs.

    Attributes:
        store: The token store's Redis.
        broker: Celery's.
        results: That of its results.
    """

    store: str
    broker: str
    results: str


class Stage:
    """One deployment: stand-in, Redis, and the programs that were started."""

    def __init__(self, zoho: FakeZoho, urls: RedisUrls, namespace: str, directory: Path) -> None:
        self.zoho = zoho
        self.store = RedisTokenStore.from_url(urls.store, namespace=namespace)
        self.broker, self.results = urls.broker, urls.results
        self._keys = Keyspace(namespace)
        self._directory = directory
        self._programs: list[Program] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "HOME": str(directory),
            "XDG_RUNTIME_DIR": str(directory),
            "PYTHONPATH": os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")]),
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "ZOHO_TOKEN_STORE_URL": urls.store,
            "ZOHO_TOKEN_STORE_NAMESPACE": namespace,
            "ZOHO_CLIENT_ID": zoho.client_id,
            "ZOHO_CLIENT_SECRET": zoho.client_secret,
            "ZOHO_REDIRECT_URI": zoho.redirect_uri or "",
            "ZOHO_ACCOUNTS_URL": zoho.url,
            "ZOHO_CRM_URL": zoho.url,
            "PORTAL_SECRET_KEY": "the same in every worker",
            "CELERY_BROKER_URL": self.broker,
            "CELERY_RESULT_BACKEND": self.results,
        }

    def run(self, *arguments: str, **variables: str) -> Program:
        """Start a command with the examples' environment, and more variables."""
        log = self._directory / f"{len(self._programs)}.log"
        program = Program(arguments, self._environment | variables, log)
        self._programs.append(program)
        return program

    def start_gunicorn(self, *options: str, **variables: str) -> tuple[Program, str]:
        """Start gunicorn with 4 workers, and with more variables; return it and its URL when all of them serve."""
        configuration = self._directory / "announce.py"
        configuration.write_text(ANNOUNCE)
        fixed = ["--bind", "127.0.0.1:0", "--workers", "4", "--config", str(configuration)]
        fixed += ["--access-logfile", "-", "--access-logformat", "served by %(p)s: %(s)s %(r)s"]
        program = self.run("gunicorn", *fixed, *options, "portal.web:create_app()", **variables)
        [url] = program.wait_for(r"Listening at: (http://127\.0\.0\.1:\d+)")
        program.wait_for("worker serves", times=4)
        return program, url

    def start_celery(self, *options: str, **variables: str) -> Program:
        """Start a Celery worker with a prefork pool of 4, and with more variables; return it when it takes tasks."""
        fixed = ["-A", "portal.tasks", "worker", "--concurrency", "4", "--loglevel", "INFO"]
        fixed += ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # there is no other worker to meet
        program = self.run("celery", *fixed, *options, **variables)
        program.wait_for(r"celery@\S+ ready")
        return program

    def record_id(self, user: str) -> str:
        """Return the id of a user's record."""
        [found] = [
            token.get_id()
            for token in self.store.get_tokens()
            if token.get_user_signature().get_name().startswith(f"{user}:")
        ]
        return str(found)

    def age(self, record_id: str, seconds: float) -> None:
        """Let an access token be older than it is; Zoho's view of it does not change."""
        key = self._keys.access(record_id)
        with redis.Redis.from_url(self._environment["ZOHO_TOKEN_STORE_URL"], decode_responses=True) as client:
            expires_ms, life_ms, token = str(client.get(key)).split(" ", 2)
            aged_ms = int(expires_ms) - int(seconds * 1000)
            client.set(key, f"{aged_ms} {life_ms} {token}", pxat=aged_ms)

    def lease_is_held(self, record_id: str) -> bool:
        """Tell whether somebody has the lease to refresh a record, as Redis sees it."""
        reply = self.redis_hash(self._keys.lease(record_id))
        return "owner" in reply

    def redis_hash(self, key: str) -> dict[str, str]:
        """Return a hash as it lies in Redis."""
        with redis.Redis.from_url(self._environment["ZOHO_TOKEN_STORE_URL"], decode_responses=True) as client:
            return client.hgetall(key)  # type: ignore[return-value]

    @contextlib.contextmanager
    def no_refresh_succeeds(self) -> Iterator[None]:
        """Let the accounts server fail for the length of the context."""
        self.zoho.faults.fail_next(times=None, status=503, body='{"error": "internal_error"}')
        try:
            yield
        finally:
            self.zoho.faults.clear()

    def close(self) -> None:
        """End everything."""
        for program in self._programs:
            program.kill()
        self.store.close()
