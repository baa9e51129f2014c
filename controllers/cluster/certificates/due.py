"""Which certificates are to be made, anew or for the first time, and why.

Pure.  An authority is made once, and replaced only in the order that `trust` describes: another one
in its place would cut the members off from each other and from their clients.  A leaf is made
whenever it is not exactly what it should be, and long before it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.facts import (
    ISSUER,
    CertificateFacts,
    Facts,
    Role,
    SecretFacts,
)
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.subjects import Subject, caller_of, secret_name, subject_of
from controllers.cluster.certificates.trust import (
    Bundle,
    held,
    rotation_of,
    shown_by,
    signer_of,
    stands_for,
    trust_of,
)
from controllers.cluster.render.tls import bundle_key

AUTHORITY_LIFE: Final = timedelta(days=3650)
# Clocks differ: a certificate that begins now is from the future on some nodes.
_BACKDATED: Final = timedelta(minutes=5)
# What a renewal has to gain: a leaf that ends with its authority gains nothing.
_GAIN: Final = timedelta(hours=1)
# Of a short life both are a small part of it.
_SMALL: Final = 12
_ANOTHER_TRUST: Final = "whom it trusts changes"
_TOO_LONG: Final = "it is valid for longer than spec.security.tls.certificateDuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Why a leaf's Secret is to be written.  `keeps`: the certificates in it stay as they are, and
    only whom its owner trusts is another.
    """

    why: str
    keeps: bool = False


def backdated(life: timedelta) -> timedelta:
    """How long before it is made a certificate of this life begins."""
    return min(_BACKDATED, life / _SMALL)


def renew_after(certificate: CertificateFacts, wanted: timedelta) -> datetime:
    """Two thirds of its life: a third is left for whatever keeps a new one from being made.

    Of the life that is `wanted` now, where that is shorter.
    """
    life = min(certificate.not_after - certificate.not_before, wanted + backdated(wanted))
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
    return begin - backdated(AUTHORITY_LIFE), begin + AUTHORITY_LIFE


def leaf_life(
    authority: CertificateFacts, now: datetime, wanted: timedelta
) -> tuple[datetime, datetime]:
    """From when until when a leaf made now is valid: no longer than its authority."""
    made = now.replace(microsecond=0)
    begin = (made - backdated(wanted)).replace(microsecond=0)
    return begin, min(made + wanted, authority.not_after)


def authority_trouble(who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus) -> str:
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
    if rotation is None or rotation.given:
        return ""
    if rotation.next and held(role, facts, rotation.next) is None:
        return f"Secret {name} does not hold the next authority"
    return ""


def due_leaves(
    who: Holder, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> dict[Role, Due]:
    """The leaves to be made now, each with the reason; only those whose authority can be used.

    What is the user's is copied elsewhere, but whom it trusts is written as with the others.
    """
    usable = [
        role
        for role in who.own_leaves
        if not authority_trouble(who, ISSUER[role], facts, authorities)
    ]
    found = {role: _due(who, role, facts, authorities, now) for role in usable}
    copied = [role for role in who.leaves if ISSUER[role] in who.given]
    found |= {role: _due_copy(who, role, facts, authorities) for role in copied}
    return {role: due for role, due in found.items() if due is not None}


def is_strange(who: Holder, secret: SecretFacts | None) -> bool:
    """Whether the Secret is somebody else's: it is never written to."""
    return secret is not None and secret.controller != who.uid


def leaf_trouble(
    who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
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
    who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
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
    late = _why_renewed(who, certificates, signer, now)
    if late:
        return Due(why=late)
    if not trusts(role, facts, authorities):
        return Due(why=_ANOTHER_TRUST, keeps=True)
    return None


def _due_copy(who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus) -> Due | None:
    secret = facts.get(role)
    if secret is None or secret.problem or is_strange(who, secret):
        return None
    if trusts(role, facts, authorities):
        return None
    return Due(why=_ANOTHER_TRUST, keeps=True)


def _why_renewed(
    who: Holder, certificates: list[CertificateFacts], signer: CertificateFacts, now: datetime
) -> str:
    """Why certificates in which nothing is wrong are made anew; empty while they are not."""
    if now < min(renew_after(certificate, who.leaf_life) for certificate in certificates):
        return ""
    gain = min(_GAIN, who.leaf_life / _SMALL)
    ends = min(certificate.not_after for certificate in certificates)
    if leaf_life(signer, now, who.leaf_life)[1] > ends + gain:
        return f"it ends at {_when(ends)}"
    lives = [certificate.not_after - certificate.not_before for certificate in certificates]
    return _TOO_LONG if max(lives) > who.leaf_life + gain else ""


def trusts(role: Role, facts: Facts, authorities: AuthorityStatus) -> bool:
    """Whether ca.crt is what it should be, and what members mount in its place is there as well."""
    secret, known = facts[role], stands_for(facts)

    def holds(found: tuple[str, ...], bundle: Bundle) -> bool:
        wanted = [known.get(one) for one in bundle]
        return None not in wanted and {*found} == {
            *chain.from_iterable(one or () for one in wanted)
        }

    return holds(secret.trusts, trust_of(authorities, ISSUER[role]).bundle) and all(
        holds(secret.bundles.get(bundle_key(bundle), ()), bundle)
        for bundle in mountable(role, authorities)
    )


def knows_members(role: Role, facts: Facts, authorities: AuthorityStatus) -> bool:
    """Whether who has this leaf trusts whatever members may show: one that was not kept, while the
    authority was the user's, may be of another time.
    """
    secret, known = facts.get(role), stands_for(facts)
    if secret is None or secret.problem:
        return False
    shown = [known.get(one) for one in shown_by(authorities, ISSUER[role])]
    return all(prints is not None and prints <= {*secret.trusts} for prints in shown)


def mountable(role: Role, authorities: AuthorityStatus) -> tuple[Bundle, ...]:
    """The bundles that a leaf's Secret has under names of their own: members read them."""
    callers = {Role.CLIENT, Role.OPERATOR}
    return () if role in callers else trust_of(authorities, ISSUER[role]).mounted


def _both(
    who: Holder, role: Role, secret: SecretFacts
) -> Iterator[tuple[CertificateFacts, Subject]]:
    """Each certificate of the Secret with what it should say."""
    if secret.certificate is not None:
        yield secret.certificate, subject_of(who, role)
    caller = caller_of(role)
    if secret.caller is not None and caller is not None:
        yield secret.caller, caller


def _troubles(
    who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus, now: datetime
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
