"""URLs of Redis servers, Sentinel sets and clusters, read in one place.

::

    redis://[user:password@]host[:port][/db][?options]              rediss:// with TLS
    unix://[user:password@]/path/of/the/socket[?options]
    redis+sentinel://[user:password@]host[:port],.../service[/db][?options]
    redis+cluster://[user:password@]host[:port],...[?options]

No message repeats any part of a URL that is not a name known here: the rest may be a piece of a password.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from zoho_token_store.dialer import Address
from zoho_token_store.errors import ConfigurationError

PORTS = {"redis": 6379, "redis+sentinel": 26379, "redis+cluster": 6379}
SCHEMES = {
    "redis": ("redis", False),
    "rediss": ("redis", True),
    "unix": ("unix", False),
    "redis+sentinel": ("redis+sentinel", False),
    "rediss+sentinel": ("redis+sentinel", True),
    "redis+cluster": ("redis+cluster", False),
    "rediss+cluster": ("redis+cluster", True),
}
"""By what a URL begins with: the kind of topology, and whether it is reached by TLS."""

PLAIN = (
    "username", "password", "sentinel_username", "sentinel_password", "db", "protocol", "client_name",
    "operation_timeout", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_read_size",
    "max_connections", "timeout", "retry_on_timeout", "health_check_interval",
)  # fmt: skip
TLS = (
    "ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_path", "ssl_ca_data",
    "ssl_check_hostname", "ssl_min_version", "ssl_ciphers", "ssl_include_verify_flags", "ssl_exclude_verify_flags",
)  # fmt: skip

# redis-py takes any option of a URL as it stands there: "false" would be true, or quietly nothing.
_NOT_TEXT = ("credential_provider", "redis_connect_func", "ssl_ocsp_context", "ssl_validate_ocsp",
             "ssl_validate_ocsp_stapled")  # fmt: skip

_QUOTING = "characters such as / ? # @ : in a user name or password are written as %2F %3F %23 %40 %3A"


def _natural(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError
    return number


def _protocol(value: str) -> int:
    if value not in ("2", "3"):
        raise ValueError
    return int(value)


def _cert_reqs(value: str) -> str:
    if value not in ("none", "optional", "required"):
        raise ValueError
    return value


_PARSERS: dict[str, Any] = dict(URL_QUERY_ARGUMENT_PARSERS) | {
    "db": _natural,
    "protocol": _protocol,
    "operation_timeout": float,
    "ssl_cert_reqs": _cert_reqs,
    "ssl_min_version": lambda value: ssl.TLSVersion(int(value)),
}


@dataclass(frozen=True, repr=False)  # it may hold a password
class Target:
    """What a URL says.

    Attributes:
        kind: ``redis``, ``unix``, ``redis+sentinel`` or ``redis+cluster``.
        tls: Whether to use TLS.
        hosts: Where; one for ``redis``, none for ``unix``.
        path: Of the socket.
        service: The Sentinels' name for the master.
        options: Everything else, as redis-py's connections take it.
    """

    kind: str
    tls: bool
    hosts: tuple[Address, ...]
    path: str
    service: str
    options: Mapping[str, Any]


def read_url(url: str) -> Target:
    """Return what a URL says.

    Raises:
        ConfigurationError: It cannot be used; the message says why.
    """
    if not isinstance(url, str):
        _refuse("must be text such as redis://localhost:6379/0")
    scheme, mark, rest = url.partition("://")
    if not mark or scheme not in SCHEMES:
        _refuse(f"must start with {', '.join(f'{name}://' for name in SCHEMES)}")
    if "#" in rest or any(character <= " " or character == "\x7f" for character in rest):
        _refuse(f"must not contain #, blanks or control characters; {_QUOTING}")
    kind, tls = SCHEMES[scheme]
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    userinfo, _, hosts = authority.rpartition("@")
    options = _read_query(query, tls) | _read_userinfo(userinfo)
    if kind == "unix":
        return Target(kind, tls, (), _read_socket(hosts, slash + path), "", options)
    addresses = tuple(_read_host(host, PORTS[kind]) for host in hosts.split(","))
    if len(addresses) > 1 and not all(address.host for address in addresses):
        _refuse("has an empty host among several: a comma too many, or a port without a host")
    if kind == "redis" and len(addresses) > 1:
        _refuse("names several hosts: use redis+sentinel:// or redis+cluster://")
    service = ""
    if kind == "redis+sentinel":
        service, _, path = path.partition("/")
        service = unquote(service)
        if not service:
            _refuse("needs the name of the service: redis+sentinel://host:26379,host:26379/service/0")
    elif "sentinel_username" in options or "sentinel_password" in options:
        _refuse("has options for Sentinels: they are for redis+sentinel://")
    options = _read_db(path, kind) | options
    if kind == "redis+cluster" and options.get("db"):
        _refuse("names a database: a Redis Cluster has none but 0")
    reached = tuple(Address(address.host or "localhost", address.port) for address in addresses)
    return Target(kind, tls, reached, "", service, options)


def _read_query(query: str, tls: bool) -> dict[str, Any]:
    try:
        pairs = parse_qsl(query, strict_parsing=True) if query else []
    except ValueError:
        _refuse(f"has a query that is not name=value&name=value; {_QUOTING}")
    options: dict[str, Any] = {}
    for name, value in pairs:
        if name in TLS and not tls:
            _refuse(f"has the option {name}, which needs TLS: rediss://, rediss+sentinel:// or rediss+cluster://")
        if name in _NOT_TEXT:
            _refuse(f"{name} cannot be given in it: make a client of redis-py with it")
        if name not in PLAIN and name not in TLS:
            _refuse(f"has an unknown option; there are {', '.join((*PLAIN, *TLS))}")
        try:
            options[name] = _PARSERS.get(name, str)(value)
        except (ValueError, TypeError):
            _refuse(f"has an option {name} whose value cannot be used")
    return options


def _read_userinfo(userinfo: str) -> dict[str, str]:
    name, _, password = userinfo.partition(":")
    given = {"username": unquote(name), "password": unquote(password)}
    return {key: value for key, value in given.items() if value}


def _read_socket(host: str, path: str) -> str:
    if host or path in ("", "/"):
        _refuse("needs the absolute path of a socket: unix:///run/redis.sock")
    path = unquote(path)
    if "\0" in path:
        _refuse("needs the path of a socket, without a zero byte")
    return path


def _read_host(text: str, default_port: int) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default_port)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or "[" in host or "]" in host:
        _refuse(f"has a host that cannot be read: IPv6 goes in brackets, as in [::1]:6379; {_QUOTING}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        _refuse(f"has a port that is not a number from 1 to 65535; {_QUOTING}")
    return Address(_check_host(unquote(host)), int(port))


def _check_host(host: str) -> str:
    try:
        host.encode("idna")  # as the look-up will
    except UnicodeError:
        _refuse("has a host that is no host name")
    if any(character <= " " for character in host):
        _refuse("has a host that is no host name")
    return host


def _read_db(path: str, kind: str) -> dict[str, int]:
    if not path:
        return {}
    if not (path.isascii() and path.isdigit()):
        where = "service/0" if kind == "redis+sentinel" else "0"
        _refuse(f"has a database that is not a number: what follows the host is /{where}; {_QUOTING}")
    return {"db": int(path)}


def _refuse(why: str) -> NoReturn:
    raise ConfigurationError("url", why)
