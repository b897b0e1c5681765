"""Certificates for the tests of TLS, made when they are asked for: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
"""The name in the servers' certificates, unless a test asks for another."""

_DAY = datetime.timedelta(days=1)


class Pair(NamedTuple):
    """A certificate and its private key, as files in PEM.

    Attributes:
        certificate: The certificate's path.
        key: The key's path.
    """

    certificate: str
    key: str


class Authority:
    """A certificate authority that only the tests know.

    Args:
        folder: Where its files go.
        name: What it is called; the names of its files begin with it.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, self._key.public_key(), -_DAY, 30 * _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            builder.add_extension(identifier, False).add_extension(usage, True).sign(self._key, hashes.SHA256())
        )
        self.path = str(self._write(f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM)))
        """The file that clients and servers are told to trust."""

    def issue(self, name: str, host: str = HOST, *, days: int = 30, password: str | None = None) -> Pair:
        """Return a new certificate for a server or a client.

        Args:
            name: What its files are called.
            host: The IP address or host name that it is for.
            days: How long it is good from now on; less than 0 for one that has ended.
            password: What its key is encrypted with.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, self._name, key.public_key(), min(-1, days - 30) * _DAY, days * _DAY)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host)]), False).add_extension(issuer, False)
        certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        secrecy = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secrecy)
        files = (self._write(f"{name}.crt", certificate), self._write(f"{name}.key", private))
        return Pair(*map(str, files))

    def server_options(self, pair: Pair, *, asks: bool = False) -> list[str]:
        """Return a Redis server's options.

        Args:
            pair: Its own certificate and key.
            asks: Whether it asks clients for a certificate, which must be of this authority.
        """
        files = ["--tls-cert-file", pair.certificate, "--tls-key-file", pair.key, "--tls-ca-cert-file", self.path]
        return [*files, "--tls-auth-clients", "yes" if asks else "no"]

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, since: datetime.timedelta, until: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(_called(subject)).issuer_name(_called(issuer)).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now + since).not_valid_after(now + until)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
