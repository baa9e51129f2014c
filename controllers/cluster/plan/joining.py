"""Rules that bring the recorded change of membership to its end: one member joins, as a learner
first, in the place of a lost one or as one more.

The record (`status.joining`) says what is wanted and how far it got; each rule looks for one thing
that is still missing.  Order: the old member is off the list, the new one on it as a learner, its
file open, the old volume gone, the process started under the new ID, its file closed, promoted.
What must never happen: two changes at once, a vote without having caught up, old data under a new
ID.
"""

from datetime import timedelta

from api.labels import volume_claim_name
from api.reasons import Reason
from api.v1alpha1.cluster_status import JoiningMember, WithdrawnMember
from controllers.cluster.members import ViewOfMember, at_url, members_of, strangers
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.claims import has_older_templates, is_outdated
from controllers.cluster.plan.leaving import leave
from controllers.cluster.plan.moving import can_move, moving
from controllers.cluster.plan.steps import (
    AddLearner,
    DeletePod,
    DisarmAlarm,
    DiscardClaim,
    DropRequest,
    MoveLeader,
    NudgeLearner,
    PromoteLearner,
    RecordMembership,
    RefreshFiles,
    RemoveMember,
    Wait,
)
from controllers.cluster.render import Identity, identity
from etcd.cluster import Member
from etcd.ids import member_id_hex
from etcd.maintenance import AlarmKind

# A learner starts and catches up within seconds; etcd alone knows whether it has.
_SOON_S = 0.2
_LATER_S = 2.0
_SOON = timedelta(seconds=20)
_SILENT_FOR = timedelta(seconds=15)
# Alarms by which etcd refuses writes until they are taken back.
_DISARMED = frozenset({AlarmKind.CORRUPT, AlarmKind.NOSPACE})
_DATA_GONE = frozenset({Reason.EMPTY_DATA_DIRECTORY, Reason.DATA_ERROR})
# Their data is worth a look before it goes: of who is off the list it isn't even known why.
_SUSPECT = frozenset(
    {Reason.DATA_CORRUPT.value, Reason.DATA_ERROR.value, Reason.MEMBER_REMOVED.value}
)


def in_place_of(observed: Observed, view: ViewOfMember, reason: Reason) -> JoiningMember:
    """The record of one that joins instead of this member, on a volume of its own."""
    claim = observed.claim(view.ordinal)
    return JoiningMember(
        name=view.name,
        ordinal=view.ordinal,
        reason=reason.value,
        since=observed.now.replace(microsecond=0),
        old_id=member_id_hex(view.member.id) if view.member else "",
        old_claim=claim.uid if claim else "",
    )


def track_joining(observed: Observed) -> RecordMembership | None:
    """Record what etcd's list and the member itself say of the one that joins."""
    joining = observed.status.joining
    if joining is None or observed.etcd.members is None:
        return None
    member = at_url(observed, _peer_url(observed, joining))
    if member is None or member_id_hex(member.id) == joining.old_id:
        again = _begin_again if joining.id else _give_up_newer_claim
        return again(observed, joining)
    if not member.is_learner and member_id_hex(member.id) == joining.id:
        return _record_voter(observed, joining)
    return _record_learner(observed, joining, member)


def _record_voter(observed: Observed, joining: JoiningMember) -> RecordMembership | None:
    """Complete once its pod is ready as well, or it has had its time: then it is cared for as any
    other voter.  A cluster that grows on does not wait for that (`grow_on`).
    """
    if not _view(observed, joining).healthy and not _gives_up(observed, joining):
        return None
    return RecordMembership(
        voters=tuple(sorted({*voters_of(observed.status), joining.ordinal})),
        joining=None,
        why=f"{joining.name} has become a voter",
    )


def _record_learner(
    observed: Observed, joining: JoiningMember, member: Member
) -> RecordMembership | None:
    """The ID that etcd gave it, the list that its first file names, and that it has started."""
    found = joining.model_copy(update={"id": member_id_hex(member.id)})
    if found.id != joining.id:
        found = found.model_copy(update={"started": False})
    elif not found.started and _has_started(observed, joining, member):
        # It began on an empty directory, or it would not run under this ID: whichever volume that
        # was is its own from now on.
        found = found.model_copy(update={"started": True, "old_claim": ""})
    if not found.started:
        found = found.model_copy(update={"listed": _listed(observed, joining)})
    if found == joining:
        return _give_up_outdated_claim(observed, joining)
    said = "has started: close its file" if found.started else f"is listed as {found.id}"
    return _still_joining(observed, found, f"{joining.name} {said}")


def _has_started(observed: Observed, joining: JoiningMember, member: Member) -> bool:
    status = observed.etcd.statuses.get(joining.name)
    return bool(member.client_urls) or (status is not None and status.member_id == member.id)


def _listed(observed: Observed, joining: JoiningMember) -> tuple[int, ...]:
    """Who is in etcd's list, by ordinal; `add_learner` saw to it that there is nobody else."""
    who = _identity(observed)
    everyone = sorted({*voters_of(observed.status), joining.ordinal})
    return tuple(n for n in everyone if at_url(observed, who.peer_url(n)))


def _begin_again(observed: Observed, joining: JoiningMember) -> RecordMembership:
    """The learner is off the list, by us or by hand: now another one, or none."""
    if _gives_up(observed, joining):
        return _give_up(observed, joining)
    claim = observed.claim(joining.ordinal)
    fresh = {"id": "", "listed": (), "started": False, "old_claim": claim.uid if claim else ""}
    return _still_joining(
        observed,
        joining.model_copy(update=fresh),
        f"{joining.name} is off etcd's list: add it again, with an empty volume",
    )


def _give_up_newer_claim(observed: Observed, joining: JoiningMember) -> RecordMembership | None:
    """A claim that was made since the decision: what ran on it, if anything, was the old member."""
    claim = observed.claim(joining.ordinal)
    if claim is None or claim.uid == joining.old_claim:
        return None
    return _still_joining(
        observed,
        joining.model_copy(update={"old_claim": claim.uid}),
        f"{claim.name} was made anew: it is given up as well",
    )


def _give_up_outdated_claim(observed: Observed, joining: JoiningMember) -> RecordMembership | None:
    """It waits for a volume of a class or a size that was corrected since."""
    claim, applied = observed.claim(joining.ordinal), observed.applied
    assert applied is not None
    if joining.started or claim is None or claim.uid == joining.old_claim:
        return None
    if not is_outdated(claim, applied.storage) or has_older_templates(observed):
        return None
    return _still_joining(
        observed,
        joining.model_copy(update={"old_claim": claim.uid}),
        f"{claim.name} has no volume yet and is not what the spec names: it is made anew",
    )


def drop_request(observed: Observed) -> DropRequest | None:
    """The annotation that asked for the replacement has been understood: it is recorded."""
    joining = observed.status.joining
    if joining is None or joining.name not in observed.asked_to_replace:
        return None
    return DropRequest(name=joining.name)


def withdraw(observed: Observed) -> RecordMembership | RemoveMember | None:
    """Take back a learner that is no longer wanted, came too late, or lost its data again."""
    joining = observed.status.joining
    if joining is None:
        return None
    why = _gives_up(observed, joining)
    if not joining.id:
        return _give_up(observed, joining) if why else None
    view = _view(observed, joining)
    why = why or _is_spoilt(observed, joining, view)
    if not why or view.member is None or not view.member.is_learner:
        return None
    return RemoveMember(
        name=joining.name,
        id=view.member.id,
        voters=sum(not member.is_learner for member in observed.etcd.members or ()),
        why=f"it has not joined, and {why}",
    )


def _gives_up(observed: Observed, joining: JoiningMember) -> str:
    """Why this join is not to go on; empty while it is."""
    assert observed.applied is not None
    if joining.ordinal >= observed.applied.size:
        return f"spec.size is {observed.applied.size} now"
    if _is_late(observed, joining):
        return f"{int(_deadline(observed).total_seconds())} s are over"
    return _stays(observed, joining)


def _stays(observed: Observed, joining: JoiningMember) -> str:
    """Why a member that was to move is left on its volume: as long as it is in etcd's list it is
    needed, and what it was to move for may have changed.
    """
    if joining.reason != Reason.VOLUME_MIGRATION or joining.id:
        return ""
    view = _view(observed, joining)
    if view.member is None or member_id_hex(view.member.id) != joining.old_id:
        return ""
    if view not in moving(observed):
        return "its volume can stay"
    return "" if can_move(observed) else "it is needed where it is"


def _is_late(observed: Observed, joining: JoiningMember) -> bool:
    return observed.now >= joining.since + _deadline(observed)


def _give_up(observed: Observed, joining: JoiningMember) -> RecordMembership:
    withdrawn = None
    if _is_late(observed, joining):
        withdrawn = WithdrawnMember(
            name=joining.name,
            message=_what_is_missing(observed, joining),
            not_before=observed.now + _deadline(observed),
            generation=observed.generation,
        )
    return RecordMembership(
        voters=voters_of(observed.status),
        joining=None,
        withdrawn=withdrawn,
        why=f"Give up on {joining.name}: {_gives_up(observed, joining)}",
    )


def _is_spoilt(observed: Observed, joining: JoiningMember, view: ViewOfMember) -> str:
    """Why this learner can never serve: its log is gone, or is somebody else's."""
    claim = observed.claim(joining.ordinal)
    if claim is None or claim.terminating or claim.uid == joining.old_claim:
        return ""  # what runs there, if anything, is not the new member yet
    problem = view.pod.problem if view.pod else None
    if joining.started and problem and problem.reason in _DATA_GONE:
        return f"its data is lost again ({problem.reason})"
    if view.status and member_id_hex(view.status.member_id) != joining.id:
        return f"it runs as {member_id_hex(view.status.member_id)}"
    return ""


def remove_old(observed: Observed) -> MoveLeader | RemoveMember | Wait | None:
    """The member that is replaced leaves before the new one is added: adding first would raise
    the quorum (etcd FAQ, "should I add a member before removing an unhealthy member").
    """
    joining = observed.status.joining
    if joining is None or joining.id or not joining.old_id:
        return None
    view = _view(observed, joining)
    if view.member is None or member_id_hex(view.member.id) != joining.old_id:
        return None
    return leave(observed, view, f"it is replaced ({joining.reason})") or Wait(
        reason=Reason.WAITING_TO_REPLACE,
        message=f"{joining.name} is to be replaced ({joining.reason}); waiting until the other"
        " members are a quorum without it",
        recheck_s=_LATER_S,
    )


def disarm_gone(observed: Observed) -> DisarmAlarm | None:
    """The alarm of a member that is gone keeps the others from writing until it is taken back: of
    one that was replaced, or of one of the cluster that a backup was taken from.  Whoever has no
    space now raises NOSPACE itself.
    """
    listed = {member.id for member in observed.etcd.members or ()}
    for alarm in observed.etcd.alarms:
        # Without an ID etcd does not know who is wrong: that is for a person to decide.
        if alarm.kind in _DISARMED and alarm.member_id and alarm.member_id not in listed:
            return DisarmAlarm(id=alarm.member_id, kind=alarm.kind)
    return None


def add_learner(observed: Observed) -> AddLearner | Wait | None:
    """MemberAdd, once nobody else is joining and no unknown member makes the list longer."""
    joining = observed.status.joining
    if joining is None or joining.id:
        return None
    others = strangers(observed)
    if others:
        return unknown_members(others)
    return AddLearner(
        name=joining.name,
        peer_urls=_identity(observed).peer_urls(joining.ordinal),
        claim=volume_claim_name(observed.name, joining.ordinal, observed.epoch),
        old_claim=joining.old_claim,
    )


def free_volume(observed: Observed) -> DiscardClaim | DeletePod | None:
    """The old volume goes before anything starts under the new ID: claim first, then its pod.

    In this order no pod can bind the old claim again: one that is being deleted takes no new pod.
    """
    joining = observed.status.joining
    claim = observed.claim(joining.ordinal) if joining else None
    if joining is None or claim is None or not joining.id or claim.uid != joining.old_claim:
        return None
    assert observed.applied is not None
    keeps = observed.applied.storage.removed_member_policy == "Keep"
    if not claim.terminating:
        return DiscardClaim(
            name=claim.name,
            uid=claim.uid,
            not_member=_peer_url(observed, joining),
            keep_volume=keeps or joining.reason in _SUSPECT,
            why=f"{joining.name} is replaced ({joining.reason})",
        )
    pod = observed.pod(joining.ordinal)
    if pod is None:
        return None
    gone = any(node.name == pod.node for node in observed.nodes_lost)
    if pod.terminating and not gone:
        return None
    return DeletePod(
        name=pod.name, uid=pod.uid, why="its volume is being replaced", force=pod.terminating
    )


def refresh_files(observed: Observed) -> RefreshFiles | None:
    """Before it votes, its pod gets the file that an emptied directory can't start from.

    Kubelet looks at a ConfigMap once a minute, and at once when the pod changes
    (k8s.io/kubernetes pkg/kubelet/kubelet.go, SyncPod).
    """
    joining = observed.status.joining
    pod = observed.pod(joining.ordinal) if joining else None
    if joining is None or pod is None or not joining.started or pod.closed_for == joining.id:
        return None
    return RefreshFiles(name=pod.name, uid=pod.uid, member=joining.id)


def promote(observed: Observed) -> PromoteLearner | None:
    """Etcd itself decides whether it has caught up; asking is free."""
    joining = observed.status.joining
    if joining is None or not joining.started:
        return None
    view = _view(observed, joining)
    if view.member is None or not view.member.is_learner:
        return None
    if view.status is None or not view.status.leader:
        return None
    return PromoteLearner(name=joining.name, id=view.member.id)


def nudge(observed: Observed) -> NudgeLearner | None:
    """It has run for a while without a word: perhaps it only waits for the next entry."""
    joining = observed.status.joining
    if joining is None or not joining.id or joining.started:
        return None
    pod = observed.pod(joining.ordinal)
    late = observed.now >= joining.since + _SILENT_FOR
    if pod is None or not pod.running or pod.problem is not None or not late:
        return None
    return NudgeLearner(name=joining.name)


def wait_for_joining(observed: Observed) -> Wait | None:
    """Somebody joins, and the next step is not ours."""
    joining = observed.status.joining
    if joining is None:
        return None
    young = observed.now < joining.since + _SOON
    return Wait(
        reason=Reason.MEMBER_REPLACING if replaces(joining) else Reason.MEMBER_JOINING,
        message=_what_is_missing(observed, joining),
        recheck_s=_SOON_S if young else _LATER_S,
        not_before=joining.since + _deadline(observed),
    )


def unknown_members(others: tuple[Member, ...]) -> Wait:
    """What is said of members that are none of ours, where they stand in the way."""
    named = ", ".join(f"{member_id_hex(m.id)} ({', '.join(m.peer_urls)})" for m in others)
    return Wait(
        reason=Reason.UNKNOWN_MEMBER,
        message=f"etcd lists {named}, which the operator did not add: nothing is added or removed"
        " until it is gone",
    )


def _what_is_missing(observed: Observed, joining: JoiningMember) -> str:
    view = next((v for v in members_of(observed) if v.ordinal == joining.ordinal), None)
    what = "as one more member" if not replaces(joining) else f"again ({joining.reason})"
    problem = view.pod.problem if view and view.pod else None
    if problem is not None:
        return f"{joining.name} joins {what}; its pod: {problem.reason}: {problem.message}"
    why = view.reason if view else "not listed by etcd yet"
    return f"{joining.name} joins {what}; waiting for it: {why}"


def _view(observed: Observed, joining: JoiningMember) -> ViewOfMember:
    return next(view for view in members_of(observed) if view.ordinal == joining.ordinal)


def _peer_url(observed: Observed, joining: JoiningMember) -> str:
    return _identity(observed).peer_url(joining.ordinal)


def _identity(observed: Observed) -> Identity:
    bootstrap = observed.status.bootstrap
    assert bootstrap is not None
    return identity(observed, bootstrap)


def _deadline(observed: Observed) -> timedelta:
    assert observed.applied is not None
    return timedelta(seconds=observed.applied.recovery.join_deadline_seconds)


def _still_joining(observed: Observed, joining: JoiningMember, why: str) -> RecordMembership:
    return RecordMembership(voters=voters_of(observed.status), joining=joining, why=why)
