"""Rules that bring the number of members to spec.size, one member at a time.

Growth appends the next ordinal as a learner; shrinking takes the highest away.  Size 0 is sleep:
nobody leaves, only the pods end.
"""

from api.labels import pod_name
from api.reasons import Reason
from api.v1alpha1.cluster_status import JoiningMember
from controllers.cluster.members import ViewOfMember, at_url, is_corrupt, strangers, voters
from controllers.cluster.membership import SCALE_OUT, is_asleep, late_of, quorum, voters_of
from controllers.cluster.observed import Observed
from controllers.cluster.plan.joining import unknown_members
from controllers.cluster.plan.leaving import leave
from controllers.cluster.plan.repair import held
from controllers.cluster.plan.steps import (
    DiscardClaim,
    MoveLeader,
    RecordMembership,
    RemoveMember,
    Wait,
)
from controllers.cluster.render import identity
from etcd.versions import parse_version, promotions_survive


def sleep(observed: Observed) -> Wait | None:
    """Size 0: the pods end, the volumes and the record of the voters stay."""
    if not is_asleep(observed):
        return None
    names = ", ".join(pod.name for pod in observed.pods)
    if names:
        return Wait(reason=Reason.STOPPED, message=f"Stopping: waiting for {names} to end")
    return Wait(
        reason=Reason.STOPPED,
        message="spec.size is 0: the volumes are kept; set a size to start the cluster again",
        settled=True,
    )


def discard_leftovers(observed: Observed) -> DiscardClaim | None:
    """Volumes of members that have left go when the others are well: never to be started again."""
    bootstrap, applied = observed.status.bootstrap, observed.applied
    if bootstrap is None or applied is None or not all(v.healthy for v in voters(observed)):
        return None
    members = voters_of(observed.status)
    who = identity(observed, bootstrap)
    for claim in observed.claims:
        if claim.ordinal in members or claim.cluster_uid != observed.uid or claim.terminating:
            continue
        # Who is listed all the same, after an adoption from an older record, keeps its data.
        listed = at_url(observed, who.peer_url(claim.ordinal)) is not None
        if not listed and observed.pod(claim.ordinal) is None:
            return DiscardClaim(
                name=claim.name,
                uid=claim.uid,
                not_member=who.peer_url(claim.ordinal),
                keep_volume=applied.storage.removed_member_policy == "Keep",
                why="its member has left the cluster",
            )
    return None


def shrink(observed: Observed) -> MoveLeader | RemoveMember | RecordMembership | Wait | None:
    """The member with the highest ordinal leaves: first leadership, then the list, then the record;
    its pod and its volume follow from that.  A sick one leaves the list earlier.
    """
    assert observed.applied is not None
    members = voters(observed)
    if not observed.applied.size or len(members) <= observed.applied.size:
        return None
    last = members[-1]
    if last.member is None:
        return RecordMembership(
            voters=voters_of(observed.status)[:-1], joining=None, why=f"{last.name} has left"
        )
    others = strangers(observed)
    if others:
        return unknown_members(others)
    leaving = _next_to_leave(observed, members, observed.applied.size)
    return leave(observed, leaving, f"spec.size is {observed.applied.size}")


def _next_to_leave(
    observed: Observed, members: tuple[ViewOfMember, ...], size: int
) -> ViewOfMember:
    """Of those that are to leave the sick ones first: the others may be needed for quorum."""
    beyond = [view for view in reversed(members) if view.ordinal >= size and view.member]
    corrupt = (view for view in beyond if is_corrupt(observed, view))
    sick = (view for view in beyond if not view.healthy)
    return next(corrupt, None) or next(sick, members[-1])


def wait_to_shrink(observed: Observed) -> Wait | None:
    """Too many members, and nobody can be spared."""
    assert observed.applied is not None
    members = voters(observed)
    if not observed.applied.size or len(members) <= observed.applied.size:
        return None
    leaving = _next_to_leave(observed, members, observed.applied.size)
    return Wait(
        reason=Reason.SCALING,
        message=f"{leaving.name} is to leave; waiting until the other members are a quorum without"
        f" it: {_unhealthy(observed)}",
        recheck_s=2.0,
    )


def grow(observed: Observed) -> RecordMembership | Wait | None:
    """Decide on the next member; the rules of joining do the rest."""
    assert observed.applied is not None
    members = voters_of(observed.status)
    if len(members) >= observed.applied.size:
        return None
    ordinal = len(members)
    name = pod_name(observed.name, ordinal)
    wait = _not_now(observed, name, ordinal)
    if wait is not None:
        return wait
    return RecordMembership(
        voters=members,
        joining=JoiningMember(
            name=name,
            ordinal=ordinal,
            reason=SCALE_OUT,
            since=observed.now.replace(microsecond=0),
        ),
        why=f"Grow from {ordinal} to {observed.applied.size} members: {name} is next",
    )


def _not_now(observed: Observed, name: str, ordinal: int) -> Wait | None:
    """What growth waits for."""
    assert observed.applied is not None
    others = strangers(observed)
    if others:
        return unknown_members(others)
    if not promotions_survive(parse_version(observed.applied.version)):
        return Wait(
            reason=Reason.UPGRADE_FIRST,
            message=f"etcd {observed.applied.version} can lose the promotion of a learner",
        )
    withdrawn = held(observed, name)
    if withdrawn is not None:
        return Wait(
            reason=Reason.MEMBER_WITHDRAWN,
            message=f"{name} could not join: {withdrawn.message}",
            not_before=withdrawn.not_before,
        )
    if late_of(observed.status) or not _can_take_one_more(observed):
        return _growth_waits(f"waiting for {_unhealthy(observed)}")
    if any(claim.ordinal == ordinal for claim in observed.claims) or observed.pod(ordinal):
        return _growth_waits(f"waiting until the pod and the volume of the former {name} are gone")
    return None


def _can_take_one_more(observed: Observed) -> bool:
    """Etcd's own condition (server/etcdserver/server.go, mayAddMember): a quorum of one more."""
    members = voters(observed)
    healthy = sum(view.healthy for view in members)
    return len(members) == 1 == healthy or healthy >= quorum(len(members) + 1)


def _growth_waits(message: str) -> Wait:
    return Wait(reason=Reason.SCALING, message=f"The cluster is to grow; {message}", recheck_s=1.0)


def _unhealthy(observed: Observed) -> str:
    down = [f"{view.name} ({view.reason})" for view in voters(observed) if not view.healthy]
    return ", ".join(down) or "first members that have not started"
