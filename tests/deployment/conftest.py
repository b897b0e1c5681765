"""Fixtures: a stage with a stand-in and a real Redis server, and the examples running on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from deployment.stage import RedisUrls, Stage
from servers import Server
from zoho_token_store.testing import FakeZoho, Limits


@pytest.fixture(scope="package")
def redis_over_tcp() -> Iterator[RedisUrls]:
    """Give the URLs of a real server that Celery can reach too."""
    with Server(tcp=True) as server:
        yield RedisUrls(*(f"{server.tcp_url}/{database}" for database in range(3)))


@pytest.fixture(scope="package")
def fake_zoho() -> Iterator[FakeZoho]:
    """Give a stand-in that lets the tests expire tokens more often than Zoho would."""
    with FakeZoho(limits=Limits(access_tokens_per_window=1000)) as zoho:
        yield zoho


@pytest.fixture(scope="module")
def module_stage(
    fake_zoho: FakeZoho, redis_over_tcp: RedisUrls, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Give a stage with a namespace of its own to the tests of one module."""
    directory: Path = tmp_path_factory.mktemp("stage")
    stage = Stage(fake_zoho, redis_over_tcp, f"deployment-{uuid4().hex[:8]}", directory)
    yield stage
    stage.close()


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    """Give the module's stage with counters at 0, no faults, and Zoho's life of tokens."""
    module_stage.zoho.faults.clear()
    module_stage.zoho.reset()
    return module_stage
