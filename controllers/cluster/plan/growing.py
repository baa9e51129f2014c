"""Growth on etcd's own word: about a voter that etcd counts on, and that kubelet has not looked at
since its promotion.

Pure; questions of the rules that go on with a growth and that judge the cluster's health.  Kubelet
looks once a second, and nothing that a new member needs hangs on that.  What takes a member away
or restarts one goes by readiness as ever (`ViewOfMember.healthy`).
"""

import dataclasses
from datetime import timedelta
from typing import Final

from controllers.cluster.members import ViewOfMember, members_of, serves, voters
from controllers.cluster.membership import replaces, voters_of
from controllers.cluster.observed import Observed

# Within a second on a node with time to spare.  A voter that is not ready by then is in trouble.
_FIRST_LOOK: Final = timedelta(seconds=15)


def once_ready(observed: Observed) -> Observed | None:
    """What will be observed when kubelet has found the newest voter ready and its join is recorded
    as complete.  None unless it joined as one more, etcd calls it well and all others are ready.
    """
    joining = observed.status.joining
    if joining is None or replaces(joining) or not joining.started:
        return None
    view = next(view for view in members_of(observed) if view.ordinal == joining.ordinal)
    if view.member_id != joining.id or not serves(observed, view):
        return None
    if not all(other.healthy for other in voters(observed)):
        return None
    everyone = tuple(sorted({*voters_of(observed.status), joining.ordinal}))
    return dataclasses.replace(
        observed,
        pods=tuple(
            dataclasses.replace(pod, ready=True) if pod.ordinal == joining.ordinal else pod
            for pod in observed.pods
        ),
        status=observed.status.model_copy(update={"voter_ordinals": everyone, "joining": None}),
    )


def awaits_first_look(observed: Observed, view: ViewOfMember) -> bool:
    """Whether it is the voter that the next one follows at once, and is only not called ready yet.

    The next one was decided when this one was recorded: that is how long kubelet has had.
    """
    joining = observed.status.joining
    if joining is None or replaces(joining) or view.ordinal != joining.ordinal - 1:
        return False
    known = next((member for member in observed.status.members if member.name == view.name), None)
    was_ready = known is not None and known.healthy_revision != ""
    late = observed.now >= joining.since + _FIRST_LOOK
    return not view.healthy and not was_ready and not late and serves(observed, view)
