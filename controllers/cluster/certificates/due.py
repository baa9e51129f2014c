"""Which certificates are to be made, anew or for the first time, and why.

Pure.  An authority is made once and never again: another one in its place would cut the members
off from each other and from their clients.  A leaf is made whenever it is not exactly what it
should be, and long before it ends.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.facts import (
    AUTHORITIES,
    ISSUER,
    CertificateFacts,
    Facts,
    Role,
    SecretFacts,
)
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.subjects import Subject, caller_of, secret_name, subject_of

AUTHORITY_LIFE: Final = timedelta(days=3650)
# Clocks differ: a certificate that begins now is from the future on some nodes.
_BACKDATED: Final = timedelta(minutes=5)
# What a renewal has to gain: a leaf that ends with its authority gains nothing.
_GAIN: Final = timedelta(hours=1)
_TOO_LONG: Final = "it is valid for longer than spec.security.tls.certificateDuration"
# Of a short life both are a small part of it.
_SMALL: Final = 12


def recorded(authorities: AuthorityStatus, role: Role) -> str:
    """The fingerprint that status has for an authority."""
    return authorities.client if role is Role.CLIENT_CA else authorities.peer


def backdated(life: timedelta) -> timedelta:
    """How long before it is made a certificate of this life begins."""
    return min(_BACKDATED, life / _SMALL)


def renew_after(certificate: CertificateFacts, leaf_life: timedelta) -> datetime:
    """Two thirds of its life: a third is left for whatever keeps a new one from being made.

    Of the life that is wanted now, where that is shorter.
    """
    wanted = leaf_life + backdated(leaf_life)
    life = min(certificate.not_after - certificate.not_before, wanted)
    return (certificate.not_before + life * 2 / 3).replace(microsecond=0)


def life_of(
    role: Role, facts: Facts, now: datetime, leaf_life: timedelta
) -> tuple[datetime, datetime]:
    """From when until when a certificate made now is valid: no longer than its authority."""
    made = now.replace(microsecond=0)
    if role in AUTHORITIES:
        return made - backdated(AUTHORITY_LIFE), made + AUTHORITY_LIFE
    authority = facts[ISSUER[role]].certificate if ISSUER[role] in facts else None
    begin = (made - backdated(leaf_life)).replace(microsecond=0)
    end = made + leaf_life
    return begin, min(end, authority.not_after) if authority else end


def authority_trouble(who: Holder, role: Role, facts: Facts, authorities: AuthorityStatus) -> str:
    """What keeps an authority from being used; empty when it is the one that is recorded.

    Whoever controls its Secret: one that was restored from a backup may have lost its owner.
    """
    name, secret = secret_name(who.name, role), facts.get(role)
    if secret is None:
        return f"Secret {name} is missing"
    if secret.problem or secret.certificate is None:
        return f"Secret {name} can't be used: {secret.problem}"
    if secret.certificate.fingerprint != recorded(authorities, role):
        return f"Secret {name} holds another authority than the one that the members trust"
    return ""


def due_leaves(
    who: Holder, facts: Facts, authorities: AuthorityStatus, now: datetime
) -> dict[Role, str]:
    """The leaves to be made now, each with the reason; only those whose authority can be used."""
    due: dict[Role, str] = {}
    for role in who.own_leaves:
        if authority_trouble(who, ISSUER[role], facts, authorities):
            continue
        if life_of(role, facts, now, who.leaf_life)[1] <= now:
            continue  # its authority has come to its end
        why = _why_leaf(who, role, facts, now)
        if why:
            due[role] = why
    return due


def is_strange(who: Holder, secret: SecretFacts | None) -> bool:
    """Whether the Secret is somebody else's: it is never written to."""
    return secret is not None and secret.controller != who.uid


def leaf_trouble(who: Holder, role: Role, facts: Facts, now: datetime) -> str:
    """Why a leaf can't be used; empty when members and clients can go on with it."""
    secret = facts.get(role)
    if secret is None:
        return "it is missing"
    if is_strange(who, secret):
        return "it is not controlled by this EtcdCluster"
    if secret.problem:
        return secret.problem
    return next(_troubles(who, role, secret, facts, now), "")


def _why_leaf(who: Holder, role: Role, facts: Facts, now: datetime) -> str:
    secret = facts.get(role)
    if is_strange(who, secret):
        return ""
    trouble = leaf_trouble(who, role, facts, now)
    if trouble or secret is None:
        return trouble
    made = [certificate for certificate, _ in _both(who, role, secret)]
    ends = min(certificate.not_after for certificate in made)
    renewed = min(renew_after(certificate, who.leaf_life) for certificate in made)
    if now < renewed:
        return ""
    gain = min(_GAIN, who.leaf_life / _SMALL)
    lasts_longer = life_of(role, facts, now, who.leaf_life)[1] > ends + gain
    is_too_long = any(one.not_after - one.not_before > who.leaf_life + gain for one in made)
    return f"it ends at {_when(ends)}" if lasts_longer else _TOO_LONG if is_too_long else ""


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
    who: Holder, role: Role, secret: SecretFacts, facts: Facts, now: datetime
) -> Iterator[str]:
    authority = facts[ISSUER[role]].certificate if ISSUER[role] in facts else None
    for certificate, subject in _both(who, role, secret):
        if authority is not None and certificate.issuer != authority.fingerprint:
            yield "it is not signed by the cluster's authority"
        if authority is not None and secret.trusts != (authority.fingerprint,):
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
