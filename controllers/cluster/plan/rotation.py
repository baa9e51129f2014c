"""Rules that replace a certificate authority by the next one, and cut nobody off meanwhile.

`certificates/trust.py` says what each phase is for.  A phase begins with a write of status, when it
is certain that what the phase before it was for is done everywhere; what it asks for then follows
from the record, by these rules and by those of certificates, objects and rolls.  So it can be
interrupted anywhere, and a pod that restarts at any moment is one legal step.  What must never
happen: a member restarts with a trust that leaves out who has signed what another one shows.
"""

from typing import Final

from api.labels import SHOW_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityRotation, AuthorityStatus, Rendering
from controllers.cluster.certificates.due import authority_life, rotate_after
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import (
    NAMES,
    ROLES,
    Bundle,
    Phase,
    held,
    recorded,
    signer_of,
)
from controllers.cluster.observed import Observed
from controllers.cluster.plan.certificate_steps import (
    AnnounceCertificate,
    DropRotationRequest,
    MakeNextAuthority,
    RecordRotation,
    ReplaceAuthority,
)
from controllers.cluster.plan.certificates import tls_identity
from controllers.cluster.plan.refusals import refusal, was_refused_just_now
from controllers.cluster.plan.rotation_waits import (
    VOLUMES,
    applications_have_until,
    disturbance,
    to_show,
    under_way,
    waits_for,
)
from controllers.cluster.plan.steps import Wait
from controllers.cluster.render import trusting
from controllers.cluster.render.tls import bundle_key

# Which phase follows; the first begins with what is made for it, and the last one ends it all.
_AFTER: Final = {
    Phase.SPREADING: Phase.TRUSTING,
    Phase.TRUSTING: Phase.ISSUING,
    Phase.ISSUING: Phase.REPLACING,
    Phase.REPLACING: Phase.DROPPING,
}
_ALL: Final = "all"
_RECHECK_S: Final = 3.0
_PATIENT_S: Final = 30.0


def drop_rotation_request(observed: Observed) -> RecordRotation | DropRotationRequest | None:
    """What the annotation asks for is recorded, or comes after what is under way; then it goes."""
    authorities, asked = observed.status.authorities, _asked(observed)
    rotation = authorities.rotation if authorities else None
    if authorities is None or rotation is None or not asked:
        return None
    more = [name for name in asked if name not in {rotation.authority, rotation.then}]
    if not more:
        return DropRotationRequest(asked=observed.rotation_asked)
    return _recorded(
        authorities,
        rotation.model_copy(update={"then": more[0]}),
        f"Rotate the {more[0]} authority afterwards, as the annotation asks",
    )


def make_next_authority(observed: Observed) -> MakeNextAuthority | RecordRotation | None:
    """The next authority, beside the old one: recorded before it is trusted by anything."""
    found = under_way(observed)
    if found is None or found[1].phase != Phase.PREPARING:
        return None
    authorities, _, role = found
    facts, old = observed.certificates.facts, recorded(authorities, role)
    if held(role, facts, old) is None:
        return None
    made = facts[role].next
    if made is not None and made.fingerprint != old:
        return _entered(observed, Phase.SPREADING, next=made.fingerprint)
    if was_refused_just_now(observed, secret_name(observed.name, role)):
        return None
    begin, end = authority_life(observed.now)
    return MakeNextAuthority(
        role=role,
        secret=secret_name(observed.name, role),
        after=old,
        not_before=begin,
        not_after=end,
    )


def forget_lost_authority(observed: Observed) -> RecordRotation | None:
    """A next authority that is lost before it has signed anything: another one can be made."""
    found = under_way(observed)
    if found is None or found[1].phase not in {Phase.SPREADING, Phase.TRUSTING}:
        return None
    authorities, rotation, role = found
    facts = observed.certificates.facts
    if held(role, facts, rotation.next) or not held(role, facts, recorded(authorities, role)):
        return None
    return _entered(observed, Phase.PREPARING, next="")


def begin_rotation(observed: Observed) -> RecordRotation | None:
    """An authority that somebody wants replaced, or that nears its end, while all else is well."""
    authorities = observed.status.authorities
    if authorities is None or authorities.rotation is not None or disturbance(observed):
        return None
    if observed.status.tls is not None and observed.status.tls.change is not None:
        return None
    asked = _asked(observed)
    wanted = asked or _due(observed)
    if not wanted:
        return None
    why = f"as the annotation asks ({observed.rotation_asked})" if asked else "it nears its end"
    words = f"Rotate the {wanted[0]} authority: {why}"
    return _recorded(authorities, _first(observed, wanted), words)


def rotate(observed: Observed) -> RecordRotation | ReplaceAuthority | None:
    """The next phase, once what the one before it was for is done everywhere."""
    found = under_way(observed)
    if found is None or disturbance(observed) or waits_for(observed):
        return None
    authorities, rotation, role = found
    phase = Phase(rotation.phase)
    if phase is Phase.DROPPING:
        return _replace(observed, authorities, rotation, role)
    trusted: dict[Phase, Bundle] = {
        Phase.TRUSTING: (recorded(authorities, role), rotation.next),
        Phase.DROPPING: (rotation.next,),
    }
    after = _AFTER.get(phase)
    return _entered(observed, after, trust=trusted.get(after, ())) if after else None


def _replace(
    observed: Observed, authorities: AuthorityStatus, rotation: AuthorityRotation, role: Role
) -> ReplaceAuthority | None:
    if was_refused_just_now(observed, secret_name(observed.name, role)):
        return None
    then = _first(observed, (rotation.then,)) if rotation.then else None
    update = {NAMES[role]: rotation.next, "rotation": then}
    return ReplaceAuthority(
        role=role,
        secret=secret_name(observed.name, role),
        by=rotation.next,
        then=authorities.model_copy(update=update),
    )


def announce_certificate(observed: Observed) -> AnnounceCertificate | None:
    """New certificates are in use sooner where kubelet is told of them."""
    found = under_way(observed)
    if found is None or found[1].phase != Phase.REPLACING:
        return None
    wanted = to_show(observed, found[2])
    pods = tuple(
        (pod.name, pod.uid)
        for pod in observed.pods
        if not pod.terminating and pod.annotations.get(SHOW_ANNOTATION) != wanted
    )
    return AnnounceCertificate(pods=pods, fingerprint=wanted) if pods and wanted else None


def wait_for_rotation(observed: Observed) -> Wait | None:
    """How far a rotation is, and what it waits for."""
    found = under_way(observed)
    if found is None:
        return None
    rotation, ends = found[1], applications_have_until(observed)
    why = (
        waits_for(observed)
        or disturbance(observed)
        or refusal(observed, (secret_name(observed.name, found[2]),))
    )
    return Wait(
        reason=Reason.ROTATING_AUTHORITY,
        message=f"The {rotation.authority} authority is being replaced ({rotation.phase}):"
        f" {why or 'its next phase begins'}",
        recheck_s=_PATIENT_S if ends else _RECHECK_S,
        not_before=ends,
    )


def unknown_request(observed: Observed) -> str:
    """What the annotation says, where it names no authority of the operator's; else empty."""
    return "" if _asked(observed) else observed.rotation_asked


def _asked(observed: Observed) -> tuple[str, ...]:
    asked, who = observed.rotation_asked, tls_identity(observed)
    names = tuple(ROLES) if asked == _ALL else (asked,)
    own = who.own_authorities if who else ()
    return tuple(name for name in names if name in ROLES and ROLES[name] in own)


def _due(observed: Observed) -> tuple[str, ...]:
    authorities, facts = observed.status.authorities, observed.certificates.facts
    assert authorities is not None
    signers = {name: signer_of(role, facts, authorities) for name, role in ROLES.items()}
    return tuple(
        name
        for name, signer in signers.items()
        if signer is not None and observed.now >= rotate_after(signer)
    )


def _first(observed: Observed, names: tuple[str, ...]) -> AuthorityRotation:
    return AuthorityRotation(
        authority=names[0],
        phase=Phase.PREPARING,
        since=observed.now.replace(microsecond=0),
        then=names[1] if len(names) > 1 else "",
    )


def _entered(
    observed: Observed, phase: Phase, *, trust: Bundle = (), **changes: str
) -> RecordRotation:
    """`trust`: members are restarted to trust exactly these authorities."""
    found = under_way(observed)
    assert found is not None
    authorities, rotation, role = found
    since = observed.now.replace(microsecond=0)
    update = {"phase": phase.value, "since": since, **changes}
    rendered = None
    if trust:
        assert observed.status.rendered is not None
        rendered = trusting(observed.status.rendered, {VOLUMES[role]: bundle_key(trust)})
    return _recorded(
        authorities,
        rotation.model_copy(update=update),
        _WORDS[phase].format(rotation.authority),
        rendered=rendered,
    )


def _recorded(
    authorities: AuthorityStatus,
    rotation: AuthorityRotation,
    why: str,
    *,
    rendered: Rendering | None = None,
) -> RecordRotation:
    new = authorities.model_copy(update={"rotation": rotation})
    return RecordRotation(authorities=new, why=why, rendered=rendered)


_WORDS: Final = {
    Phase.PREPARING: "Make the next {} authority",
    Phase.SPREADING: "Have the next {} authority trusted beside the old one",
    Phase.TRUSTING: "Restart the members to trust both {} authorities",
    Phase.ISSUING: "Have the next {} authority sign all certificates",
    Phase.REPLACING: "Wait until the certificates of the next {} authority are in use",
    Phase.DROPPING: "Restart the members to trust the next {} authority alone",
}
