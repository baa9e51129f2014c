"""Which certificates are to be made, anew or for the first time, and why.

Pure.  An authority is made once, and replaced only in the order that `trust` describes: another one
in its place would cut the members off from each other and from their clients.  A leaf is made
whenever it is not exactly what it should be, and long before it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.facts import (
    ISSUER,
    LEAVES,
    CertificateFacts,
    Facts,
    Role,
    SecretFacts,
)
from controllers.cluster.certificates.subjects import Subject, caller_of, secret_name, subject_of
from controllers.cluster.certificates.trust import (
    Bundle,
    held,
    rotation_of,
    signer_of,
    trust_of,
)
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.tls import bundle_key

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=365)
# Clocks differ: a certificate that begins now is from the future on some nodes.
BACKDATED: Final = timedelta(minutes=5)
# What a renewal has to gain: a leaf that ends with its authority gains nothing.
_GAIN: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Why a leaf's Secret is to be written.  `keeps`: the certificates in it stay as they are, and
    only whom its owner trusts is another.
    """

    why: str
    keeps: bool = False


def renew_after(certificate: CertificateFacts) -> datetime:
    """Two thirds of its life: a third is left for whatever keeps a new one from being made."""
    life = certificate.not_after - certificate.not_before
    return (certificate.not_before + life * 2 / 3).replace(microsecond=0)


def rotate_after(authority: CertificateFacts) -> datetime:
    """Four fifths of its life: in the two years that are left of ten every leaf still gets its full
    year, and whatever keeps a rotation from being done has time to be mended.
    """
    life = authority.not_after - authority.not_before
    return (authority.not_before + life * 4 / 5).replace(microsecond=0)


def authority_life(now: datetime) -> tuple[datetime, datetime]:
    """From when until when an authority made now is valid."""
    begin = now.replace(microsecond=0)
    return begin - BACKDATED, begin + AUTHORITY_LIFE


def leaf_life(authority: CertificateFacts, now: datetime) -> tuple[datetime, datetime]:
    """From when until when a leaf made now is valid: no longer than its authority."""
    begin = now.replace(microsecond=0)
    return begin - BACKDATED, min(begin + LEAF_LIFE, authority.not_after)


def authority_trouble(who: Identity, role: Role, facts: Facts, authorities: AuthorityStatus) -> str:
    """What keeps an authority from being used; empty when it is the one that is recorded, with the
    next one beside it where that is trusted already.

    Whoever controls its Secret: one that was restored from a backup may have lost its owner.
    """
    name, secret = secret_name(who.name, role), facts.get(role)
    if secret is None:
        return f"Secret {name} is missing"
    if secret.problem or secret.certificate is None:
        return f"Secret {name} can't be used: {secret.problem}"
    if signer_of(role, facts, authorities) is None:
        return f"Secret {name} holds another authority than the one that the members trust"
    rotation = rotation_of(authorities, role)
    if rotation is not None and rotation.next and held(role, facts, rotation.next) is None:
        return f"Secret {name} does not hold the next authority"
    return ""


def due_leaves(
    who: Identity, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> dict[Role, Due]:
    """The leaves to be made now, each with the reason; only those whose authority can be used."""
    usable = [
        role for role in LEAVES if not authority_trouble(who, ISSUER[role], facts, authorities)
    ]
    found = {role: _due(who, role, facts, authorities, now) for role in usable}
    return {role: due for role, due in found.items() if due is not None}


def is_strange(who: Identity, secret: SecretFacts | None) -> bool:
    """Whether the Secret is somebody else's: it is never written to."""
    return secret is not None and secret.controller != who.uid


def leaf_trouble(
    who: Identity, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> str:
    """Why a leaf can't be used; empty when members and clients can go on with it."""
    secret = facts.get(role)
    if secret is None:
        return "it is missing"
    if is_strange(who, secret):
        return "it is not controlled by this EtcdCluster"
    if secret.problem:
        return secret.problem
    return next(_troubles(who, role, facts, authorities, now), "")


def _due(
    who: Identity, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> Due | None:
    secret, signer = facts.get(role), signer_of(ISSUER[role], facts, authorities)
    if signer is None or signer.not_after <= now or is_strange(who, secret):
        return None
    trouble = leaf_trouble(who, role, facts, authorities, now)
    if trouble or secret is None:
        return Due(why=trouble)
    certificates = [certificate for certificate, _ in _both(who, role, secret)]
    if any(certificate.issuer != signer.fingerprint for certificate in certificates):
        return Due(why="its authority is being replaced")
    ends = min(certificate.not_after for certificate in certificates)
    renewed = min(renew_after(certificate) for certificate in certificates)
    if now >= renewed and leaf_life(signer, now)[1] > ends + _GAIN:
        return Due(why=f"it ends at {_when(ends)}")
    if not _trusts(role, secret, authorities):
        return Due(why="whom it trusts changes", keeps=True)
    return None


def _trusts(role: Role, secret: SecretFacts, authorities: AuthorityStatus) -> bool:
    """Whether ca.crt is what it should be, and what members mount in its place is there as well."""
    trust = trust_of(authorities, ISSUER[role])
    wanted = {bundle_key(bundle): bundle for bundle in mountable(role, authorities)}
    return secret.trusts == trust.bundle and wanted.items() <= secret.bundles.items()


def mountable(role: Role, authorities: AuthorityStatus) -> tuple[Bundle, ...]:
    """The bundles that a leaf's Secret has under names of their own: members read them."""
    callers = {Role.CLIENT, Role.OPERATOR}
    return () if role in callers else trust_of(authorities, ISSUER[role]).mounted


def _both(
    who: Identity, role: Role, secret: SecretFacts
) -> Iterator[tuple[CertificateFacts, Subject]]:
    """Each certificate of the Secret with what it should say."""
    if secret.certificate is not None:
        yield secret.certificate, subject_of(who, role)
    caller = caller_of(role)
    if secret.caller is not None and caller is not None:
        yield secret.caller, caller


def _troubles(
    who: Identity, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> Iterator[str]:
    secret = facts[role]
    trust = trust_of(authorities, ISSUER[role])
    known = signer_of(ISSUER[role], facts, authorities) is not None
    for certificate, subject in _both(who, role, secret):
        if known and certificate.issuer not in trust.bundle:
            yield "it is not signed by the cluster's authority"
        if known and trust.signer not in secret.trusts:
            yield "its ca.crt is not the cluster's authority"
        if certificate.is_authority:
            yield "it is an authority"
        if _says(certificate) != subject:
            yield "its names or uses are not those that are needed"
        if now >= certificate.not_after:
            yield f"it expired at {_when(certificate.not_after)}"
        if now < certificate.not_before:
            yield f"it is not valid before {_when(certificate.not_before)}"


def _says(certificate: CertificateFacts) -> Subject:
    return Subject(
        common_name=certificate.common_name,
        names=certificate.names,
        addresses=certificate.addresses,
        serves=certificate.serves,
        calls=certificate.calls,
    )


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
