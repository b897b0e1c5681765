"""Options are checked when a store is made, with a message that says what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.instrumentation import LoggingHook
from zoho_token_store.options import OPTION_NAMES, NearCache, Options, make_options

OTHERS = {
    "on_missing_id",
    "min_replicas",
    "refresh",
    "refresh_budget",
    "environment",
    "near_cache",
    "cipher",
    "encrypt_identity",
    "migrate_plaintext",
    "pointer_keys",
    "label",
    "redact_sdk_log",
    "hooks",
    "fallback",
}
TIMES = [name for name in OPTION_NAMES if name not in OTHERS]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", ["30", True, float("nan"), float("inf"), -1, [], 1e12])
def test_bad_times_are_refused(name: str, value: object) -> None:
    """Text, truth, infinities, negative and absurd times are refused by the option's name."""
    with pytest.raises(ConfigurationError, match="seconds") as caught:
        make_options({name: value})
    assert caught.value.option == name


@pytest.mark.parametrize("name", [name for name in TIMES if name != "retention"])
def test_only_retention_may_be_none(name: str) -> None:
    """None is the default of one option and refused for the others."""
    with pytest.raises(ConfigurationError):
        make_options({name: None})
    assert make_options({"retention": None}).retention is None


@pytest.mark.parametrize(
    ("given", "name", "message"),
    [
        ({"wait_timeout": 15.9}, "wait_timeout", "at least twice lease_ttl"),
        ({"lease_ttl": 10.1}, "wait_timeout", "at least twice lease_ttl"),
        ({"lease_ttl": 0}, "lease_ttl", "0.1 to 3600"),
        ({"operation_timeout": 0}, "operation_timeout", "0.05 to 600"),
        ({"min_replicas": -1}, "min_replicas", "whole number from 0"),
        ({"min_replicas": True}, "min_replicas", "whole number from 0"),
        ({"tombstone_ttl": 19}, "tombstone_ttl", "at least wait_timeout"),
        ({"retention": 3599}, "retention", "at least default_access_ttl"),
        ({"default_access_ttl": 0}, "default_access_ttl", "1 to"),
        ({"cipher": "a key"}, "cipher", "AesGcmCipher"),
        ({"encrypt_identity": True}, "encrypt_identity", "needs a cipher"),
        ({"hooks": print}, "hooks", "list of hooks"),
        ({"hooks": ["logging"]}, "hooks", "list of hooks"),
        ({"hooks": [LoggingHook]}, "hooks", "LoggingHook()"),
        ({"migrate_plaintext": True}, "migrate_plaintext", "needs a cipher"),
        ({"migrate_plaintext": "yes"}, "migrate_plaintext", "True or False"),
        ({"pointer_keys": None}, "pointer_keys", "list of keys"),
        ({"pointer_keys": ["short"]}, "pointer_keys", "32 bytes"),
        ({"pointer_keys": ["plain", "plain"]}, "pointer_keys", "twice"),
        ({"on_missing_id": "ignore"}, "on_missing_id", '"raise" or "none"'),
        ({"on_missing_id": None}, "on_missing_id", '"raise" or "none"'),
        ({"on_missing_id": ["none"]}, "on_missing_id", '"raise" or "none"'),
        ({"refresh": "none"}, "refresh", '"sdk" or "managed"'),
        ({"refresh": "managed", "request_timeout": 20.1}, "request_timeout", "at most wait_timeout"),
        ({"refresh_ahead": 9}, "refresh_ahead", "10 to 86400"),
        ({"refresh_budget": 0}, "refresh_budget", "1 to 1000"),
        ({"refresh_budget": 9.0}, "refresh_budget", "whole number"),
        ({"refresh_budget": True}, "refresh_budget", "whole number"),
        ({"refresh_window": 0}, "refresh_window", "1 to 86400"),
        ({"environment": "https://accounts.zoho.com"}, "environment", "DataCenter.Environment"),
        ({"near_cache": 100}, "near_cache", "True, False or a NearCache"),
        ({"redact_sdk_log": None}, "redact_sdk_log", "True or False"),
        *(
            ({"label": label}, "label", "1 to 64 printable ASCII characters")
            for label in ("", "x" * 65, "é", "a\nb", "a\x1b[31m", " a", "a ", b"web-1", 7)
        ),
    ],
)
def test_the_message_says_what_is_allowed(given: dict[str, object], name: str, message: str) -> None:
    """Limits that depend on another option name it."""
    with pytest.raises(ConfigurationError) as caught:
        make_options(given)
    assert caught.value.option == name
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"entries": 0}, "near_cache.entries"),
        ({"entries": 1.5}, "near_cache.entries"),
        ({"max_age": 0}, "near_cache.max_age"),
        ({"max_age": None}, "near_cache.max_age"),
        ({"outage_ttl": -1}, "near_cache.outage_ttl"),
        ({"outage_ttl": True}, "near_cache.outage_ttl"),
    ],
)
def test_a_near_cache_is_checked_where_it_is_made(given: dict[str, Any], name: str) -> None:
    """Its fields are named as part of the option that it is for."""
    with pytest.raises(ConfigurationError) as caught:
        NearCache(**given)
    assert caught.value.option == name


def test_a_managed_store_has_a_shorter_lease_unless_it_is_told() -> None:
    """It is renewed while it is needed."""
    assert make_options({"refresh": "managed"}).lease_ttl == 3
    assert make_options({"refresh": "managed", "lease_ttl": 5}).lease_ttl == 5
    assert make_options({"refresh": "sdk"}).lease_ttl == make_options({}).lease_ttl == 8


def test_an_unknown_option_is_named_with_those_that_there_are() -> None:
    """A slip of the pen is not passed over."""
    with pytest.raises(ConfigurationError, match="freshness_margin") as caught:
        make_options({"freshnes_margin": 30})
    assert caught.value.option == "freshnes_margin"


@pytest.mark.parametrize(
    "given",
    [
        {"wait_timeout": 16},
        {"lease_ttl": 0.1, "wait_timeout": 0.2},
        {"freshness_margin": 0},
        {"retention": 3600},
        {"tombstone_ttl": 20},
        {"on_missing_id": "none"},
    ],
)
def test_the_limits_themselves_are_allowed(given: dict[str, object]) -> None:
    """Each boundary is inside."""
    options = make_options(given)
    assert all(getattr(options, name) == value for name, value in given.items())


def test_options_do_not_change() -> None:
    """What was checked stays as it was."""
    with pytest.raises(AttributeError):
        Options().lease_ttl = 1  # type: ignore[misc]
