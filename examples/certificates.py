"""Make the certificate with which Redis speaks TLS, and the authority that signs it.

    python examples/certificates.py --host redis --server /tls --authority /authority

For a network of your own, such as that of docker-compose.yml; where there is an authority already, use that one. This
one's key is forgotten as soon as it has signed: nobody can make another certificate that these clients would accept.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

AUTHORITY = "authority of this Redis"
LIFE = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)

Key = ec.EllipticCurvePrivateKey


def main() -> None:
    """Write ``redis.crt`` and ``redis.key`` for the server and ``ca.crt`` for its clients, unless they are there."""
    parser = argparse.ArgumentParser(description="Make a certificate for Redis, and the authority that signs it.")
    parser.add_argument("--host", required=True, help="the host name in the clients' URLs")
    parser.add_argument("--server", type=Path, required=True, help="the folder that the server alone can read")
    parser.add_argument("--authority", type=Path, required=True, help="the folder that clients read too")
    options = parser.parse_args()
    certificate, authority = options.server / "redis.crt", options.authority / "ca.crt"
    if authority.exists() and is_good(certificate):
        print("The certificate is good for a while yet.")
        return
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    write(options.server / "redis.key", pem(key))
    write(certificate, signed(describe_server(options.host, key, authority_key), authority_key))
    write(authority, signed(describe_authority(authority_key), authority_key))
    print(f"A certificate for {options.host} was made. It ends in {LIFE.days} days; start Redis anew to have it used.")


def is_good(certificate: Path) -> bool:
    """Tell whether there is a certificate that does not end soon."""
    if not certificate.exists():
        return False
    ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return ends - datetime.datetime.now(datetime.timezone.utc) > RENEW_BEFORE


def describe_authority(key: Key) -> x509.CertificateBuilder:
    """Return what stands in the certificate of the authority."""
    may = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False)
    may |= dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(**may, key_cert_sign=True, crl_sign=True)
    builder = described(AUTHORITY, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(usage, critical=True).add_extension(identifier, critical=False)


def describe_server(host: str, key: Key, authority_key: Key) -> x509.CertificateBuilder:
    """Return what stands in the certificate of the server."""
    names = x509.SubjectAlternativeName([x509.DNSName(host)])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return described(host, key).add_extension(names, critical=False).add_extension(issuer, critical=False)


def described(subject: str, key: Key) -> x509.CertificateBuilder:
    """Return what stands in either."""
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, AUTHORITY)]
    builder = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - datetime.timedelta(minutes=5)).not_valid_after(now + LIFE)


def signed(builder: x509.CertificateBuilder, key: Key) -> bytes:
    """Return a certificate as PEM."""
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(key: Key) -> bytes:
    """Return a private key as PEM."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write(path: Path, content: bytes) -> None:
    """Write a file that whoever sees its folder may read: the server runs as another user."""
    path.write_bytes(content)
    path.chmod(0o644)


if __name__ == "__main__":
    main()
