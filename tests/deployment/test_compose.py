"""The compose file, as far as it can be checked without an engine: what it names exists, what it runs is understood."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from celery.bin.celery import celery
from gunicorn.config import Config

from deployment import compose
from deployment.stage import EXAMPLES, ROOT, Stage
from zoho_token_store.cli.refresher import refresher
from zoho_token_store.testing.__main__ import make_parser

SERVICES = ("certificates", "redis", "zoho", "web", "worker", "refresher")
REPLICATED = ("web", "worker", "refresher")


def test_the_services_fit_together() -> None:
    """Those that build do so from files that exist; the portal's come in replicas, after the rest."""
    services = compose.load()["services"]
    assert set(services) == set(SERVICES)
    for service in services.values():
        if "build" in service:
            assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for needed, condition in service.get("depends_on", {}).items():
            if needed == "certificates":
                assert condition == {"condition": "service_completed_successfully"}
            else:
                assert condition == {"condition": "service_healthy"}
                assert services[needed]["healthcheck"]["test"]
    for name in REPLICATED:
        assert services[name]["deploy"]["replicas"] >= 2
        assert set(services[name]["depends_on"]) == {"redis", "zoho"}
    mounted = {name: service.get("volumes", ()) for name, service in services.items()}
    used = {name: {volume.partition(":")[0] for volume in volumes} for name, volumes in mounted.items()}
    assert set().union(*used.values()) == set(compose.load()["volumes"])
    assert {name for name, volumes in used.items() if "tls" in volumes} == {"certificates", "redis"}  # it holds the key
    assert {config["source"] for config in services["redis"]["configs"]} == set(compose.load()["configs"])


def test_there_is_a_port_for_each_replica() -> None:
    """The published range is as wide as the replicas are many, and users are sent back to its first port."""
    web = compose.service("web")
    [port] = web["ports"]
    first, last = map(int, port["published"].split("-"))
    assert last - first + 1 == web["deploy"]["replicas"]
    assert web["environment"]["ZOHO_REDIRECT_URI"] == f"http://localhost:{first}/callback"


def test_the_environment_is_what_the_code_reads() -> None:
    """Every variable that the code reads is set, and nothing else, so that no name is misspelt on either side."""
    for name in REPLICATED:
        assert set(compose.service(name)["environment"]) == compose.variables_read()


def test_the_stand_in_understands_its_command() -> None:
    """Its arguments parse, and client, redirect URI and port are the ones that the portal is told."""
    command = compose.words(compose.service("zoho")["command"])
    assert command[:3] == ["python", "-m", "zoho_token_store.testing"]
    options = make_parser().parse_args(command[3:])
    environment = compose.service("web")["environment"]
    assert options.redirect_uri == [environment["ZOHO_REDIRECT_URI"]]
    assert (options.client_id, options.client_secret) == (
        environment["ZOHO_CLIENT_ID"],
        environment["ZOHO_CLIENT_SECRET"],
    )
    assert environment["ZOHO_ACCOUNTS_URL"] == environment["ZOHO_CRM_URL"] == f"http://zoho:{options.port}"
    assert f"127.0.0.1:{options.port}:{options.port}" in compose.service("zoho")["ports"]
    # 10 in 10 minutes is Zoho's limit: refreshed 30 s before its end, a token must live long enough for that.
    assert 600 / (options.expires_in - 30) <= 10


def test_gunicorn_and_celery_understand_their_commands() -> None:
    """Their own parsers take them; the Dockerfile's command is that of the service."""
    command = compose.words(compose.service("web")["command"])
    [line] = [line for line in (EXAMPLES / "Dockerfile").read_text("utf-8").splitlines() if line.startswith("CMD")]
    assert command == compose.words(compose.as_json(line.removeprefix("CMD")))
    options = Config().parser().parse_args(command[1:])
    assert (command[0], options.args, options.workers) == ("gunicorn", ["portal.web:create_app()"], 4)
    command = compose.words(compose.service("worker")["command"])
    assert command[:3] == ["celery", "-A", "portal.tasks"]
    worker = celery.commands[command[3]]
    parser = worker.make_parser(worker.make_context("worker", [], resilient_parsing=True))
    known, unknown, _ = parser.parse_args(command[4:])
    assert known["concurrency"] == "4"
    assert unknown == []


def test_the_refresher_understands_its_command() -> None:
    """Its own parser takes it, with the addresses that the portal is told, for a store that refreshes."""
    service = compose.service("refresher")
    command, environment = compose.words(service["command"]), service["environment"]
    assert command[:2] == ["zoho-tokens", "refresher"]
    options = refresher.make_context("refresher", command[2:], resilient_parsing=True).params
    assert options["accounts_url"] == environment["ZOHO_ACCOUNTS_URL"]
    assert options["crm_url"] == environment["ZOHO_CRM_URL"]
    assert environment["PORTAL_REFRESH"] == "managed"


def test_the_health_checks_ask_what_is_there(stage: Stage) -> None:
    """The stand-in's and the web application's checks succeed against the real thing, and would see it fail."""
    _, web = stage.start_gunicorn("--preload")
    for name, url in (("zoho", stage.zoho.url), ("web", web)):
        kind, program, option, code = compose.service(name)["healthcheck"]["test"]
        assert (kind, program, option) == ("CMD", "python", "-c")
        port = {"zoho": 9000, "web": 8080}[name]
        assert f"http://127.0.0.1:{port}/" in code
        exec(compile(code.replace(f"http://127.0.0.1:{port}", url), name, "exec"), {})  # noqa: S102 - our own file
        with pytest.raises(OSError, match="404"):
            urllib.request.urlopen(f"{url}/no-such-page")  # noqa: S310 - our own server


def test_the_image_is_built_from_what_is_there() -> None:
    """The Dockerfile copies what exists and is not ignored, runs without root, and holds no secret."""
    dockerfile = (EXAMPLES / "Dockerfile").read_text("utf-8")
    passed = (EXAMPLES / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    for source in compose.copied(dockerfile):
        assert (ROOT / source).exists(), source
        assert f"!{source}" in passed
    assert "\nUSER portal\n" in dockerfile
    assert not [name for name in compose.variables_read() if name in dockerfile]
    command = compose.words(compose.service("certificates")["command"])
    assert f"examples/{command[1]}" in compose.copied(dockerfile)


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="docker compose is not installed",
)
def test_docker_compose_takes_the_file(tmp_path: Path) -> None:
    """Compose's own reader finds nothing wrong; it needs no engine for that."""
    command = ["docker", "compose", "--file", str(compose.FILE), "config", "--quiet"]
    environment = {**os.environ, "DOCKER_CONFIG": os.environ.get("DOCKER_CONFIG", str(tmp_path))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
