"""Rules of the cluster's certificates: there before its first pod, renewed long before they end.

An authority is made once, recorded, and only then trusted by anything; how it is replaced is in
`rotation`.  What must never happen: another authority in the place of one that is lost.  Members
trust what they read at their start, so those that restart would no longer know the others.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityStatus
from controllers.cluster.certificates.due import (
    Due,
    authority_life,
    authority_trouble,
    due_leaves,
    is_strange,
    leaf_life,
    leaf_trouble,
)
from controllers.cluster.certificates.facts import AUTHORITIES, ISSUER, LEAVES, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import NAMES, signer_of
from controllers.cluster.listeners import begins_with_tls
from controllers.cluster.observed import Observed, derived
from controllers.cluster.plan.accepted import accepted_edit, is_formed
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    IssueCertificates,
    OrderCertificates,
    RecordAuthorities,
    WantedCertificate,
)
from controllers.cluster.plan.refusals import refusal, was_refused_just_now
from controllers.cluster.plan.sources import (
    changes_owner,
    copy_pending,
    lost_copy,
    offered_authority,
    source_trouble,
    wanted_copies,
    wanted_orders,
)
from controllers.cluster.plan.steps import Wait
from controllers.cluster.render import identity

_STRANGE: Final = "exists and is not controlled by this EtcdCluster: delete or rename it"


def make_authorities(observed: Observed) -> IssueCertificates | None:
    """The authorities that are missing while no pod can trust one yet."""
    who = _to_begin(observed)
    if who is None or _may_be_trusted(observed):
        return None
    missing = {
        role: Due(why="it is new")
        for role in who.own_authorities
        if role not in observed.certificates.facts
    }
    return _issue(observed, who, missing)


def make_authority(observed: Observed, who: Holder, role: Role) -> IssueCertificates | None:
    """One authority of the operator's where there is none, beside one of the user's."""
    name = secret_name(who.name, role)
    if role in observed.certificates.facts or was_refused_just_now(observed, name):
        return None
    return _issue(observed, who, {role: Due(why="it takes the place of yours")})


def usable_authority(observed: Observed, who: Holder, role: Role) -> str:
    """The fingerprint of the operator's authority; empty while it is not there or is of no use."""
    secret = observed.certificates.facts.get(role)
    if secret is None or is_strange(who, secret) or secret.problem or secret.certificate is None:
        return ""
    return secret.certificate.fingerprint if secret.certificate.is_authority else ""


def coming_problem(observed: Observed, who: Holder, role: Role) -> str:
    """Why the operator's authority that is there can't follow one of the user's; empty where it
    can, and where there is none.
    """
    secret = observed.certificates.facts.get(role)
    if secret is None or is_strange(who, secret):
        return ""
    if not usable_authority(observed, who, role) or secret.certificate is None:
        return secret.problem or "what it holds is no authority"
    ends = secret.certificate.not_after
    return f"it expired at {ends:%Y-%m-%d %H:%M} UTC" if observed.now >= ends else ""


def record_authorities(observed: Observed) -> RecordAuthorities | None:
    """Both are there and can be used: once a member has certificates, no other ones will do."""
    who, known = _to_begin(observed), observed.status.authorities
    if who is None:
        return None
    client, peer = (_authority_to_record(observed, who, role) for role in AUTHORITIES)
    if not client or not peer:
        return None
    if known is not None and (client, peer) == (known.client, known.peer):
        return None
    return RecordAuthorities(authorities=AuthorityStatus(client=client, peer=peer))


def record_owners(observed: Observed) -> RecordAuthorities | None:
    """Whose the authorities are, before an edit that changes it is in force."""
    wanted, applied, recorded = (
        accepted_edit(observed),
        observed.applied,
        observed.status.authorities,
    )
    who = tls_identity(observed)
    if wanted is None or applied is None or recorded is None or who is None:
        return None
    if recorded.given is not None or not changes_owner(applied.security.tls, wanted.security.tls):
        return None
    given = tuple(NAMES[role] for role in AUTHORITIES if role in who.given)
    return RecordAuthorities(authorities=recorded.model_copy(update={"given": given}))


def issue_leaves(observed: Observed) -> IssueCertificates | None:
    """Certificates that are missing, wrong or near their end.

    Of a cluster that runs, what was refused just now is left for a while: care for it goes on.
    """
    who = tls_identity(observed)
    if who is None:
        return None
    wanted = {
        role: one
        for role, one in due(observed, who).items()
        if not was_refused_just_now(observed, secret_name(who.name, role))
    }
    return _issue(observed, who, wanted)


def order_certificates(observed: Observed) -> OrderCertificates | None:
    """What cert-manager is to issue."""
    who = tls_identity(observed)
    return wanted_orders(observed, who) if who is not None else None


def copy_certificates(observed: Observed) -> CopyCertificates | None:
    """Certificates of the user's that are fit, and not with the members yet."""
    who = tls_identity(observed)
    if who is None or observed.certificates.unread or observed.status.authorities is None:
        return None
    return wanted_copies(observed, who)


def wait_for_certificates(observed: Observed) -> Wait | None:
    """No pod is made before what it mounts is there; a cluster that runs is cared for anyway."""
    if is_formed(observed) and observed.status.authorities is not None:
        return None
    return None if begins_with_tls(observed.status.tls) else certificate_trouble(observed)


def certificate_trouble(observed: Observed) -> Wait | None:
    """What is wrong with the certificates; None when all is well, and without TLS."""
    who, authorities = tls_identity(observed), observed.status.authorities
    if who is None:
        return None
    if observed.certificates.unread:
        return Wait(reason=Reason.NOT_ALLOWED, message=observed.certificates.unread)
    roles = (*who.leaves, *who.coming_authorities) if authorities else who.own_authorities
    strange = _strange(observed, who, roles)
    if strange:
        return Wait(reason=Reason.NAME_CONFLICT, message=f"{strange} {_STRANGE}", recheck_s=3.0)
    unfit = source_trouble(observed, who)
    if unfit is not None:
        return replace(unfit, message=unfit.message + _what_still_works(observed))
    if authorities is None:
        return _unrecorded(observed, who)
    return (
        _authority_trouble(observed, who, authorities)
        or _coming_trouble(observed, who)
        or _leaf_trouble(observed, who, authorities)
        or copy_pending(observed, who)
        or _copy_trouble(observed, who)
    )


def due(observed: Observed, who: Holder) -> dict[Role, Due]:
    """The leaves whose Secrets are to be written, as far as is known."""
    authorities, read = observed.status.authorities, observed.certificates
    if authorities is None or read.unread:
        return {}
    return due_leaves(who, read.facts, authorities, observed.now)


@derived
def tls_identity(observed: Observed) -> Holder | None:
    """Whose certificates they are, if the cluster is recorded and speaks TLS, or is about to."""
    bootstrap = observed.status.bootstrap
    if bootstrap is None or observed.applied is None:
        return None
    tls, authorities = observed.applied.security.tls, observed.status.authorities
    who = Holder.of(identity(observed, bootstrap), tls, authorities)
    return who if who.has_certificates else None


def _to_begin(observed: Observed) -> Holder | None:
    """The cluster while its authorities are not recorded, or nobody can trust them yet."""
    if observed.certificates.unread:
        return None
    if observed.status.authorities is not None and not begins_with_tls(observed.status.tls):
        return None
    return tls_identity(observed)


def _may_be_trusted(observed: Observed) -> bool:
    """Whether pods run that may trust an authority, recorded or not."""
    return bool(observed.pods) and not begins_with_tls(observed.status.tls)


def _authority_to_record(observed: Observed, who: Holder, role: Role) -> str:
    """Its fingerprint; empty while it is not there or can't be used."""
    if role not in who.own_authorities:
        return offered_authority(observed, who, role)
    if _is_being_dropped(observed, role):
        return ""
    return usable_authority(observed, who, role)


def _is_being_dropped(observed: Observed, role: Role) -> bool:
    """Whether somebody may trust the next authority alone, while the old one is still there: the
    last phase of a rotation.
    """
    facts = observed.certificates.facts
    after = facts[role].next if role in facts else None
    if after is None:
        return False
    alone = (after.fingerprint,)
    return any(
        ISSUER[leaf] is role and facts[leaf].trusts == alone for leaf in LEAVES if leaf in facts
    )


def _issue(observed: Observed, who: Holder, due: dict[Role, Due]) -> IssueCertificates | None:
    facts = observed.certificates.facts
    wanted = []
    for role, one in due.items():
        begin, end = _life(observed, who, role)
        wanted.append(
            WantedCertificate(
                role=role,
                secret=secret_name(who.name, role),
                uid=facts[role].uid if role in facts else "",
                not_before=begin,
                not_after=end,
                why=one.why,
                keeps=one.keeps,
            )
        )
    return IssueCertificates(certificates=tuple(wanted)) if wanted else None


def _life(observed: Observed, who: Holder, role: Role) -> tuple[datetime, datetime]:
    if role in AUTHORITIES:
        return authority_life(observed.now)
    assert observed.status.authorities is not None
    signer = signer_of(ISSUER[role], observed.certificates.facts, observed.status.authorities)
    if signer is None:  # it is copied, and only whom its owner trusts is written
        return observed.now, observed.now
    return leaf_life(signer, observed.now, who.leaf_life)


def _strange(observed: Observed, who: Holder, roles: tuple[Role, ...]) -> str:
    facts = observed.certificates.facts
    names = [
        f"Secret {secret_name(who.name, role)}"
        for role in roles
        if is_strange(who, facts.get(role))
    ]
    return ", ".join(names)


def _unrecorded(observed: Observed, who: Holder) -> Wait:
    """Nothing has been signed yet, as far as is known."""
    facts = observed.certificates.facts
    for role in who.own_authorities:
        name = secret_name(who.name, role)
        if role not in facts and _may_be_trusted(observed):
            return Wait(
                reason=Reason.AUTHORITY_LOST,
                message=f"Secret {name} is missing and no authority is recorded, but pods run that"
                " trust one",
            )
        found = facts.get(role)
        if found is not None and (found.certificate is None or found.problem):
            return Wait(
                reason=Reason.AUTHORITY_LOST,
                message=f"Secret {name} can't be used: {found.problem}",
            )
        if _is_being_dropped(observed, role):
            return Wait(
                reason=Reason.AUTHORITY_LOST,
                message=f"Secret {name} holds two authorities, and which of them the members trust"
                " is not recorded: restore the status of this EtcdCluster",
            )
    return Wait(
        reason=Reason.CERTIFICATES_PENDING,
        message="The certificate authorities are being made",
        recheck_s=1.0,
    )


def _authority_trouble(
    observed: Observed, who: Holder, authorities: AuthorityStatus
) -> Wait | None:
    for role in who.own_authorities:
        lost = authority_trouble(who, role, observed.certificates.facts, authorities)
        if lost:
            return Wait(reason=Reason.AUTHORITY_LOST, message=lost + _what_still_works(observed))
    return None


def _coming_trouble(observed: Observed, who: Holder) -> Wait | None:
    for role in who.coming_authorities:
        problem = coming_problem(observed, who, role)
        if problem:
            name = secret_name(who.name, role)
            message = f"Secret {name} can't be used: {problem}: delete it, and another is made"
            return Wait(reason=Reason.CERTIFICATE_REFUSED, message=message, recheck_s=5.0)
    return None


def _leaf_trouble(observed: Observed, who: Holder, authorities: AuthorityStatus) -> Wait | None:
    facts = observed.certificates.facts
    refused = refusal(observed, (secret_name(who.name, role) for role in due(observed, who)))
    if refused:
        return Wait(reason=Reason.NOT_ALLOWED, message=refused)
    for role in who.own_leaves:
        trouble = leaf_trouble(who, role, facts, authorities, observed.now)
        authority = signer_of(ISSUER[role], facts, authorities)
        if trouble and authority is not None and observed.now >= authority.not_after:
            return Wait(
                reason=Reason.AUTHORITY_EXPIRING,
                message=f"The authority in Secret {secret_name(who.name, ISSUER[role])} expired at"
                f" {authority.not_after:%Y-%m-%d %H:%M} UTC",
            )
        if trouble:
            return Wait(
                reason=Reason.CERTIFICATES_PENDING,
                message=f"Secret {secret_name(who.name, role)} is made anew: {trouble}",
                recheck_s=1.0,
            )
    return None


def _copy_trouble(observed: Observed, who: Holder) -> Wait | None:
    lost = lost_copy(observed, who)
    return Wait(reason=Reason.CERTIFICATE_REFUSED, message=lost, recheck_s=5.0) if lost else None


def _what_still_works(observed: Observed) -> str:
    """Until when the certificates that are there last."""
    facts = observed.certificates.facts
    certificates = [facts[role].certificate for role in LEAVES if role in facts]
    ends = min((found.not_after for found in certificates if found is not None), default=None)
    return f"; the certificates that are there last until {ends:%Y-%m-%d %H:%M} UTC" if ends else ""
