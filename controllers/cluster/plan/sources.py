"""What is planned and said about the user's own certificates.

Pure; a part of the rules in `certificates`.  What must never happen: a certificate reaching the
members that some of them, or their clients, don't know the authority of.  Members read whom they
trust at their start, so the authority is recorded, and nothing under another one is ever copied;
`rotation` has another one trusted first, and recorded then.
"""

import json
from datetime import datetime
from typing import Final

from api.errors import FieldError
from api.reasons import Reason
from api.v1alpha1.cluster import TLS, ClusterSpec, IssuerReference
from controllers.cluster.certificates.due import is_strange
from controllers.cluster.certificates.facts import ISSUER, Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.orders import order_of
from controllers.cluster.certificates.sources import (
    OrderFacts,
    Source,
    SourceFacts,
    sources_of,
)
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import ROLES, Phase, trust_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.certificate_steps import (
    CopyCertificates,
    OrderCertificates,
    WantedCopy,
    WantedOrder,
)
from controllers.cluster.plan.refusals import refusal, was_refused_just_now
from controllers.cluster.plan.steps import Wait

# A change of a Secret of the user's is no event for us.
_RECHECK_S: Final = 5.0
# The fields of spec.security.tls that say where certificates come from.
_SOURCES: Final = (
    "certificate_secret",
    "ca_secret",
    "client_certificate_secret",
    "operator_certificate_secret",
    "peer_certificate_secret",
    "issuer_ref",
)


def signing_authority(observed: Observed, role: Role) -> str:
    """Which authority a leaf is to be of, as status records them; empty before it does."""
    authorities = observed.status.authorities
    return trust_of(authorities, ISSUER[role]).signer if authorities else ""


def offered_authority(observed: Observed, who: Holder, authority: Role) -> str:
    """What is to be recorded of an authority that is the user's; empty while its Secrets can't be
    used, or don't agree.
    """
    found = [_facts(observed, one) for one in who.sources if ISSUER[one.role] is authority]
    prints = {facts.authority for facts in found}
    return prints.pop() if len(prints) == 1 and not any(one.problem for one in found) else ""


def wanted_orders(observed: Observed, who: Holder) -> OrderCertificates | None:
    """The Certificates of cert-manager that are missing, or ask for something else."""
    wanted = []
    for source in who.sources:
        order = observed.certificates.orders.get(source.role)
        if order is None or order.current or _order_trouble(source, order, who) is not None:
            continue
        if was_refused_just_now(observed, source.secret):
            continue
        body = order_of(who, source)
        wanted.append(WantedOrder(certificate=source.secret, uid=order.uid, body=body))
    return OrderCertificates(orders=tuple(wanted)) if wanted else None


def wanted_copies(observed: Observed, who: Holder) -> CopyCertificates | None:
    """What is fit to be used and is not in the role's own Secret yet.

    A Secret for two roles has to be fit for both.
    """
    unfit = {source.secret for source in who.sources if not _signs(observed, who, source)}
    wanted = []
    for source in who.sources:
        facts, there = _facts(observed, source), observed.certificates.facts.get(source.role)
        name = secret_name(who.name, source.role)
        if is_strange(who, there) or facts.copied or source.secret in unfit:
            continue
        if was_refused_just_now(observed, name):
            continue
        assert facts.certificate is not None
        assert facts.ends is not None
        wanted.append(
            WantedCopy(
                role=source.role,
                source=source.secret,
                secret=name,
                uid=there.uid if there else "",
                fingerprint=facts.certificate.fingerprint,
                ends=facts.ends,
            )
        )
    return CopyCertificates(copies=tuple(wanted)) if wanted else None


def source_trouble(observed: Observed, who: Holder) -> Wait | None:
    """What keeps one of the user's Secrets from being used."""
    for source in who.sources:
        order = observed.certificates.orders.get(source.role)
        if order is not None:
            late = (
                _order_trouble(source, order, who)
                or (None if order.current else _refused(observed, source.secret))
                or _unfilled(observed, source, order)
            )
            if late is not None:
                return late
        trouble = _trouble(observed, who, source)
        if trouble:
            missing = _facts(observed, source).missing
            reason = Reason.CERTIFICATE_SECRET_MISSING if missing else Reason.CERTIFICATE_REFUSED
            return Wait(reason=reason, message=trouble, recheck_s=_RECHECK_S)
    return None


def copy_pending(observed: Observed, who: Holder) -> Wait | None:
    """What is about to be copied."""
    for source in who.sources:
        if _signs(observed, who, source) and not _facts(observed, source).copied:
            return _refused(observed, secret_name(who.name, source.role)) or Wait(
                reason=Reason.CERTIFICATES_PENDING,
                message=f"Secret {source.secret} is being copied to"
                f" {secret_name(who.name, source.role)}",
                recheck_s=1.0,
            )
    return None


def running_out(observed: Observed, who: Holder) -> tuple[Source, datetime] | None:
    """The source that ends first, once five sixths of its life are over: what is renewed by itself
    is so earlier.
    """
    late = []
    for source in who.sources:
        facts = _facts(observed, source)
        if facts.certificate is None or facts.ends is None:
            continue
        begin = facts.certificate.not_before
        if observed.now >= begin + (facts.ends - begin) * 5 / 6:
            late.append((source, facts.ends))
    return min(late, key=lambda one: one[1], default=None)


def lost_copy(observed: Observed, who: Holder) -> str:
    """A certificate that has to stay for now, as its Secret already has one of another authority,
    and that is gone; empty when there is none.
    """
    kept = [r for r in who.leaves if ISSUER[r] in who.given and r is not Role.OPERATOR]
    signing = {source.role for source in who.sources if _signs(observed, who, source)}
    for role in kept:
        found = observed.certificates.facts.get(role)
        if role not in signing and (found is None or found.problem):
            return (
                f"Secret {secret_name(who.name, role)} is missing or spoilt, and nobody has a"
                " certificate of the authority that the members trust: put one into your Secret"
            )
    return ""


def operators_trouble(observed: Observed, who: Holder) -> str:
    """Why the operator can't show the certificate that the user gives it; empty when it can."""
    source = next((one for one in who.sources if one.role is Role.OPERATOR), None)
    if source is None:
        return "spec.security.tls.operatorCertificateSecret does not name one"
    if not _signs(observed, who, source):
        return _facts(observed, source).problem or "its authority is not the one that signs yet"
    return "" if _facts(observed, source).copied else "it is being copied"


def changes_owner(applied: TLS, wanted: TLS) -> bool:
    """Whether an edit makes an authority the user's that is not, or the other way round."""
    before, after = (sources_of("", tls) for tls in (applied, wanted))
    return {ISSUER[one.role] for one in before} != {ISSUER[one.role] for one in after}


def with_sources_held(observed: Observed, wanted: ClusterSpec) -> ClusterSpec:
    """An edit without what it says of the sources, while the next authority of the user's begins to
    sign: some may show its certificates already, and nobody else has the others.
    """
    rotation = observed.status.authorities.rotation if observed.status.authorities else None
    if rotation is None or not rotation.given or rotation.phase != Phase.ISSUING:
        return wanted
    assert observed.applied is not None
    applied, security = observed.applied.security.tls, wanted.security
    held = security.tls.model_copy(update={name: getattr(applied, name) for name in _SOURCES})
    return wanted.model_copy(update={"security": security.model_copy(update={"tls": held})})


def refused_sources(observed: Observed, applied: TLS, wanted: TLS) -> tuple[FieldError, ...]:
    """What an edit can't change while the cluster forms, once an authority is recorded: whose it
    is, the operator's or the user's.  Another Secret by the same authority is fine.
    """
    if observed.status.authorities is None:
        return ()
    pairs = (
        ("certificateSecret", applied.certificate_secret, wanted.certificate_secret),
        ("issuerRef", applied.issuer_ref, wanted.issuer_ref),
        ("peerCertificateSecret", applied.peer_certificate_secret, wanted.peer_certificate_secret),
    )
    return tuple(
        FieldError(
            f"spec.security.tls.{field}",
            "can't be set or unset while the cluster forms: the members trust the authority that"
            " they start with",
            "Leave it out, as it was." if before is None else f"Set it back to {_shown(before)}.",
        )
        for field, before, after in pairs
        if (before is None) is not (after is None)
    )


def _shown(value: str | IssuerReference) -> str:
    return value if isinstance(value, str) else json.dumps(value.to_json())


def _order_trouble(source: Source, order: OrderFacts, who: Holder) -> Wait | None:
    """What keeps a Certificate from being made."""
    if order.unread:
        return Wait(reason=Reason.NOT_ALLOWED, message=order.unread)
    if not order.installed:
        message = "cert-manager.io/v1 is not there: install cert-manager, or take issuerRef out"
        return Wait(reason=Reason.CERT_MANAGER_MISSING, message=message, recheck_s=_RECHECK_S)
    if order.uid and order.controller != who.uid:
        return Wait(
            reason=Reason.NAME_CONFLICT,
            message=f"Certificate {source.secret} exists and is not controlled by this EtcdCluster:"
            " delete or rename it",
            recheck_s=_RECHECK_S,
        )
    return None


def _refused(observed: Observed, name: str) -> Wait | None:
    """The server did not take it when it was written last."""
    message = refusal(observed, (name,))
    return Wait(reason=Reason.NOT_ALLOWED, message=message) if message else None


def _unfilled(observed: Observed, source: Source, order: OrderFacts) -> Wait | None:
    """cert-manager has not made the Secret yet."""
    if _facts(observed, source).missing != source.secret:
        return None
    said = f": {order.message}" if order.message else ""
    return Wait(
        reason=Reason.CERTIFICATES_PENDING,
        message=f"cert-manager has not issued Certificate {source.secret} yet{said}",
        recheck_s=1.0,
    )


def _facts(observed: Observed, source: Source) -> SourceFacts:
    return observed.certificates.sources.get(source.role, SourceFacts(problem="It was not read"))


def _signs(observed: Observed, who: Holder, source: Source) -> bool:
    """Whether what a source holds can be used now: it is fit, and of the authority that signs."""
    facts = _facts(observed, source)
    if facts.problem or ISSUER[source.role] not in who.given:
        return False
    return facts.authority == signing_authority(observed, source.role)


def _trouble(observed: Observed, who: Holder, source: Source) -> str:
    """What is wrong with a source; nothing where its authority is only to be trusted first."""
    facts, known = _facts(observed, source), signing_authority(observed, source.role)
    if facts.problem or not known:
        return facts.problem
    others = [one for one in who.sources if ISSUER[one.role] is ISSUER[source.role]]
    unlike = [one.secret for one in others if _facts(observed, one).authority != facts.authority]
    if unlike and not any(_facts(observed, one).problem for one in others):
        return f"Secrets {source.secret} and {unlike[0]} have different authorities: use one"
    rotation = observed.status.authorities.rotation if observed.status.authorities else None
    waits = rotation is not None and rotation.phase == Phase.ISSUING and rotation.given
    waits = waits and ROLES.get(rotation.authority if rotation else "") is ISSUER[source.role]
    if facts.authority == known or (observed.status.cluster_id and not waits):
        return ""
    return (
        f"Secret {source.secret} ({source.field}) can't be used: its ca.crt is not the authority"
        " that the members trust since they started: put the same certificates there as before"
    )
