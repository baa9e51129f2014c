"""What the members' pods are made of, and which of them are made of something older.

Pure; questions that the rules of rolling, upgrading and health share.  A pod is compared by the
revision of the StatefulSet's template that made it, as the StatefulSet controller tells it.
"""

from datetime import timedelta
from typing import Final

from api.labels import stateful_set_name
from controllers.cluster.members import ViewOfMember, members_of, voters
from controllers.cluster.observed import Observed, Pod, derived
from controllers.cluster.plan.resources import keeps_refused

# A member that reads a large log takes long to come up, but not without a word for this long.
_PATIENCE: Final = timedelta(minutes=5)


@derived
def newest(observed: Observed) -> str | None:
    """The revision that a pod made now would have; None while its controller has not told it."""
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)))
    if made is None:
        return None
    status = made.get("status", {})
    if status.get("observedGeneration") != made["metadata"]["generation"]:
        return None
    revision: str | None = status.get("updateRevision")
    return revision


def is_behind(observed: Observed, pod: Pod) -> bool:
    """Whether it is known to be made of an older template."""
    known = newest(observed) is not None
    return known and not pod.terminating and not _is_newest(observed, pod)


@derived
def behind(observed: Observed) -> tuple[ViewOfMember, ...]:
    """The members, who joins included, whose pods are made of an older template."""
    return tuple(v for v in members_of(observed) if v.pod and is_behind(observed, v.pod))


@derived
def is_rolled_out(observed: Observed) -> bool:
    """Whether every voter runs the newest template and is well on it."""
    return newest(observed) is not None and all(
        view.healthy and view.pod is not None and _is_newest(observed, view.pod)
        for view in voters(observed)
    )


def is_underway(observed: Observed) -> bool:
    """Whether some voter was healthy on an older template, and not on the newest one yet."""
    return any(_is_new_to_it(observed, view) for view in voters(observed))


def is_taking_its_turn(observed: Observed, view: ViewOfMember) -> bool:
    """Whether a voter is down because it is being restarted on the newest template."""
    pod = view.pod
    if view.healthy or not is_underway(observed) or is_blocked(observed, view):
        return False
    return pod is None or pod.terminating or _runs_newest(observed, pod)


def is_blocked(observed: Observed, view: ViewOfMember) -> bool:
    """Whether it is on the newest template, has never been healthy there, and does not get so."""
    pod = view.pod
    if view.healthy or pod is None or not _runs_newest(observed, pod):
        return False
    late = pod.created is not None and observed.now >= pod.created + _PATIENCE
    return _is_new_to_it(observed, view) and (pod.problem is not None or late)


@derived
def blocked(observed: Observed) -> ViewOfMember | None:
    """The first voter that keeps a roll from going on."""
    return next((view for view in voters(observed) if is_blocked(observed, view)), None)


def _is_newest(observed: Observed, pod: Pod) -> bool:
    revision = newest(observed)
    return pod.revision == revision and not keeps_refused(observed, pod, revision)


def _runs_newest(observed: Observed, pod: Pod) -> bool:
    return not pod.terminating and pod.revision == newest(observed)


def _is_new_to_it(observed: Observed, view: ViewOfMember) -> bool:
    known = next((m.healthy_revision for m in observed.status.members if m.name == view.name), "")
    if view.healthy and view.pod is not None:
        known = view.pod.revision
    return bool(known) and newest(observed) not in {None, known}
