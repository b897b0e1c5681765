"""Users whose tokens lie in one namespace, what an application does with them, and somebody who can write to Redis."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from contract.tokens import CLIENT, OTHER_CLIENT, contents, make_token, refreshed
from zoho_token_store import RedisTokenStore, TokenStoreError
from zoho_token_store.keyring import read_pointer_keys
from zoho_token_store.keyspace import Keyspace, pointer

Use = Callable[[RedisTokenStore], Any]


class Person(NamedTuple):
    """A user whose name stands in everything that is hers, so that it can be told where it comes to light."""

    name: str
    client_id: str

    @property
    def id(self) -> str:
        return f"id-of-{self.name}"

    @property
    def former_id(self) -> str:
        """The id of a record that was merged into hers."""
        return f"former-id-of-{self.name}"

    def token(self, *fields: str, **values: Any) -> Any:
        """Return a token with some of her fields: ``user``, ``client_id``, ``refresh``, ``grant``, ``access``..."""
        own = {name: self.value(name) for name in fields}
        return make_token(**{"client_id": None, "secret": None, **own, **values})

    def value(self, field: str) -> str:
        """Return what stands in one of her fields."""
        own = {"user": f"{self.name}@example.com", "client_id": self.client_id, "id": self.id}
        return own.get(field) or f"{self.name}-{field}"

    def whole(self) -> Any:
        """Return all of it."""
        return self.token("id", "user", "client_id", "secret", "refresh", "grant", "access", "redirect", "domain")


ADA = Person("ada", CLIENT)
EVE = Person("eve", CLIENT)
GRACE = Person("grace", OTHER_CLIENT)
PEOPLE = (ADA, EVE, GRACE)


def looks(person: Person) -> dict[str, Use]:
    """Return every way to look for a person's token."""
    return {
        "id": lambda store: store.find_token_by_id(person.id),
        "former id": lambda store: store.find_token_by_id(person.former_id),
        "id in a token": lambda store: store.find_token(person.token("id", "client_id")),
        "nothing but an id": lambda store: store.find_token(person.token("id")),
        "user": lambda store: store.find_token(person.token("user")),
        "user and client": lambda store: store.find_token(person.token("user", "client_id")),
        "refresh": lambda store: store.find_token(person.token("refresh")),
        "refresh and client": lambda store: store.find_token(person.token("refresh", "client_id")),
        "grant": lambda store: store.find_token(person.token("grant")),
        "access": lambda store: store.find_token(person.token("access")),
        "everything": lambda store: store.find_token(person.token("user", "client_id", "refresh", "grant")),
        "get": lambda store: store.get(person.id),
        "get by former id": lambda store: store.get(person.former_id),
    }


def changes(person: Person) -> dict[str, Use]:
    """Return the ways to change a person's token."""

    def save(*fields: str, **values: Any) -> Use:
        return lambda store: store.save_token(refreshed(person.token(*fields, **values), f"{person.name}-next"))

    return {
        "save by id": save("id"),
        "save by former id": save(id=person.former_id),
        "save by user": save("user", "client_id"),
        "save by user without client": save("user"),
        "save by refresh": save("refresh", "client_id"),
        "save by grant": save("grant", "client_id"),
        "save by access": lambda store: store.save_token(person.token("access", "domain")),
        "save all of it": save("id", "user", "client_id", "secret", "refresh", "grant"),
        "new login": save("user", "client_id", "secret", refresh=f"{person.name}-other-refresh"),
        "invalidate": lambda store: store.invalidate_access_token(person.id),
        "invalidate by former id": lambda store: store.invalidate_access_token(person.former_id, "ada-access"),
        "delete": lambda store: store.delete_token(person.id),
        "delete by former id": lambda store: store.delete_token(person.former_id),
    }


def glances(person: Person) -> dict[str, Use]:
    """Return some of the looks, which together go all ways through the code."""
    return {name: use for name, use in looks(person).items() if name in ("former id", "user", "access", "get")}


def owners(token: Any) -> set[str]:
    """Return the names of those of whom there is anything in a token."""
    shown = contents(token)
    if shown["id"] not in {id for person in PEOPLE for id in (person.id, person.former_id)}:
        del shown["id"]  # drawn at random, it may spell a name
    return {person.name for person in PEOPLE if person.name in repr(shown)}


class Attacker:
    """Somebody who can read and write all of Redis, and has no keys.

    Which pointer is whose is seen from who asks for what; here the keys say it, which is quicker.

    Args:
        raw: A client that answers with bytes.
        namespace: What is attacked.
        settings: The stores' options.
    """

    def __init__(self, raw: Any, namespace: str, settings: dict[str, Any]) -> None:
        self.raw = raw
        self.keys = Keyspace(namespace, read_pointer_keys(settings.get("pointer_keys", ())))

    def copy(self) -> dict[bytes, bytes]:
        """Return all that there is, as it lies there."""
        return {key: self.raw.dump(key) for key in self.raw.keys("*")}

    def restore(self, copy: dict[bytes, bytes]) -> None:
        """Put a copy in the place of all that there is."""
        with self.raw.pipeline() as pipeline:
            pipeline.flushdb()
            for key, value in copy.items():
                pipeline.restore(key, 0, value)
            pipeline.execute()

    def pointers(self, person: Person) -> dict[str, list[str]]:
        """Return the keys of a person's pointers, by kind."""
        values = {"user": "user", "refresh": "refresh", "grant": "grant", "access-token": "access"}
        return {kind: [*self.keys.every(pointer(kind, person.value(field)))] for kind, field in values.items()}

    def lead(self, person: Person, kind: str, value: str | bytes) -> None:
        """Write something into a person's pointers of a kind."""
        for key in self.pointers(person)[kind]:
            self.raw.set(key, value)

    def bury(self, record_id: str, value: str | bytes) -> None:
        """Write something where the tombstone or the redirect of an id is."""
        self.raw.set(self.keys.key(f"gone:{record_id}"), value)

    def drop(self, record_id: str) -> None:
        """Remove a record, but nothing that leads to it."""
        self.raw.delete(self.keys.token(record_id), self.keys.access(record_id))

    def keep(self, person: Person) -> tuple[dict[bytes, bytes], bytes | None]:
        """Return a person's record as it lies there."""
        return self.raw.hgetall(self.keys.token(person.id)), self.raw.get(self.keys.access(person.id))

    def put(self, record_id: str, kept: tuple[dict[bytes, bytes], bytes | None]) -> None:
        """Put something in the place of a record."""
        fields, access = kept
        self.drop(record_id)
        self.raw.hset(self.keys.token(record_id), mapping=fields)
        if access is not None:
            self.raw.set(self.keys.access(record_id), access)


class Town:
    """Three users' records in a namespace of their own, each with a former id.

    Args:
        open_store: Opens a store of another process; takes options beside those that all have.
        attacker: Writes there.
    """

    def __init__(self, open_store: Callable[..., RedisTokenStore], attacker: Attacker) -> None:
        self.open_store = open_store
        self.attacker = attacker
        store = open_store()
        for person in PEOPLE:
            store.save_token(person.whole())
            time.sleep(0.002)  # of two records the older stays, by the millisecond
            before = {"refresh": f"{person.name}-before", "access": f"{person.name}-before"}
            store.save_token(person.token("client_id", "secret", id=person.former_id, **before))
            store.save_token(person.token("user", "client_id", id=person.former_id))
            token = refreshed(store.get(person.id), person.value("access"), refresh=person.value("refresh"))
            store.save_token(token)
        self._saved = attacker.copy()

    def reset(self) -> None:
        """Have everything as it was."""
        self.attacker.restore(self._saved)

    def state(self, people: Iterable[Person]) -> dict[str, Any]:
        """Return what is stored of some people, byte for byte."""
        return {person.name: self.attacker.keep(person) for person in people}

    def ask(self, store: RedisTokenStore, person: Person, use: Use) -> TokenStoreError | None:
        """Do something as a person; make sure that it brings nobody else's token; return its error, if any."""
        try:
            token = use(store)
        except TokenStoreError as error:
            self._check_words(error)
            return error
        if token is not None:
            assert owners(token) <= {person.name}, "somebody else's token was handed out"
        return None

    def _check_words(self, error: TokenStoreError) -> None:
        """Make sure that an error shows no secret, and nothing that would write elsewhere than into its line."""
        text = str(error)
        assert text.isprintable(), text
        assert len(text) < 1000
        secrets = ("refresh", "access", "grant", "secret")
        assert not any(f"{person.name}-{field}" in text for person in PEOPLE for field in secrets)

    def goes_on(self, store: RedisTokenStore, person: Person, *, saves: bool = True) -> None:
        """Make sure that a person's record works in every way."""
        for name, look in looks(person).items():
            token = look(store)
            assert token is not None, name
            assert token.get_access_token() == person.value("access"), name
        if saves:
            store.invalidate_access_token(person.id)
            store.save_token(refreshed(store.find_token_by_id(person.id), f"{person.name}-next"))
            assert store.find_token(person.token("user", "client_id")).get_access_token() == f"{person.name}-next"
