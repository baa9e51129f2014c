"""How a member leaves, whether it is one too many or is replaced: leadership first, then the list.

Used by the rules that shrink and by those that replace.  What must never happen: that those who
stay are no quorum.
"""

from controllers.cluster.members import ViewOfMember, is_corrupt, keeps_quorum_without, voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import MoveLeader, RemoveMember


def leave(observed: Observed, view: ViewOfMember, why: str) -> MoveLeader | RemoveMember | None:
    """The next step towards the member being off the list; None while quorum forbids it.

    Etcd would elect a leader anyway, after an election timeout without one: a leader that is well
    hands over within milliseconds.
    """
    assert view.member is not None
    assert observed.etcd.members is not None
    if not view.member.is_learner and not keeps_quorum_without(observed, view.ordinal):
        return None
    successor = _successor(observed, view)
    if view.role == "leader" and view.status is not None and successor is not None:
        assert successor.member is not None
        return MoveLeader(leader=view.name, target=successor.name, target_id=successor.member.id)
    return RemoveMember(
        name=view.name,
        id=view.member.id,
        voters=sum(not member.is_learner for member in observed.etcd.members),
        why=why,
    )


def _successor(observed: Observed, leaving: ViewOfMember) -> ViewOfMember | None:
    """The sound voter that has most of the log; of equals the first, which stays longest."""
    able = [
        view
        for view in voters(observed)
        if view.healthy and view.member and view.ordinal != leaving.ordinal
        if not is_corrupt(observed, view)
    ]
    return max(
        able, key=lambda v: (v.status.raft_index if v.status else 0, -v.ordinal), default=None
    )
