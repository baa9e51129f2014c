"""Whom members and clients trust while an authority is replaced, and which authority signs.

Pure.  The order is what keeps everybody connected: the next authority is trusted everywhere before
it signs anything, and the old one until nothing is left that it has signed.  etcd reads whom it
trusts once, at its start, and its own certificate at every handshake.

  Preparing  the next authority is made beside the old one
  Spreading  ca.crt becomes both; every certificate is still the old one's
  Trusting   members restart, one by one, and trust both from then on; so do applications, in time
  Issuing    every certificate is made anew, by the next authority
  Replacing  members and applications take up the new certificates
  Dropping   ca.crt is the next one alone; members restart once more, and the next one is the one

An authority is one certificate of the operator's, or all that a ca.crt of the user's holds: either
is recorded as one value.  While it is the user's, a certificate that its Secret no longer holds
stays with the members as it is, until the next authority is trusted.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from api.duration import parse_duration
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import AuthorityRotation, AuthorityStatus
from controllers.cluster.certificates.facts import CertificateFacts, Facts, Role

Bundle = tuple[str, ...]  # authorities as status records them, in the order of ca.crt


class Phase(StrEnum):
    """How far a rotation is."""

    PREPARING = "Preparing"
    SPREADING = "Spreading"
    TRUSTING = "Trusting"
    ISSUING = "Issuing"
    REPLACING = "Replacing"
    DROPPING = "Dropping"


# What the annotation and status call them, in the order in which they are replaced.
NAMES: Final = {Role.CLIENT_CA: "client", Role.PEER_CA: "peer"}
ROLES: Final = {name: role for role, name in NAMES.items()}
# Which leaf members show at the port that an authority is for.
SHOWN: Final = {Role.CLIENT_CA: Role.SERVER, Role.PEER_CA: Role.PEER}
_NS_PER_US: Final = 1000
_OLD_SIGNS: Final = frozenset({Phase.PREPARING, Phase.SPREADING, Phase.TRUSTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What holds of one authority now.

    `bundle`: who is trusted.  `mounted`: the bundles that members may mount under names of their
    own, all of a rotation from its beginning on, so that none is ever waited for.
    """

    signer: str
    bundle: Bundle
    mounted: tuple[Bundle, ...]


def recorded(authorities: AuthorityStatus, role: Role) -> str:
    """The fingerprint that status has for an authority; the old one until a rotation is over."""
    return authorities.client if role is Role.CLIENT_CA else authorities.peer


def rotation_of(authorities: AuthorityStatus, role: Role) -> AuthorityRotation | None:
    """The rotation that is under way, if it is this authority's."""
    rotation = authorities.rotation
    return rotation if rotation is not None and rotation.authority == NAMES[role] else None


def trust_of(authorities: AuthorityStatus, role: Role) -> Trust:
    """Who signs and who is trusted now."""
    old, rotation = recorded(authorities, role), rotation_of(authorities, role)
    if rotation is None or rotation.phase == Phase.PREPARING:
        return Trust(signer=old, bundle=(old,), mounted=((old,),))
    both, new = (old, rotation.next), (rotation.next,)
    return Trust(
        signer=old if rotation.phase in _OLD_SIGNS else rotation.next,
        bundle=new if rotation.phase == Phase.DROPPING else both,
        mounted=((old,), both, new),
    )


def shown_by(authorities: AuthorityStatus, role: Role) -> Bundle:
    """The authorities whose certificates members may show now."""
    trust, rotation = trust_of(authorities, role), rotation_of(authorities, role)
    old_alone = rotation is None or rotation.phase in _OLD_SIGNS
    return (trust.signer,) if old_alone else trust.bundle


def authority_print(fingerprints: Iterable[str]) -> str:
    """What is recorded of whom a ca.crt trusts: 64 hexadecimal digits; of one authority, its
    fingerprint.
    """
    prints = sorted({*fingerprints})
    return prints[0] if len(prints) == 1 else hashlib.sha256("".join(prints).encode()).hexdigest()


def stands_for(facts: Facts) -> Mapping[str, frozenset[str]]:
    """By what is recorded of an authority, the fingerprints of its certificates, as far as they are
    in the cluster's Secrets.
    """
    found = [
        frozenset(some) for one in facts.values() for some in (one.trusts, *one.bundles.values())
    ]
    for role in (role for role in NAMES if role in facts):
        known = (facts[role].certificate, facts[role].next)
        found += [frozenset({one.fingerprint}) for one in known if one is not None]
    return {authority_print(prints): prints for prints in found if prints}


def given_now(authorities: AuthorityStatus | None, named: frozenset[Role]) -> frozenset[Role]:
    """The authorities that are the user's while they sign. `named`: those that the spec asks for,
    which is what holds until anything else is recorded.
    """
    if authorities is None:
        return named
    rotation, given = authorities.rotation, named
    if authorities.given is not None:
        given = frozenset(ROLES[name] for name in authorities.given if name in ROLES)
    if rotation is None or rotation.authority not in ROLES or rotation.phase in _OLD_SIGNS:
        return given
    role = ROLES[rotation.authority]
    return given | {role} if rotation.given else given - {role}


def callers_have_names(authorities: AuthorityStatus | None, *, named: bool) -> bool:
    """Whether members may be called by certificates with names in them: those of the user's.

    `named`: whether the spec asks for such, which is what holds until anything else is recorded.
    """
    if authorities is None or authorities.given is None:
        return named
    had = NAMES[Role.PEER_CA] in authorities.given
    rotation = rotation_of(authorities, Role.PEER_CA)
    if rotation is None or rotation.phase in {Phase.PREPARING, Phase.SPREADING}:
        return had
    return rotation.given if rotation.phase == Phase.DROPPING else had or rotation.given


def signer_of(role: Role, facts: Facts, authorities: AuthorityStatus) -> CertificateFacts | None:
    """The authority that signs, as its Secret holds it; None when it is not there."""
    return held(role, facts, trust_of(authorities, role).signer)


def held(role: Role, facts: Facts, fingerprint: str) -> CertificateFacts | None:
    """The authority with this fingerprint in a Secret of authorities, the old one or the next."""
    secret = facts.get(role)
    found = (secret.certificate, secret.next) if secret is not None else ()
    return next((one for one in found if one and one.fingerprint == fingerprint), None)


def grace_ends(
    authorities: AuthorityStatus | None, spec: ClusterSpec | None, now: datetime
) -> datetime | None:
    """Until when applications have time to take up what changed in their Secret; None when that is
    over, or nothing did: members are seen to do it, and have no time to wait for.
    """
    rotation = authorities.rotation if authorities else None
    if rotation is None or spec is None or rotation.authority != NAMES[Role.CLIENT_CA]:
        return None
    if rotation.phase not in {Phase.TRUSTING, Phase.REPLACING}:
        return None
    grace_us = parse_duration(spec.security.tls.rotation_grace_period) // _NS_PER_US
    ends = rotation.since + timedelta(microseconds=grace_us)
    return ends if now < ends else None


def to_be_shown(
    authorities: AuthorityStatus | None, spec: ClusterSpec | None, now: datetime
) -> Role | None:
    """The leaf that each member has to show at a handshake before the old authority is dropped;
    None while nobody is to be asked for one.
    """
    rotation = authorities.rotation if authorities else None
    if rotation is None or rotation.phase != Phase.REPLACING:
        return None
    if rotation.authority not in ROLES or grace_ends(authorities, spec, now) is not None:
        return None
    return SHOWN[ROLES[rotation.authority]]
