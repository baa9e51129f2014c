"""Rules that decide to replace a member: on proof, with a quorum of the others, one at a time."""

from datetime import timedelta
from typing import Final

from api.labels import REPLACE_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.cluster_status import Replacement, WithdrawnMember
from controllers.cluster.members import ViewOfMember, keeps_quorum_without, strangers, voters
from controllers.cluster.membership import late_of, quorum, voters_of
from controllers.cluster.observed import Observed, derived
from controllers.cluster.plan.joining import in_place_of, unknown_members
from controllers.cluster.plan.leaving import leave
from controllers.cluster.plan.proof import Proof, distrusted, proof_of_loss
from controllers.cluster.plan.steps import (
    DeletePod,
    MoveLeader,
    RecordMembership,
    RemoveMember,
    Wait,
)
from etcd.versions import adds_with_members_down, parse_version, promotions_survive

# Members that are lost again and again have a cause that another replacement will not mend.
MOST_REPLACEMENTS: Final = 2
WITHIN: Final = timedelta(hours=1)
# Pods and claims are told by two watches, one of which may lag behind.
_CACHES_AGREE: Final = timedelta(seconds=5)


def revive_pending(observed: Observed) -> DeletePod | None:
    """A pod that waits for a claim which is gone: made anew, its claim is made with it.

    Kubernetes makes missing claims when it makes a pod, and only newer versions for one that is
    already there (k8s.io/kubernetes pkg/controller/statefulset/stateful_set_control.go).  And it
    chooses a volume for a claim when it chooses a node for the pod, so a claim that took the place
    of another after that gets none.
    """
    for pod in observed.pods:
        claim = next((one for one in observed.claims if one.ordinal == pod.ordinal), None)
        waits = pod.problem is not None and pod.problem.reason is Reason.POD_UNSCHEDULABLE
        if pod.terminating or pod.running:
            continue
        if waits and claim is None:
            return DeletePod(name=pod.name, uid=pod.uid, why="its volume claim is gone")
        settled = pod.scheduled_since and observed.now >= pod.scheduled_since + _CACHES_AGREE
        if settled and claim is not None and claim.unassigned:
            return DeletePod(name=pod.name, uid=pod.uid, why="its volume claim is a newer one")
    return None


def replace(observed: Observed) -> RecordMembership | None:
    """Record the replacement of the first member that is proven lost and may be replaced now."""
    for view, proof in _lost(observed):
        if _held_back(observed, view, proof) is None:
            return _record(observed, view, proof)
    return None


def remove_lost(observed: Observed) -> MoveLeader | RemoveMember | None:
    """Take further lost members off the list before one is added, where etcd adds nobody else.

    Without the lost ones the quorum is smaller, so this risks nothing; each comes back in turn, if
    it is to, and its volume stays until then.
    """
    joining = observed.status.joining
    if joining is None or joining.id or _adds_one_more(observed):
        return None
    for view, proof in _proven(observed):
        wished = proof.reason is Reason.REPLACEMENT_REQUESTED
        if view.ordinal != joining.ordinal and view.member and not wished:
            return leave(observed, view, f"it is lost ({proof.reason}), and none can join with it")
    return None


def _adds_one_more(observed: Observed) -> bool:
    """Whether etcd would add a member now (server/etcdserver/server.go, mayAddMember): a quorum of
    one more has to be connected, and in older versions everyone.
    """
    assert observed.applied is not None
    listed = sum(not member.is_learner for member in observed.etcd.members or ())
    healthy = sum(view.healthy for view in voters(observed))
    if adds_with_members_down(parse_version(observed.applied.version)):
        return healthy >= quorum(listed + 1)
    return healthy >= listed


def wait_to_replace(observed: Observed) -> Wait | None:
    """Lost members that may not be replaced now: said, and nothing is added meanwhile.

    After the rule that shrinks, because members that are to leave may be what stands in the way.
    """
    for view, proof in _lost(observed):
        if proof.reason is not Reason.REPLACEMENT_REQUESTED:
            return _held_back(observed, view, proof)
    return None


def wait_for_template(observed: Observed) -> Wait | None:
    """A pod that finds no data, made from a template that may not even look where it is."""
    for view in voters(observed):
        problem = distrusted(observed, view)
        if problem is not None and view.pod is not None:
            return Wait(
                reason=problem.reason,
                message=f"Pod {view.name}: {problem.message}. It runs template revision"
                f" {view.pod.revision}, with which its member was never healthy: no data is given"
                " up for that; correct the template, or ask for its replacement"
                f" ({REPLACE_ANNOTATION})",
            )
    return None


def wait_to_honour(observed: Observed) -> Wait | None:
    """Healthy members that somebody wants replaced, and that are needed now."""
    for view, proof in _lost(observed):
        return _held_back(observed, view, proof)
    return None


@derived
def _proven(observed: Observed) -> tuple[tuple[ViewOfMember, Proof], ...]:
    proven = ((view, proof_of_loss(observed, view)) for view in voters(observed))
    return tuple((view, proof) for view, proof in proven if proof)


@derived
def _lost(observed: Observed) -> tuple[tuple[ViewOfMember, Proof], ...]:
    """Those of the proven ones that are to come back."""
    return tuple((v, proof) for v, proof in _proven(observed) if not _is_leaving(observed, v))


def _is_leaving(observed: Observed, view: ViewOfMember) -> bool:
    """Beyond the wanted size: it is removed, not replaced."""
    return observed.applied is not None and view.ordinal >= observed.applied.size


def _record(observed: Observed, view: ViewOfMember, proof: Proof) -> RecordMembership:
    joining = in_place_of(observed, view, proof.reason)
    return RecordMembership(
        voters=voters_of(observed.status),
        joining=joining,
        replaced=Replacement(name=view.name, reason=joining.reason, time=joining.since),
        why=f"Replace {view.name}: {proof.message}",
    )


def _held_back(observed: Observed, view: ViewOfMember, proof: Proof) -> Wait | None:
    """Why it is not replaced now; None when it is."""
    lost = f"{view.name} is to be replaced ({proof.message})"
    others = strangers(observed)
    if others:
        return unknown_members(others)
    if not keeps_quorum_without(observed, view.ordinal):
        return _waiting(f"{lost}; waiting until the other members are a quorum without it")
    late = [n for n in late_of(observed.status) if n != view.ordinal]
    if late:
        return _waiting(f"{lost}; waiting until all first members have started")
    return (
        _too_old(observed, lost) or _withdrawn(observed, view, lost) or _limit(observed, view, lost)
    )


def _waiting(message: str) -> Wait:
    return Wait(reason=Reason.WAITING_TO_REPLACE, message=message, recheck_s=2.0)


def _too_old(observed: Observed, lost: str) -> Wait | None:
    assert observed.applied is not None
    if promotions_survive(parse_version(observed.applied.version)):
        return None
    return Wait(
        reason=Reason.UPGRADE_FIRST,
        message=f"{lost}, but etcd {observed.applied.version} can lose the promotion of a learner",
    )


def _withdrawn(observed: Observed, view: ViewOfMember, lost: str) -> Wait | None:
    withdrawn = held(observed, view.name)
    if withdrawn is None:
        return None
    return Wait(
        reason=Reason.MEMBER_WITHDRAWN,
        message=f"{lost}, which has failed: {withdrawn.message}",
        not_before=withdrawn.not_before,
    )


def held(observed: Observed, name: str) -> WithdrawnMember | None:
    """The failed join of this member while it is not to be tried again yet."""
    withdrawn = observed.status.withdrawn
    if withdrawn is None or withdrawn.name != name or withdrawn.generation != observed.generation:
        return None
    return withdrawn if observed.now < withdrawn.not_before else None


def _limit(observed: Observed, view: ViewOfMember, lost: str) -> Wait | None:
    recent = [r for r in observed.status.replacements if observed.now < r.time + WITHIN]
    if len(recent) < MOST_REPLACEMENTS or view.name in observed.asked_to_replace:
        return None
    return Wait(
        reason=Reason.REPLACEMENT_LIMIT,
        message=f"{lost}, but {', '.join(r.name for r in recent)} were replaced within an hour",
        not_before=min(r.time for r in recent) + WITHIN,
    )
