"""Rules that bring every member to the newest template: one after the other, the leader last.

A pod that is down comes back on the newest template at once, whatever else is wrong: a corrected
image or option must reach it without quorum.  A healthy one is restarted only when all others are
well and are a quorum without it.  What must never happen: two voters down at a time by our doing.
"""

from datetime import timedelta
from typing import Final

from api.reasons import Reason
from controllers.cluster.members import ViewOfMember, caught_up, members_of, voters
from controllers.cluster.membership import is_asleep, quorum
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.proof import distrusted
from controllers.cluster.plan.resize import is_resizable, resizing
from controllers.cluster.plan.steps import DeletePod, MoveLeader, Wait
from controllers.cluster.plan.template import (
    behind,
    blocked,
    is_rolled_out,
    is_underway,
    newest,
)

# Without quorum a pod that runs is given this long before a newer template is tried on it.
_STARTS_WITHIN: Final = timedelta(minutes=1)


def restart_down(observed: Observed) -> DeletePod | None:
    """A pod that is down and made of an older template: nothing is lost by starting it anew."""
    for view in behind(observed):
        if view.pod is not None and _is_down(observed, view):
            return DeletePod(
                name=view.name,
                uid=view.pod.uid,
                why=f"it is down ({view.reason}) and made from an older template",
            )
    return None


def _is_down(observed: Observed, view: ViewOfMember) -> bool:
    """Whether it takes no part in the cluster: not one that is merely not ready, it may vote."""
    pod = view.pod
    assert pod is not None
    if view.status is not None and observed.etcd.members is not None:
        return False
    if not pod.running or pod.problem is not None:
        return True
    young = pod.created is None or observed.now < pod.created + _STARTS_WITHIN
    return observed.etcd.members is None and not pod.ready and not young


def restart_next(observed: Observed) -> DeletePod | MoveLeader | None:
    """The next member's turn: who is unhealthy first, then followers, the leader last."""
    turns = sorted(_turns(observed), key=_order)
    if not turns or not _can_spare(observed, turns[0]):
        return None
    turn = turns[0]
    assert turn.pod is not None
    heir = _heir(observed, turn)
    if turn.role == "leader" and turn.status is not None and heir is not None:
        assert heir.member is not None
        return MoveLeader(leader=turn.name, target=heir.name, target_id=heir.member.id)
    return DeletePod(name=turn.name, uid=turn.pod.uid, why="it is made from an older template")


def _order(view: ViewOfMember) -> tuple[bool, bool, int]:
    return view.healthy, view.role == "leader", -view.ordinal


def wait_for_turn(observed: Observed) -> Wait | None:
    """A roll that is under way, or has stopped; two voters can't be rolled, so the size goes on."""
    if not is_formed(observed) or (is_rolled_out(observed) and not resizing(observed)):
        return None
    stopped = blocked(observed)
    if stopped is not None:
        return _blocked(observed, stopped)
    if newest(observed) is None:
        return Wait(
            reason=Reason.ROLLING_OUT,
            message="Waiting for the StatefulSet controller to see the newest template",
            recheck_s=1.0,
        )
    if resizing(observed):
        return Wait(
            reason=Reason.ROLLING_OUT,
            message=f"New resources are on their way to {', '.join(resizing(observed))}",
            recheck_s=5.0,
        )
    what = _still_to_do(observed)
    if not what:
        return None
    down = [f"{v.name} ({v.reason})" for v in members_of(observed) if not v.healthy]
    lagging = [v.name for v in voters(observed) if v.healthy and not caught_up(observed, v)]
    return Wait(
        reason=Reason.ROLLING_OUT,
        message=f"{what}; waiting for"
        f" {', '.join(down) or ', '.join(lagging) or 'a quorum without them'}",
        recheck_s=0.5,
    )


def coming_back(observed: Observed) -> Wait | None:
    """The last one has had its turn, and has not come back on the newest template: no rule waits
    for that, but the roll is not over.
    """
    if is_asleep(observed) or not is_formed(observed) or not is_underway(observed):
        return None
    down = [f"{v.name} ({v.reason})" for v in voters(observed) if not v.healthy]
    return Wait(
        reason=Reason.ROLLING_OUT,
        message=f"Waiting for {', '.join(down) or 'the members'} on the newest template",
    )


def _still_to_do(observed: Observed) -> str:
    """Whose turn has not come; empty when it is nobody's."""
    turns = [] if changes_from_two(observed) else _turns(observed)
    if turns:
        return f"To be restarted on the newest template: {_names(turns)}"
    rest = [v for v in behind(observed) if v.pod and is_resizable(observed, v.pod)]
    return f"To be given other resources in place: {_names(rest)}" if rest else ""


def _names(views: list[ViewOfMember]) -> str:
    return ", ".join(view.name for view in views)


def _turns(observed: Observed) -> list[ViewOfMember]:
    """The voters that have to be restarted: not those that can have what is new in place."""
    return [
        view
        for view in behind(observed)
        if view in voters(observed) and view.pod and not is_resizable(observed, view.pod)
    ]


def _blocked(observed: Observed, view: ViewOfMember) -> Wait:
    pod = view.pod
    assert pod is not None
    why = f"{pod.problem.reason}: {pod.problem.message}" if pod.problem else view.reason
    rest = [other.name for other in behind(observed)]
    untouched = f"; {', '.join(rest)} stay on the older one" if rest else ""
    if distrusted(observed, view):
        untouched += "; no data is given up for that"
    return Wait(
        reason=Reason.ROLLOUT_BLOCKED,
        message=f"{view.name} does not become healthy on the newest template ({why}){untouched}",
        recheck_s=5.0,
    )


def changes_from_two(observed: Observed) -> bool:
    """Neither of two voters can be spared: the next size is what helps."""
    size = observed.applied.size if observed.applied else 0
    return len(voters(observed)) == 2 != size


def _can_spare(observed: Observed, view: ViewOfMember) -> bool:
    """Whether the others are a quorum without it; of a healthy one all others are to be well.

    A single voter is always restarted: a short outage, which an event announces.
    """
    others = [other for other in voters(observed) if other.ordinal != view.ordinal]
    listed = sum(not member.is_learner for member in observed.etcd.members or ())
    well = [other for other in others if other.healthy and caught_up(observed, other)]
    if listed <= 1 and not others:
        return True
    if view.healthy and len(well) < len(others):
        return False
    return len(well) >= quorum(listed)


def _heir(observed: Observed, leader: ViewOfMember) -> ViewOfMember | None:
    """A healthy voter that will not be restarted itself, and has most of the log."""
    revision = newest(observed)
    able = [
        view
        for view in voters(observed)
        if view.healthy
        and view.member
        and view.ordinal != leader.ordinal
        and view.pod is not None
        and view.pod.revision == revision
    ]
    return max(
        able, key=lambda v: (v.status.raft_index if v.status else 0, -v.ordinal), default=None
    )
