"""Options are checked when a store is made, with a message that says what is allowed."""

from __future__ import annotations

import pytest

from zoho_token_store.errors import ConfigurationError
from zoho_token_store.options import OPTION_NAMES, Options, make_options

TIMES = [name for name in OPTION_NAMES if name != "on_missing_id"]


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
        ({"tombstone_ttl": 19}, "tombstone_ttl", "at least wait_timeout"),
        ({"retention": 3599}, "retention", "at least default_access_ttl"),
        ({"default_access_ttl": 0}, "default_access_ttl", "1 to"),
        ({"on_missing_id": "ignore"}, "on_missing_id", '"raise" or "none"'),
        ({"on_missing_id": None}, "on_missing_id", '"raise" or "none"'),
        ({"on_missing_id": ["none"]}, "on_missing_id", '"raise" or "none"'),
    ],
)
def test_the_message_says_what_is_allowed(given: dict[str, object], name: str, message: str) -> None:
    """Limits that depend on another option name it."""
    with pytest.raises(ConfigurationError) as caught:
        make_options(given)
    assert caught.value.option == name
    assert message in str(caught.value)


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
