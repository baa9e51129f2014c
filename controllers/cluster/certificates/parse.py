"""Secrets as the API server gives them → facts without anything secret.

Pure and total: whatever anybody has put into a Secret, that it can't be read is a fact as well.  No
text here repeats anything of a Secret's data.
"""

import base64
import contextlib
from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controllers.cluster.certificates.facts import (
    AUTHORITIES,
    ISSUER,
    CertificateFacts,
    Facts,
    Role,
    SecretFacts,
)
from controllers.cluster.render.tls import (
    AUTHORITY_KEY,
    CALLER_KEY,
    CERTIFICATE_KEY,
    NEXT_CERTIFICATE_KEY,
    NEXT_PRIVATE_KEY_KEY,
    PRIVATE_KEY_KEY,
    is_bundle_key,
)

Secrets = Mapping[Role, Mapping[str, Any]]
# What the parser raises for what it does not like.
FAILURES: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class UnfitSecretError(ValueError):
    """A Secret lacks what it should have; the message quotes nothing of it."""


def read_facts(secrets: Secrets) -> Facts:
    """The facts of the Secrets that there are. Never raises for anything that is in them."""
    authorities = {role: _authorities(secrets[role]) for role in AUTHORITIES if role in secrets}
    return {
        role: _secret_facts(role, secret, authorities.get(ISSUER.get(role, role), ()))
        for role, secret in secrets.items()
    }


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the whole certificate, in hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def decoded(secret: Mapping[str, Any], key: str) -> bytes:
    """One value of a Secret. Raises UnfitSecretError, which does not quote it."""
    text = (secret.get("data") or {}).get(key)
    if not isinstance(text, str) or not text:
        message = f"it has no {key}"
        raise UnfitSecretError(message)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        message = f"its {key} is no base64"
        raise UnfitSecretError(message) from None


def bundles_in(secret: Mapping[str, Any]) -> dict[str, tuple[x509.Certificate, ...]]:
    """The bundles of authorities under keys of their own; without those that can't be read."""
    keys = filter(is_bundle_key, secret.get("data") or {})
    return {key: bundle for key in keys if (bundle := _bundle(secret, key))}


def authorities_in(secret: Mapping[str, Any]) -> tuple[tuple[x509.Certificate, ...], ...]:
    """What is in tls.crt, ca.crt and that of a next authority, and in bundles, as far as it can be
    read.
    """
    alone = tuple((one,) for one in _authorities(secret))
    bundles = (_bundle(secret, AUTHORITY_KEY), *bundles_in(secret).values())
    return (*alone, *filter(None, bundles))


def _bundle(secret: Mapping[str, Any], key: str) -> tuple[x509.Certificate, ...]:
    with contextlib.suppress(*FAILURES):
        return tuple(x509.load_pem_x509_certificates(decoded(secret, key)))
    return ()


def _authorities(secret: Mapping[str, Any]) -> tuple[x509.Certificate, ...]:
    found = []
    for key in (CERTIFICATE_KEY, NEXT_CERTIFICATE_KEY):
        with contextlib.suppress(*FAILURES):
            found.append(x509.load_pem_x509_certificate(decoded(secret, key)))
    return tuple(found)


def _secret_facts(
    role: Role, secret: Mapping[str, Any], authorities: tuple[x509.Certificate, ...]
) -> SecretFacts:
    metadata = secret["metadata"]
    owners = metadata.get("ownerReferences") or ()
    controller = next((owner["uid"] for owner in owners if owner.get("controller")), "")
    try:
        return SecretFacts(
            uid=metadata["uid"],
            controller=controller,
            problem=_key_problem(secret),
            certificate=_certificate(secret, CERTIFICATE_KEY, authorities),
            caller=_certificate(secret, CALLER_KEY, authorities) if role is Role.PEER else None,
            trusts=_trusts(secret),
            next=_next(secret) if role in AUTHORITIES else None,
            bundles={k: tuple(map(fingerprint, v)) for k, v in bundles_in(secret).items()},
        )
    except FAILURES as error:
        return SecretFacts(uid=metadata["uid"], controller=controller, problem=_words(error))


def _words(error: Exception) -> str:
    """Our own words, and never the parser's: those might quote what it parsed."""
    own = isinstance(error, UnfitSecretError)
    return str(error) if own else "what it holds can't be read"


def _next(secret: Mapping[str, Any]) -> CertificateFacts | None:
    """The next authority, if it is there and can be used."""
    try:
        if not _fits(secret, NEXT_PRIVATE_KEY_KEY, NEXT_CERTIFICATE_KEY):
            return None
        found = _certificate(secret, NEXT_CERTIFICATE_KEY, ())
    except FAILURES:
        return None
    return found if found.is_authority else None


def _key_problem(secret: Mapping[str, Any]) -> str:
    """What is wrong with the private key. Raises ValueError for what is none."""
    certificates = [CERTIFICATE_KEY]
    if CALLER_KEY in (secret.get("data") or {}):
        certificates.append(CALLER_KEY)
    fits = _fits(secret, PRIVATE_KEY_KEY, *certificates)
    return "" if fits else "its key is not the certificate's"


def _fits(secret: Mapping[str, Any], private_key: str, *certificates: str) -> bool:
    """Whether the key is that of each certificate, all by their keys in the Secret."""
    key = load_pem_private_key(decoded(secret, private_key), password=None).public_key()
    loaded = [x509.load_pem_x509_certificate(decoded(secret, name)) for name in certificates]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return all(key.public_bytes(*form) == c.public_key().public_bytes(*form) for c in loaded)


def _trusts(secret: Mapping[str, Any]) -> tuple[str, ...]:
    bundle = x509.load_pem_x509_certificates(decoded(secret, AUTHORITY_KEY))
    return tuple(map(fingerprint, bundle))


def _certificate(
    secret: Mapping[str, Any], key: str, authorities: tuple[x509.Certificate, ...]
) -> CertificateFacts:
    return certificate_facts(x509.load_pem_x509_certificate(decoded(secret, key)), authorities)


def certificate_facts(
    certificate: x509.Certificate, authorities: tuple[x509.Certificate, ...] = ()
) -> CertificateFacts:
    """The facts of a certificate; `authorities`: ours, that may have signed it. Raises FAILURES."""
    names, addresses = _alternative_names(certificate)
    usages = _usages(certificate)
    return CertificateFacts(
        fingerprint=fingerprint(certificate),
        common_name=_common_name(certificate),
        names=names,
        addresses=addresses,
        serves=ExtendedKeyUsageOID.SERVER_AUTH in usages,
        calls=ExtendedKeyUsageOID.CLIENT_AUTH in usages,
        is_authority=is_authority(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        issuer=next((fingerprint(by) for by in authorities if _signed(certificate, by)), ""),
    )


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (*FAILURES, InvalidSignature):
        return False
    return True


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _alternative_names(
    certificate: x509.Certificate,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    addresses = found.get_values_for_type(x509.IPAddress)
    names = found.get_values_for_type(x509.DNSName)
    return tuple(sorted(names)), tuple(sorted(map(str, addresses)))


def _usages(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(found)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign others. Raises FAILURES."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    return found.ca
