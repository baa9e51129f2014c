"""The admission server's certificate: what is in its Secret, and the one next step.

Pure but for serial numbers: keys and the time are handed in.  A certificate comes with an
authority of its own that has signed it and nothing else, and whose key is kept nowhere.  A new pair
is written beside the old one, served only once the API server has been told to trust both, and the
old one stays trusted until it ends, for replicas that still serve it:

    no pair that can be used        make one
    a third of its life is left     make the next one
    the trust is not published      publish it
    next one there, published       serve it
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from api.labels import MANAGED_BY, MANAGED_BY_LABEL
from controllers.cluster.certificates.issue import new_leaf, self_signed
from controllers.cluster.certificates.parse import decoded
from controllers.cluster.certificates.subjects import Subject

SECRET: Final = "etcd-operator-webhook-tls"  # noqa: S105 - a name
SERVICE: Final = "etcd-operator-webhook"

LIFE: Final = timedelta(days=365)
# Clocks differ: a certificate that begins now is from the future for some API servers.
_BACKDATED: Final = timedelta(minutes=5)

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
TRUST: Final = "ca.crt"
NEXT_CERTIFICATE: Final = "next.crt"
NEXT_KEY: Final = "next.key"

_FAILURES: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)


class Step(Enum):
    """What is to be done next."""

    MAKE = "make a pair and serve it"
    MAKE_NEXT = "make the pair that is to be served next"
    PUBLISH = "tell the API server whom to trust"
    SERVE_NEXT = "serve the next pair"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Pair:
    """A certificate that fits its key, as PEM. Never shown."""

    certificate: bytes
    key: bytes
    not_before: datetime
    not_after: datetime


def names_in(namespace: str) -> tuple[str, ...]:
    """Where the API server looks for us: the Service, and this machine for one beside it."""
    return (f"{SERVICE}.{namespace}.svc", "localhost")


def next_step(
    secret: Mapping[str, Any] | None, published: bytes | None, namespace: str, now: datetime
) -> Step | None:
    """None when all is well. `published`: what the API server trusts, as PEM; None when it has not
    been told of us at all, so that nobody can be surprised.
    """
    pair = None if secret is None else served_pair(secret, namespace)
    if secret is None or pair is None or now >= pair.not_after:
        return Step.MAKE
    waiting = _pair(secret, NEXT_CERTIFICATE, NEXT_KEY, namespace)
    if waiting is not None and now >= waiting.not_after:
        waiting = None
    is_due = now >= pair.not_before + (pair.not_after - pair.not_before) * 2 / 3
    if is_due and waiting is None:
        return Step.MAKE_NEXT
    if published is not None and published != decoded(secret, TRUST):
        return Step.PUBLISH
    return Step.SERVE_NEXT if waiting is not None else None


def served_pair(secret: Mapping[str, Any], namespace: str) -> Pair | None:
    """The pair to be served; None when there is none that could be: for any Secret whatever."""
    return _pair(secret, CERTIFICATE, KEY, namespace)


def trusted(secret: Mapping[str, Any]) -> bytes:
    """Whom the API server is to trust, as PEM. Raises ValueError for a Secret without that."""
    return decoded(secret, TRUST)


def new_secret(
    namespace: str,
    key: EllipticCurvePrivateKey,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
) -> dict[str, Any]:
    """The whole Secret, with a first pair."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": MANAGED_BY, MANAGED_BY_LABEL: MANAGED_BY},
        },
        "type": "kubernetes.io/tls",
        "data": first_data(None, namespace, key, authority_key, now),
    }


def first_data(
    secret: Mapping[str, Any] | None,
    namespace: str,
    key: EllipticCurvePrivateKey,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
) -> dict[str, str | None]:
    """The data of a Secret that had none of use: a new pair, to be served at once."""
    leaf, authority = _made(namespace, key, authority_key, now)
    return {
        CERTIFICATE: _text(leaf),
        KEY: _key_text(key),
        TRUST: _bundle(authority, secret, now),
        **({} if secret is None else {NEXT_CERTIFICATE: None, NEXT_KEY: None}),
    }


def next_data(
    secret: Mapping[str, Any],
    namespace: str,
    key: EllipticCurvePrivateKey,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
) -> dict[str, str | None]:
    """What to write beside the pair that is served."""
    leaf, authority = _made(namespace, key, authority_key, now)
    return {
        NEXT_CERTIFICATE: _text(leaf),
        NEXT_KEY: _key_text(key),
        TRUST: _bundle(authority, secret, now),
    }


def promoted_data(secret: Mapping[str, Any]) -> dict[str, str | None]:
    """The next pair in the place of the one that is served."""
    data = secret["data"]
    return {
        CERTIFICATE: data[NEXT_CERTIFICATE],
        KEY: data[NEXT_KEY],
        NEXT_CERTIFICATE: None,
        NEXT_KEY: None,
    }


def _pair(
    secret: Mapping[str, Any], certificate_key: str, private_key: str, namespace: str
) -> Pair | None:
    """None unless everything fits: key, names, and an authority in the Secret that signed it."""
    try:
        text, key_text = decoded(secret, certificate_key), decoded(secret, private_key)
        certificate = x509.load_pem_x509_certificate(text)
        key = load_pem_private_key(key_text, password=None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fits = (
            key.public_key() == certificate.public_key()
            and set(names.get_values_for_type(x509.DNSName)) == {*names_in(namespace)}
            and any(_signed(certificate, a) for a in _authorities(secret))
        )
    except _FAILURES:
        return None
    if not fits:
        return None
    return Pair(
        certificate=text,
        key=key_text,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _authorities(secret: Mapping[str, Any]) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(decoded(secret, TRUST))


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (*_FAILURES, InvalidSignature):
        return False
    return True


def _made(
    namespace: str,
    key: EllipticCurvePrivateKey,
    authority_key: EllipticCurvePrivateKey,
    now: datetime,
) -> tuple[x509.Certificate, x509.Certificate]:
    """A certificate and its authority, with one life."""
    begin = now.replace(microsecond=0)
    life = (begin - _BACKDATED, begin + LIFE)
    serial = x509.random_serial_number
    # A name of its own for each: the API server looks for an issuer by its name.
    name = f"etcd-operator webhook CA {begin:%Y-%m-%dT%H:%M:%SZ}"
    authority = self_signed(name, authority_key, serial(), life)
    subject = Subject(
        common_name=SERVICE,
        names=names_in(namespace),
        addresses=("127.0.0.1", "::1"),
        serves=True,
    )
    return new_leaf(authority, subject, key, serial(), life), authority.certificate


def _bundle(newest: x509.Certificate, secret: Mapping[str, Any] | None, now: datetime) -> str:
    """The newest authority, and of those before it the ones that have not ended."""
    try:
        before = [] if secret is None else _authorities(secret)
    except _FAILURES:
        before = []
    kept = [newest, *(one for one in before if now < one.not_valid_after_utc)]
    return _base64(b"".join(one.public_bytes(Encoding.PEM) for one in kept))


def _text(certificate: x509.Certificate) -> str:
    return _base64(certificate.public_bytes(Encoding.PEM))


def _key_text(key: EllipticCurvePrivateKey) -> str:
    return _base64(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
