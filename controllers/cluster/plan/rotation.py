"""Rules that replace a certificate authority by the next one, and cut nobody off meanwhile.

`certificates/trust.py` says what each phase is for.  A phase begins with a write of status, when it
is certain that what the phase before it was for is done everywhere; what it asks for then follows
from the record, by these rules and by those of certificates, objects and rolls.  So it can be
interrupted anywhere, and a pod that restarts at any moment is one legal step.  What must never
happen: a member restarts with a trust that leaves out who has signed what another one shows.
"""

import dataclasses
from typing import Final

from api.labels import SHOW_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import AuthorityRotation, AuthorityStatus, Rendering
from controllers.cluster.certificates.due import authority_life, rotate_after
from controllers.cluster.certificates.facts import AUTHORITIES, Role
from controllers.cluster.certificates.holder import Holder
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
    IssueCertificates,
    MakeNextAuthority,
    RecordRotation,
    ReplaceAuthority,
)
from controllers.cluster.plan.certificates import (
    coming_problem,
    make_authority,
    tls_identity,
    usable_authority,
)
from controllers.cluster.plan.refusals import refusal, was_refused_just_now
from controllers.cluster.plan.rotation_waits import (
    VOLUMES,
    applications_have_until,
    disturbance,
    to_show,
    under_way,
    waits_for,
)
from controllers.cluster.plan.sources import offered_authority
from controllers.cluster.plan.steps import Wait
from controllers.cluster.render import rendered_for, trusting
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


def make_next_authority(
    observed: Observed,
) -> IssueCertificates | MakeNextAuthority | RecordRotation | None:
    """The next authority: recorded before it is trusted by anything.

    One of the operator's is made beside its old one, or where there was one of the user's so far.
    """
    found, who = under_way(observed), tls_identity(observed)
    if found is None or who is None or found[1].phase != Phase.PREPARING:
        return None
    rotation, role = found[1:]
    if role in who.named:
        offered = offered_authority(observed, who, role)
        return _spread(observed, who, offered, given=True) if offered else None
    if role in who.given:
        if coming_problem(observed, who, role):
            return None
        usable = usable_authority(observed, who, role)
        return _spread(observed, who, usable) if usable else make_authority(observed, who, role)
    if rotation.given:
        return _spread(observed, who, recorded(found[0], role))
    return _make_beside(observed, who, recorded(found[0], role), role)


def _make_beside(
    observed: Observed, who: Holder, old: str, role: Role
) -> MakeNextAuthority | RecordRotation | None:
    facts = observed.certificates.facts
    if held(role, facts, old) is None:
        return None
    made = facts[role].next
    if made is not None and made.fingerprint != old:
        return _spread(observed, who, made.fingerprint)
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
    """A next authority that is lost, or no longer wanted, before it has signed anything: another
    one can be next.
    """
    found, who = under_way(observed), tls_identity(observed)
    if found is None or who is None or found[1].phase not in {Phase.SPREADING, Phase.TRUSTING}:
        return None
    authorities, rotation, role = found
    facts = observed.certificates.facts
    is_wanted = rotation.given is (role in who.named)
    if is_wanted and rotation.given:
        offered = offered_authority(observed, who, role)
        if offered == rotation.next or (not offered and rotation.phase == Phase.TRUSTING):
            return None
    elif is_wanted and (
        held(role, facts, rotation.next)
        or (role not in who.given and not held(role, facts, recorded(authorities, role)))
    ):
        return None
    return _entered(observed, Phase.PREPARING, next="")


def begin_rotation(observed: Observed) -> RecordRotation | None:
    """An authority that somebody wants replaced, or that nears its end, while all else is well."""
    authorities = observed.status.authorities
    if authorities is None or authorities.rotation is not None or disturbance(observed):
        return None
    if observed.status.tls is not None and observed.status.tls.change is not None:
        return None
    asked, others = _asked(observed), _others(observed)
    wanted = others or asked or _due(observed)
    if not wanted:
        return None
    why = f"as the annotation asks ({observed.rotation_asked})" if asked else "it nears its end"
    if others:
        why = "another one is to take its place"
    words = f"Rotate the {wanted[0]} authority: {why}"
    who = tls_identity(observed)
    given = [NAMES[role] for role in AUTHORITIES if who and role in who.given]
    owned = authorities.model_copy(update={"given": tuple(given)})
    return _recorded(owned, _first(observed, wanted), words)


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


def _spread(
    observed: Observed, who: Holder, following: str, *, given: bool = False
) -> RecordRotation:
    """What is next is known; it may be what the members trusted before it all began."""
    found = under_way(observed)
    assert found is not None
    authorities, _, role = found
    old = recorded(authorities, role)
    if following != old:
        return _entered(observed, Phase.SPREADING, next=following, given=given)
    return _entered(observed, Phase.DROPPING, trust=(old,), next=old, given=role in who.given)


def _replace(
    observed: Observed, authorities: AuthorityStatus, rotation: AuthorityRotation, role: Role
) -> ReplaceAuthority | RecordRotation | None:
    if was_refused_just_now(observed, secret_name(observed.name, role)):
        return None
    name, given = NAMES[role], authorities.given or ()
    was_given = name in given
    others = [one for one in given if one != name]
    then = _first(observed, (rotation.then,)) if rotation.then else None
    update = {
        name: rotation.next,
        "given": (*others, name) if rotation.given else tuple(others),
        "rotation": then,
    }
    after = authorities.model_copy(update=update)
    if was_given or rotation.given or rotation.next == recorded(authorities, role):
        words = f"The {name} authority has been replaced: all trust the one that is wanted, alone"
        return RecordRotation(authorities=after, why=words)
    return ReplaceAuthority(
        role=role,
        secret=secret_name(observed.name, role),
        by=rotation.next,
        then=after,
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


def _others(observed: Observed) -> tuple[str, ...]:
    """The authorities in whose place the user has put others, in the spec or in a Secret."""
    who, authorities = tls_identity(observed), observed.status.authorities
    if who is None or authorities is None:
        return ()
    offered = {role: offered_authority(observed, who, role) for role in who.named}
    others = [
        role
        for role in AUTHORITIES
        if role in who.coming_authorities
        or offered.get(role, "") not in {"", recorded(authorities, role)}
    ]
    return tuple(NAMES[role] for role in others)


def _first(observed: Observed, names: tuple[str, ...]) -> AuthorityRotation:
    who = tls_identity(observed)
    return AuthorityRotation(
        authority=names[0],
        phase=Phase.PREPARING,
        since=observed.now.replace(microsecond=0),
        then=names[1] if len(names) > 1 else "",
        given=who is not None and ROLES[names[0]] in who.named,
    )


def _entered(
    observed: Observed, phase: Phase, *, trust: Bundle = (), **changes: str | bool
) -> RecordRotation:
    """`trust`: members are restarted to trust exactly these authorities."""
    found = under_way(observed)
    assert found is not None
    authorities, rotation, role = found
    since = observed.now.replace(microsecond=0)
    update = {"phase": phase.value, "since": since, **changes}
    new = rotation.model_copy(update=update)
    rendered = _trusting(observed, authorities, new, role, trust) if trust else None
    return _recorded(
        authorities,
        new,
        _WORDS[phase].format(rotation.authority),
        rendered=rendered,
    )


def _trusting(
    observed: Observed,
    authorities: AuthorityStatus,
    rotation: AuthorityRotation,
    role: Role,
    trust: Bundle,
) -> Rendering:
    """The template with which members trust these, and nothing else anew; but where members are
    called by other certificates from now on, their options may have to say so.
    """
    made, bootstrap, applied = observed.status.rendered, observed.status.bootstrap, observed.applied
    assert made is not None
    had_names = NAMES[role] in (authorities.given or ())
    if role is Role.PEER_CA and rotation.given is not had_names and bootstrap and applied:
        after = authorities.model_copy(update={"rotation": rotation})
        status = observed.status.model_copy(update={"authorities": after})
        made = rendered_for(dataclasses.replace(observed, status=status), applied, bootstrap)
    return trusting(made, {VOLUMES[role]: bundle_key(trust)})


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
