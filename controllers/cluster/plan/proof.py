"""Proof that a member's data is lost or wrong: the only ground on which a volume is given up.

Pure.  A member that is merely down proves nothing.  What a pod says counts only while it runs the
template under which its member was last healthy: a bad option or image must never cost data.
"""

from dataclasses import dataclass
from datetime import timedelta

from api.reasons import Reason
from controllers.cluster.members import ViewOfMember, is_corrupt
from controllers.cluster.observed import Observed, Problem
from etcd.ids import member_id_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is wrong for good; `reason` is stable, `message` says what was seen."""

    reason: Reason
    message: str


def proof_of_loss(observed: Observed, view: ViewOfMember) -> Proof | None:
    """The first proof against a recorded voter; None while its data may still be good."""
    return (
        _removed(observed, view)
        or _corrupt(observed, view)
        or _foreign(view)
        or _volume_lost(observed, view)
        or _last_words(observed, view)
        or _node_lost(observed, view)
        or _asked(observed, view)
    )


def _removed(observed: Observed, view: ViewOfMember) -> Proof | None:
    if observed.etcd.members is None or view.member is not None:
        return None
    return Proof(reason=Reason.MEMBER_REMOVED, message="etcd's member list does not have it")


def _corrupt(observed: Observed, view: ViewOfMember) -> Proof | None:
    if not is_corrupt(observed, view):
        return None
    return Proof(reason=Reason.DATA_CORRUPT, message="the alarm CORRUPT names it")


def _foreign(view: ViewOfMember) -> Proof | None:
    if view.status is None or view.member is None or view.status.member_id == view.member.id:
        return None
    return Proof(
        reason=Reason.MEMBER_ID_MISMATCH,
        message=f"it answers as {member_id_hex(view.status.member_id)}, and etcd lists"
        f" {member_id_hex(view.member.id)} in its place",
    )


def _volume_lost(observed: Observed, view: ViewOfMember) -> Proof | None:
    if view.healthy:
        return None
    claims = [claim for claim in observed.claims if claim.ordinal == view.ordinal]
    if not claims:
        return Proof(reason=Reason.VOLUME_LOST, message="its volume claim is gone")
    known = next((m.healthy_claim for m in observed.status.members if m.name == view.name), "")
    for claim in claims:
        if claim.lost:
            return Proof(reason=Reason.VOLUME_LOST, message=f"{claim.name} has lost its volume")
        if known and claim.uid != known:
            return Proof(reason=Reason.VOLUME_LOST, message=f"{claim.name} was made anew")
    return None


def _last_words(observed: Observed, view: ViewOfMember) -> Proof | None:
    problem = _data_problem(view)
    if problem is None or not _is_unchanged(observed, view):
        return None
    return Proof(reason=problem.reason, message=problem.message)


def distrusted(observed: Observed, view: ViewOfMember) -> Problem | None:
    """What its pod says of its data and is not believed: it runs another template than the one with
    which the member was last healthy, and that may be all that is wrong.
    """
    problem = _data_problem(view)
    return None if problem is None or _is_unchanged(observed, view) else problem


def _data_problem(view: ViewOfMember) -> Problem | None:
    problem = view.pod.problem if view.pod else None
    told = {Reason.EMPTY_DATA_DIRECTORY, Reason.DATA_ERROR}
    return problem if problem is not None and problem.reason in told else None


def _is_unchanged(observed: Observed, view: ViewOfMember) -> bool:
    known = next((m for m in observed.status.members if m.name == view.name), None)
    return (
        known is not None and view.pod is not None and known.healthy_revision == view.pod.revision
    )


def _node_lost(observed: Observed, view: ViewOfMember) -> Proof | None:
    """A silent node for longer than the spec allows; a node that is gone once the volume has turned
    out to be tied to it, because Kubernetes starts the pod elsewhere where it can.
    """
    if view.status is not None or observed.applied is None:
        return None
    node = next((n for n in observed.nodes_lost if n.name == node_of(observed, view)), None)
    if node is None:
        return None
    problem = view.pod.problem if view.pod else None
    tied = problem is not None and problem.reason is Reason.POD_UNSCHEDULABLE
    patience = timedelta(seconds=observed.applied.recovery.node_loss_seconds)
    if tied if node.certain else observed.now >= node.since + patience:
        return Proof(reason=Reason.NODE_LOST, message=f"node {node.name} {node.why}")
    return None


def node_of(observed: Observed, view: ViewOfMember) -> str:
    """The node that its pod is bound to, or was last bound to."""
    if view.pod is not None and view.pod.node:
        return view.pod.node
    return next((m.node for m in observed.status.members if m.name == view.name), "")


def _asked(observed: Observed, view: ViewOfMember) -> Proof | None:
    if view.name not in observed.asked_to_replace:
        return None
    return Proof(reason=Reason.REPLACEMENT_REQUESTED, message="an annotation asks for it")
