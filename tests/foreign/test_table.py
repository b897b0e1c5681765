"""The table of docs/stores.md is what the stores do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foreign import mariadb
from foreign.places import NAMES, Places
from foreign.rules import RULES, Rule
from foreign.table import outcome, written
from servers import ServerPool, newest_binary


@pytest.fixture(scope="module")
def places(server_pool: ServerPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Provide places, with a MariaDB if there is one."""
    folder, redis = tmp_path_factory.mktemp("stores"), server_pool.get(newest_binary().name)
    if not mariadb.is_there():
        yield Places(folder, None, redis)
        return
    with mariadb.running(tmp_path_factory.mktemp("db")) as port:
        yield Places(folder, port, redis)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_each_cell(places: Places, name: str, rule: Rule) -> None:
    """A rule that is said to be kept is kept, one that is said to be broken is broken."""
    if name == "DBStore" and not mariadb.is_there():
        pytest.skip("needs mariadbd on the PATH, or a server's port in " + mariadb.PORT)
    assert outcome(places, name, rule) == written()[name, rule.__doc__ or ""]


def test_the_table_is_complete() -> None:
    """Each rule and each store stand in it, and no other."""
    assert written().keys() == {(name, rule.__doc__) for name in NAMES for rule in RULES}
