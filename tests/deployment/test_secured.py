"""The portal on the Redis of docker-compose.yml: its certificate, its TLS port, its users and what they may do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis

from certificates import Authority
from deployment import compose
from deployment.stage import EXAMPLES, Browser, RedisUrls, Stage
from deployment.test_celery import Tasks
from servers import Binary, Server
from zoho_token_store import acl
from zoho_token_store.testing import FakeZoho

HOST = "localhost"
"""In place of the service's name, which only the containers know."""
ONLOOKER = "onlooker"
"""A user of the tests' own, who may see settings, and what others were refused."""


class Mounted:
    """The volumes of the Redis service as folders of this machine.

    Args:
        folder: Where the folders go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("tls", "authority"):
            (folder / name).mkdir()
        self.make_certificates()
        users = compose.load()["configs"]["redis-users"]["content"]
        (folder / "users.acl").write_text(f"{users}user {ONLOOKER} reset on +acl|log +config|get >{ONLOOKER}\n")

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self._folder / "tls" / "redis.crt"

    def make_certificates(self) -> str:
        """Run the command of the service that makes them, for this machine's name; return what it prints."""
        command = compose.words(compose.service("certificates")["command"])
        assert command[:4] == ["python", "certificates.py", "--host", "redis"]
        words = [sys.executable, command[1], "--host", HOST, *map(self.local, command[4:])]
        return subprocess.run(words, cwd=EXAMPLES, capture_output=True, text=True, check=True).stdout

    def server(self, binary: Binary) -> Server:
        """Return a server that runs by the service's command, once it is started."""
        command = compose.words(compose.service("redis")["command"])
        assert command[:5] == ["redis-server", "--port", "0", "--tls-port", "6379"]
        return Server(binary, tuple(map(self.local, command[5:])), tls=True)

    def url(self, variable: str, server: Server) -> str:
        """Return the URL in a variable of the portal, for a server on this machine."""
        url: str = compose.service("web")["environment"][variable]
        assert "@redis:6379/" in url
        return url.replace("@redis:6379/", f"@{HOST}:{server.port}/").replace(
            "=/authority/", f"={self._folder}/authority/"
        )

    def local(self, word: str) -> str:
        """Return a word of a command; a path in the container becomes one of this machine."""
        if word.startswith(("/tls", "/authority")):
            return f"{self._folder}{word}"
        return str(self._folder / "users.acl") if word == "/etc/redis/users.acl" else word


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Mounted:
    """Make certificates and users."""
    return Mounted(tmp_path_factory.mktemp("mounted"))


@pytest.fixture(scope="module")
def server(mounted: Mounted, tls_binary: Binary) -> Iterator[Server]:
    """Start Redis by compose's command."""
    with mounted.server(tls_binary) as server:
        yield server


@pytest.fixture(scope="module")
def module_stage(
    fake_zoho: FakeZoho, mounted: Mounted, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Give a stage on that Redis, in compose's namespace."""
    variables = ("ZOHO_TOKEN_STORE_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    urls = RedisUrls(*(mounted.url(variable, server) for variable in variables))
    namespace = compose.service("web")["environment"]["ZOHO_TOKEN_STORE_NAMESPACE"]
    stage = Stage(fake_zoho, urls, namespace, tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@pytest.fixture
def operator(mounted: Mounted, server: Server) -> Iterator[redis.Redis]:
    """Log in as the operator."""
    url = mounted.url("ZOHO_TOKEN_STORE_URL", server).replace("//worker:", "//operator:")
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


def test_the_users_have_the_rules_that_are_printed() -> None:
    """Worker and operator may do what `zoho-tokens acl` prints for the portal's namespace."""
    lines = compose.load()["configs"]["redis-users"]["content"].splitlines()
    rules = {line.split()[1]: line.split()[2:] for line in lines}
    assert rules.keys() == {"default", "worker", "operator", "celery"}
    assert rules.pop("default") == ["reset", "on", "nopass", "+ping"]
    for name, rule in rules.items():
        assert rule[0] == "reset"
        assert rule[-1] == ">for-this-machine-only"
        if name != "celery":
            assert rule[:-1] == getattr(acl, name)("portal")


def test_certificates_are_made_once(mounted: Mounted) -> None:
    """As long as they are good they stay; the authority's key is nowhere."""
    before = mounted.certificate.read_bytes()
    assert "good" in mounted.make_certificates()
    assert mounted.certificate.read_bytes() == before
    files = {path.name for path in mounted.certificate.parents[1].rglob("*") if path.is_file()}
    assert files == {"redis.crt", "redis.key", "ca.crt", "users.acl"}


def test_certificates_are_made_again_before_they_end(tmp_path: Path) -> None:
    """A new authority comes with the new certificate, since the old one's key is gone."""
    mounted = Mounted(tmp_path)
    authority = (tmp_path / "authority" / "ca.crt").read_bytes()
    mounted.certificate.write_bytes(Path(Authority(tmp_path).issue("old", days=29).certificate).read_bytes())
    assert "was made" in mounted.make_certificates()
    assert (tmp_path / "authority" / "ca.crt").read_bytes() != authority
    assert "good" in mounted.make_certificates()


def test_the_portal_works(stage: Stage, server: Server) -> None:
    """Under gunicorn and Celery, over TLS, with the users' rights: log in, see, report, log out."""
    managed = {"PORTAL_REFRESH": "managed", "PORTAL_NEAR_CACHE": "1"}
    program, url = stage.start_gunicorn("--preload", **managed)
    celery = stage.start_celery(**managed)
    with closing(Browser(url, "ada@example.com")) as browser, closing(Tasks(stage)) as tasks:
        browser.log_in()
        record_id = stage.record_id("ada@example.com")
        assert browser.get("/me").json()["email"] == "ada@example.com"
        assert len(tasks.reports([record_id] * 8)) == 8
        assert tasks.run("portal.tasks.keep_fresh", "celery") > 0
        inspected = stage.run("celery", "-A", "portal.tasks", "inspect", "ping", "--timeout", "5")
        assert inspected.wait() == 0, inspected.output
        assert browser.post("/logout").status_code == 302
    assert program.terminate() == 0
    assert celery.terminate() == 0
    with server.client(username=ONLOOKER, password=ONLOOKER, decode_responses=True) as onlooker:
        # redis-py introduces itself, and does not mind.
        assert {entry["object"] for entry in onlooker.acl_log()} <= {"client|setinfo"}


def test_redis_understands_its_command(server: Server) -> None:
    """It appends to a file and evicts nothing."""
    with server.client(username=ONLOOKER, password=ONLOOKER, decode_responses=True) as onlooker:
        assert onlooker.config_get("appendonly") == {"appendonly": "yes"}
        assert onlooker.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert int(onlooker.config_get("maxmemory")["maxmemory"]) == 256 * 1024 * 1024


def refused(client: redis.Redis, *words: Any) -> bool:
    """Tell whether a user may not do something."""
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*words)
    return True


def test_each_user_keeps_to_its_own(stage: Stage, operator: redis.Redis) -> None:
    """Celery sees no token, the store's users no task, and who shows no password may ping."""
    token = "zts:{portal}:token:1"
    with redis.Redis.from_url(stage.broker) as celery:
        assert refused(celery, "HGET", token, "refresh_token")
        assert refused(celery, "KEYS", "*")
        assert refused(celery, "CONFIG", "GET", "*")
    assert refused(operator, "LRANGE", "celery", 0, -1)
    assert operator.hget(token, "refresh_token") is None
    settings = operator.connection_pool.connection_kwargs | {"username": None, "password": None}
    with redis.Redis(ssl=True, **{key: settings[key] for key in ("host", "port", "ssl_ca_certs")}) as nobody:
        assert nobody.ping()
        assert refused(nobody, "HGET", token, "refresh_token")
        assert refused(nobody, "INFO")


@pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on the PATH")
def test_the_health_check_sees_the_server(mounted: Mounted, server: Server) -> None:
    """It succeeds with a server that answers, and fails without one."""
    kind, *command = compose.service("redis")["healthcheck"]["test"]
    assert kind == "CMD"
    command = [mounted.local(word) for word in command]
    done = subprocess.run(
        [*command[:1], "-p", str(server.port), *command[1:]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "PONG\n"), done.stderr
    done = subprocess.run([*command[:1], "-p", "1", *command[1:]], capture_output=True, text=True, check=False)
    assert done.returncode != 0
