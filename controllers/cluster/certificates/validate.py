"""Examines a Secret of the user's before anything of it is used.

Pure and total: any bytes give a value.  What etcd's own TLS (Go's crypto/tls) would refuse later,
in a member that does not start or a client that is turned away, is refused here, with the remedy.
No text repeats anything of a Secret's data but the names of certificates' fields.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.v1alpha1.auth import ROOT
from controllers.cluster.certificates.chain import chain_above
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.parse import (
    FAILURES,
    UnfitSecretError,
    certificate_facts,
    decoded,
    fingerprint,
)
from controllers.cluster.certificates.sources import Source, SourceFacts
from controllers.cluster.certificates.subjects import needed_of
from controllers.cluster.certificates.trust import authority_print
from controllers.cluster.render.tls import (
    AUTHORITY_KEY,
    CALLER_KEY,
    CERTIFICATE_KEY,
    PEER_COMMON_NAME,
    PRIVATE_KEY_KEY,
)

_WEAKEST_RSA: Final = 2048
_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_KINDS: Final = "RSA of at least 2048 bits, ECDSA on P-256, P-384 or P-521, or Ed25519"
_BROKEN_HASHES: Final = frozenset({"md5", "sha1"})

Secrets = Mapping[str, Mapping[str, Any]]
ValueT = TypeVar("ValueT")
ResultT = TypeVar("ResultT")
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What is known of a source, and what its role's Secret should hold: nothing if it is unfit."""

    facts: SourceFacts
    data: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def examine(source: Source, secrets: Secrets, who: Holder, now: datetime) -> Examined:
    """Everything about a source. `secrets`: those that exist, by name."""
    absent = next((name for name in source.secrets if name not in secrets), None)
    if absent is not None:
        what = "tls.crt and tls.key" if absent == source.secret else "ca.crt"
        problem = f"Secret {absent} ({source.field}) does not exist: make it, with {what}"
        return _unfit(problem, missing=absent)
    place = next((name for name in source.authorities if _has_authority(secrets[name])), None)
    place = place or source.authorities[-1]
    try:
        bundle = _bundle(secrets[place])
    except UnfitSecretError as error:
        return _unfit(f"Secret {place} (the authority of {source.field}) can't be used: {error}")
    try:
        return _examined(source, secrets[source.secret], bundle, who, now)
    except UnfitSecretError as error:
        return _unfit(f"Secret {source.secret} ({source.field}) can't be used: {error}")


def chains(secret: Mapping[str, Any], now: datetime) -> bool:
    """Whether a leaf's Secret holds a certificate of an authority in its own ca.crt."""
    try:
        leaf, *others = _certificates(secret)
        chain_above(leaf, tuple(others), _bundle(secret), now)
    except UnfitSecretError:
        return False
    return True


def _unfit(problem: str, *, missing: str = "") -> Examined:
    return Examined(facts=SourceFacts(problem=problem, missing=missing))


def _examined(
    source: Source,
    secret: Mapping[str, Any],
    bundle: tuple[x509.Certificate, ...],
    who: Holder,
    now: datetime,
) -> Examined:
    """Raises UnfitSecretError."""
    leaf, *others = _certificates(secret)
    key = _private_key(secret)
    for problem in _problems_of_leaf(leaf, key, now):
        raise UnfitSecretError(problem)
    for problem in _problems_of_role(leaf, source.role, who):
        raise UnfitSecretError(problem)
    chain = chain_above(leaf, tuple(others), bundle, now)
    certificate = b"".join(map(_pem, (leaf, *others)))
    data = {
        CERTIFICATE_KEY: certificate,
        PRIVATE_KEY_KEY: _key_pem(key),
        AUTHORITY_KEY: b"".join(map(_pem, bundle)),
    }
    if source.role is Role.PEER:
        data[CALLER_KEY] = certificate
    facts = SourceFacts(
        certificate=certificate_facts(leaf),
        authority=authority_print(map(fingerprint, bundle)),
        ends=min(one.not_valid_after_utc for one in (leaf, *chain)),
    )
    return Examined(facts=facts, data=data)


def _has_authority(secret: Mapping[str, Any]) -> bool:
    return bool((secret.get("data") or {}).get(AUTHORITY_KEY))


def _bundle(secret: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    """The authorities in ca.crt. Raises UnfitSecretError."""
    text = _value(secret, AUTHORITY_KEY, "put the certificate of the authority there, in PEM")
    bundle = _load(text, AUTHORITY_KEY)
    for one in bundle:
        if not certificate_facts(one).is_authority:
            raise UnfitSecretError(
                "its ca.crt holds a certificate that is no authority: put only certificates with"
                " basicConstraints CA:TRUE there"
            )
    return bundle


def _certificates(secret: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    """The leaf and what comes after it. Raises UnfitSecretError."""
    text = _value(secret, CERTIFICATE_KEY, "put the certificate there, in PEM")
    return _load(text, CERTIFICATE_KEY)


def _value(secret: Mapping[str, Any], key: str, remedy: str) -> bytes:
    try:
        return decoded(secret, key)
    except UnfitSecretError as error:
        message = f"{error}: {remedy}"
        raise UnfitSecretError(message) from None


def _load(text: bytes, key: str) -> tuple[x509.Certificate, ...]:
    found = _read(key, x509.load_pem_x509_certificates, text)
    for certificate in found:
        _read(key, certificate_facts, certificate)
        if certificate.serial_number < 0:  # Go does not read it (GODEBUG x509negativeserial)
            message = f"its {key} holds a certificate with a negative serial number: make it anew"
            raise UnfitSecretError(message)
    return tuple(found)


def _read(key: str, reader: Callable[[ValueT], ResultT], value: ValueT) -> ResultT:
    try:
        return reader(value)
    except FAILURES:
        message = f"its {key} can't be read: put one or more certificates there, in PEM"
        raise UnfitSecretError(message) from None


def _private_key(secret: Mapping[str, Any]) -> PrivateKey:
    remedy = "put the private key there, in PEM, without a passphrase"
    text = _value(secret, PRIVATE_KEY_KEY, remedy)
    if b"ENCRYPTED" in text:
        raise UnfitSecretError("its tls.key is encrypted: put it there without a passphrase")
    try:
        key = load_pem_private_key(text, password=None)
    except FAILURES:
        message = f"its tls.key can't be read: {remedy}"
        raise UnfitSecretError(message) from None
    match key:
        case rsa.RSAPrivateKey() if key.key_size >= _WEAKEST_RSA:
            return key
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, _CURVES):
            return key
        case ed25519.Ed25519PrivateKey():
            return key
        case _:
            message = f"its key is of a kind that TLS does not take: use {_KINDS}"
            raise UnfitSecretError(message)


def _problems_of_leaf(leaf: x509.Certificate, key: PrivateKey, now: datetime) -> Iterator[str]:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public_key = _read(CERTIFICATE_KEY, x509.Certificate.public_key, leaf)
    if certificate_facts(leaf).is_authority:
        yield "the first certificate in tls.crt is an authority: put the server's or client's first"
    if key.public_key().public_bytes(*form) != public_key.public_bytes(*form):
        yield "its tls.key is not the key of the first certificate in tls.crt: put both of a pair"
    if _is_broken(leaf):
        yield "it is signed with MD5 or SHA-1: have it signed with SHA-256"
    if now >= leaf.not_valid_after_utc:
        yield f"it expired at {_when(leaf.not_valid_after_utc)}: renew it"
    if now < leaf.not_valid_before_utc:
        begin = _when(leaf.not_valid_before_utc)
        yield f"it is not valid before {begin}: wait, or have it made anew"


def _problems_of_role(leaf: x509.Certificate, role: Role, who: Holder) -> Iterator[str]:
    facts, needed = certificate_facts(leaf), needed_of(who, role)
    usages = _usages(leaf)
    if needed.serves and not _allows(usages, ExtendedKeyUsageOID.SERVER_AUTH):
        yield "its extended key usages lack serverAuth: have it made with serverAuth and clientAuth"
    if needed.calls and not _allows(usages, ExtendedKeyUsageOID.CLIENT_AUTH):
        uses = "serverAuth and clientAuth" if needed.serves else "clientAuth"
        yield f"its extended key usages lack clientAuth: have it made with {uses}"
    if role is Role.PEER and facts.common_name != PEER_COMMON_NAME:
        yield (
            f"its common name is not {PEER_COMMON_NAME}: have it made with CN={PEER_COMMON_NAME},"
            " by which members know each other from clients"
        )
    if role is Role.OPERATOR and facts.common_name != ROOT:
        yield (
            f"its common name is not {ROOT}: have it made with CN={ROOT}, by which etcd takes the"
            f" operator for the user {ROOT}"
        )
    missing = [name for name in needed.names if not _covers(facts.names, name)]
    missing += [address for address in needed.addresses if address not in facts.addresses]
    if missing:
        yield f"its subject alternative names lack {', '.join(missing)}: have it made with them"


def _usages(leaf: x509.Certificate) -> frozenset[x509.ObjectIdentifier] | None:
    """None: it may be used for everything (RFC 5280, section 4.2.1.12)."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    usages = frozenset(found)
    return None if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages else usages


def _allows(usages: frozenset[x509.ObjectIdentifier] | None, wanted: x509.ObjectIdentifier) -> bool:
    return usages is None or wanted in usages


def _covers(names: tuple[str, ...], wanted: str) -> bool:
    """Whether a certificate is good for a name; for a wildcard only with the same wildcard."""
    known = {name.lower() for name in names}
    return wanted.lower() in known or f"*.{wanted.lower().partition('.')[2]}" in known


def _is_broken(certificate: x509.Certificate) -> bool:
    try:
        algorithm = certificate.signature_hash_algorithm
    except FAILURES:
        return True
    return algorithm is not None and algorithm.name in _BROKEN_HASHES


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
