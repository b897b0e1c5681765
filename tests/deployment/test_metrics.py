"""The portal's metrics under real gunicorn: four workers, scraped from whichever answers."""

from __future__ import annotations

from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from deployment.stage import PATIENCE, Browser, Stage

MODES = {"sync": (), "preload": ("--preload",), "gthread": ("--preload", "--worker-class", "gthread", "--threads", "4")}
_numbers = count()


def scrape(url: str) -> dict[str, float]:
    """Return the counters of a page, by name, with those of all namespaces added up."""
    page = requests.get(f"{url}/metrics", timeout=PATIENCE, proxies={"http": ""})
    assert page.status_code == 200, page.text
    values: dict[str, float] = {}
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            values[sample.name] = values.get(sample.name, 0) + sample.value
    return values


@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
def test_each_worker_is_counted(stage: Stage, options: tuple[str, ...], tmp_path: Path) -> None:
    """A login and requests that spread over the workers: every scrape has all of them, and Zoho agrees."""
    program, url = stage.start_gunicorn(
        *options,
        PORTAL_METRICS="1",
        PORTAL_REFRESH="managed",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    with closing(Browser(url, f"metered{next(_numbers)}@example.com")) as browser:
        browser.log_in()
        record_id = stage.record_id(browser.user)
        for _ in range(20):
            assert browser.get("/me").status_code == 200
        stage.store.invalidate_access_token(record_id)
        assert browser.get("/me").status_code == 200
    pages = [scrape(url) for _ in range(5)]
    assert all(page == pages[0] for page in pages)
    assert pages[0]["zoho_token_store_finds_total"] >= 21
    assert pages[0]["zoho_token_store_refreshes_total"] == stage.zoho.counters.refreshes + stage.zoho.counters.exchanges
    assert pages[0]["zoho_token_store_refresh_seconds_count"] == pages[0]["zoho_token_store_refreshes_total"]
    assert pages[0]["zoho_token_store_saves_total"] == pages[0]["zoho_token_store_save_seconds_count"]
    assert program.terminate() == 0
