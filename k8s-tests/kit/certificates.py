"""Certificates for a test's servers: an authority, and what it signs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA of its own; `certificate` is PEM."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: str


@dataclass(frozen=True)
class Identity:
    """A certificate and its key, both PEM, as a server presents them."""

    certificate: str
    key: str


def authority(name: str) -> Authority:
    """A new CA, good until tomorrow."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = named(name)
    usage = x509.KeyUsage(
        digital_signature=False,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    signed = (
        builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(subject, key, pem(signed))


def identity(issuer: Authority, host: str) -> Identity:
    """A certificate of a server that is called `host`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    signed = (
        builder(named(host), issuer.name, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(of_issuer, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Identity(pem(signed), text.decode())


def named(name: str) -> x509.Name:
    """The name of a subject."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """Returns a builder with the fields that all certificates have in common."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def pem(certificate: x509.Certificate) -> str:
    """Encodes a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
