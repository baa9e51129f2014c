"""Makes certificates from keys that are handed in, and the Secrets that hold them.

Pure but for the signature's own randomness.  Called by `act_certificates`, which makes the keys.
"""

import base64
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.due import mountable
from controllers.cluster.certificates.facts import ISSUER, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.parse import decoded, fingerprint
from controllers.cluster.certificates.subjects import (
    Subject,
    authority_name,
    caller_of,
    secret_name,
    subject_of,
)
from controllers.cluster.certificates.trust import Bundle, authority_print, trust_of
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.meta import metadata
from controllers.cluster.render.tls import (
    AUTHORITY_KEY,
    CALLER_KEY,
    CERTIFICATE_KEY,
    NEXT_CERTIFICATE_KEY,
    NEXT_PRIVATE_KEY_KEY,
    PRIVATE_KEY_KEY,
    bundle_key,
)

# Where a Secret has an authority: the one that is recorded, and the one that comes after it.
_SLOTS: Final = (
    (CERTIFICATE_KEY, PRIVATE_KEY_KEY),
    (NEXT_CERTIFICATE_KEY, NEXT_PRIVATE_KEY_KEY),
)
Life: TypeAlias = tuple[datetime, datetime]
_NOTHING: Final = dict.fromkeys(
    (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    ),
    False,
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Authority:
    """A certificate authority with its key. Never shown."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


def authority_from(secret: Mapping[str, Any], wanted: str) -> Authority | None:
    """The authority with this fingerprint in a Secret of ours, be it the next one; None when it is
    not there with its key.
    """
    for certificate_key, private_key in _SLOTS:
        try:
            certificate = x509.load_pem_x509_certificate(decoded(secret, certificate_key))
            key = load_pem_private_key(decoded(secret, private_key), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if fingerprint(certificate) == wanted and isinstance(key, EllipticCurvePrivateKey):
            return Authority(certificate=certificate, key=key)
    return None


def new_authority(
    cluster: str, role: Role, key: EllipticCurvePrivateKey, serial: int, life: Life
) -> Authority:
    """The authority of a cluster."""
    return self_signed(authority_name(cluster, role), key, serial, life)


def self_signed(
    common_name: str, key: EllipticCurvePrivateKey, serial: int, life: Life
) -> Authority:
    """A certificate authority that has signed itself."""
    name = _name(common_name)
    builder = (
        _begun(name, name, key, serial, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(**{**_NOTHING, "key_cert_sign": True, "crl_sign": True}), critical=True
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    return Authority(certificate=builder.sign(key, hashes.SHA256()), key=key)


def new_leaf(
    authority: Authority, subject: Subject, key: EllipticCurvePrivateKey, serial: int, life: Life
) -> x509.Certificate:
    """A certificate of the authority, for whoever has the key."""
    issuer = authority.certificate
    builder = (
        _begun(_name(subject.common_name), issuer.subject, key, serial, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**{**_NOTHING, "digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_usages(subject)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    names = [
        *map(x509.DNSName, subject.names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses),
    ]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def authority_secret(who: Identity, role: Role, authority: Authority) -> dict[str, Any]:
    """The Secret of an authority, its key included."""
    certificate = _pem(authority.certificate)
    return _secret(
        who,
        role,
        {
            CERTIFICATE_KEY: certificate,
            PRIVATE_KEY_KEY: _key_pem(authority.key),
            AUTHORITY_KEY: certificate,
        },
    )


def next_authority(authority: Authority) -> dict[str, str]:
    """What a Secret of an authority holds besides when this one is to come after it."""
    return encoded(
        {
            NEXT_CERTIFICATE_KEY: _pem(authority.certificate),
            NEXT_PRIVATE_KEY_KEY: _key_pem(authority.key),
        }
    )


def succeeded(authority: Authority) -> dict[str, str | None]:
    """The change of an authority's Secret that puts the next one in its place, as a merge patch."""
    certificate = _pem(authority.certificate)
    made = encoded(
        {
            CERTIFICATE_KEY: certificate,
            PRIVATE_KEY_KEY: _key_pem(authority.key),
            AUTHORITY_KEY: certificate,
        }
    )
    return {**made, NEXT_CERTIFICATE_KEY: None, NEXT_PRIVATE_KEY_KEY: None}


def trust_data(
    role: Role, authorities: AuthorityStatus, known: Iterable[Sequence[x509.Certificate]]
) -> dict[str, bytes]:
    """Whom the owner of a leaf trusts, under every key of its Secret that members or clients read.

    `known`: authorities, each of one certificate or more. Raises KeyError for one that is not among
    them.
    """
    by_print = {authority_print(map(fingerprint, one)): one for one in known}

    def pems(bundle: Bundle) -> bytes:
        return b"".join(dict.fromkeys(_pem(one) for name in bundle for one in by_print[name]))

    return {
        AUTHORITY_KEY: pems(trust_of(authorities, ISSUER[role]).bundle),
        **{bundle_key(bundle): pems(bundle) for bundle in mountable(role, authorities)},
    }


def leaf_data(
    who: Holder,
    role: Role,
    authority: Authority,
    *,
    key: EllipticCurvePrivateKey,
    serials: tuple[int, int],
    life: Life,
) -> dict[str, bytes]:
    """A leaf, its key, and all certificates of that key, under the keys of its Secret."""
    leaf = new_leaf(authority, subject_of(who, role), key, serials[0], life)
    data = {CERTIFICATE_KEY: _pem(leaf), PRIVATE_KEY_KEY: _key_pem(key)}
    caller = caller_of(role)
    if caller is not None:
        data[CALLER_KEY] = _pem(new_leaf(authority, caller, key, serials[1], life))
    return data


def kept_data(role: Role, secret: Mapping[str, Any]) -> dict[str, bytes]:
    """The same of a leaf that is there. Raises ValueError where something is missing."""
    keys = (CERTIFICATE_KEY, PRIVATE_KEY_KEY, *((CALLER_KEY,) if caller_of(role) else ()))
    return {key: decoded(secret, key) for key in keys}


def leaf_secret(who: Identity, role: Role, data: Mapping[str, bytes]) -> dict[str, Any]:
    """The Secret of a leaf."""
    return _secret(who, role, data)


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    serial: int,
    life: Life,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usages(subject: Subject) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if subject.serves else []
    client = [ExtendedKeyUsageOID.CLIENT_AUTH] if subject.calls else []
    return [*server, *client]


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _secret(who: Identity, role: Role, data: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(who, secret_name(who.name, role)),
        "type": "kubernetes.io/tls",
        "data": encoded(data),
    }


def encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    """Values as a Secret has them, in base64."""
    return {key: base64.b64encode(value).decode() for key, value in data.items()}
