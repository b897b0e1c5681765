"""Whatever somebody writes to Redis, nobody gets another user's token, and others' records go on working."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from security.attacks import ATTACKS, VANDALISM, Attack
from security.conftest import EVERYTHING, PLACES, SETTINGS
from security.town import ADA, PEOPLE, Town, changes, glances, looks

MakeTown = Callable[..., Town]
NEWEST = pytest.mark.parametrize("backend", PLACES[-1:], indirect=True)


FEW = ("save all of it", "save by user", "invalidate", "delete by former id")


def withstands(town: Town, attack: Attack, ways: Collection[str]) -> None:
    """Look in every way, and change something in some, while a record is under attack."""
    others = [person for person in PEOPLE if person not in attack.hits and person is not ADA]
    warm, cold = town.open_store(), town.open_store()
    for look in looks(ADA).values():
        look(warm)
    attack.act(town.attacker)
    unchanged = town.state(others)
    for store in (warm, cold):
        for name, look in looks(ADA).items():
            error = town.ask(store, ADA, look)
            if name == "id" and attack.error and store is cold:
                assert isinstance(error, attack.error)
    assert town.state(others) == unchanged
    for person in others:
        town.goes_on(cold, person, saves=not attack.jams)
    for change in () if attack.waits else [changes(ADA)[way] for way in ways]:
        town.reset()
        store = town.open_store()
        attack.act(town.attacker)
        unchanged = town.state(others)
        town.ask(store, ADA, change)
        assert town.state(others) == unchanged
        for look in glances(ADA).values():
            town.ask(store, ADA, look)


@pytest.mark.parametrize("setting", SETTINGS if EVERYTHING else ["clear", "hidden"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_gets_another_users_token(make_town: MakeTown, setting: str, name: str, namespace: str) -> None:
    """Neither by any look nor by any change, and none of them changes another's record."""
    attack = ATTACKS[name]
    if setting != "clear" or not attack.sealed:
        withstands(make_town(setting, namespace), attack, changes(ADA))


@NEWEST
@pytest.mark.parametrize(("number", "name"), [*enumerate(VANDALISM)][:: 1 if EVERYTHING else 4])
def test_vandalism_breaks_nothing_else(make_town: MakeTown, number: int, name: str, namespace: str) -> None:
    """What was never written by any release is an error of ours, or nothing at all."""
    attack = VANDALISM[name]
    settings = [setting for setting in SETTINGS if setting != "clear" or not attack.sealed]
    withstands(make_town(settings[number % len(settings)], namespace), attack, FEW)
