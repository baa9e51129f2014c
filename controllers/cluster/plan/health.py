"""Rules that say why a cluster is not as wished, when there is nothing to do but wait."""

from collections.abc import Iterator

from api.conditions import ConditionType, find_condition
from api.reasons import Reason, reason_of
from controllers.cluster.epochs import is_switching
from controllers.cluster.members import ViewOfMember, voters
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.growing import awaits_first_look
from controllers.cluster.plan.restoring import wait_for_auth, wait_for_data
from controllers.cluster.plan.scale import sleep
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.template import is_taking_its_turn

# Pod changes are events; these are for what only etcd knows: an election, a member catching up.
_FORMING_RECHECK_S = 0.5
_HEALING_RECHECK_S = 2.0
# What Ready says before all members of a cluster that has formed are started at once.
_STARTS_FROM = frozenset(
    {Reason.STOPPED, Reason.WAITING_FOR_PODS, Reason.CREATING, Reason.RESTORING}
)
# A member that joins in the place of a healthy one.
_WISHED = frozenset({Reason.VOLUME_MIGRATION.value, Reason.REPLACEMENT_REQUESTED.value})


def wait_for_cluster_id(observed: Observed) -> Wait | None:
    """Members are starting and none has told the cluster's ID yet."""
    if is_formed(observed):
        return None
    stuck = _stuck(observed) or _unreachable(observed)
    if stuck is not None:
        return stuck
    size = observed.status.bootstrap.size if observed.status.bootstrap else 0
    running = sum(pod.running for pod in observed.pods)
    return Wait(
        reason=Reason.CREATING,
        message=f"{running} of {size} pods run etcd; waiting for the members to elect a leader",
        recheck_s=_FORMING_RECHECK_S if running else 10.0,
    )


def wait_for_access(observed: Observed) -> Wait | None:
    """Members that answer, but not the operator: only somebody who is root can let it in."""
    if observed.etcd.members is not None or not observed.etcd.denied:
        return None
    answers = "; ".join(f"{name}: {why}" for name, why in sorted(observed.etcd.errors.items()))
    return Wait(
        reason=Reason.ACCESS_DENIED,
        message=f"etcd asks who is calling, and does not take the operator for root ({answers})",
        recheck_s=_HEALING_RECHECK_S,
    )


def wait_for_quorum(observed: Observed) -> Wait | None:
    """A formed cluster from which no linearizable answer can be had."""
    if observed.etcd.members is not None:
        return None
    unreachable = _unreachable(observed)
    if unreachable is not None:
        return unreachable
    views = judged(observed)
    down = [view for view in views if not view.healthy]
    if _wakes_up(observed):
        return Wait(
            reason=Reason.WAITING_FOR_PODS,
            message="Starting again; waiting for "
            + ", ".join(f"{view.name} ({view.reason})" for view in down),
            recheck_s=_FORMING_RECHECK_S,
        )
    if len(views) == 1 and is_taking_its_turn(observed, views[0]):
        return Wait(
            reason=Reason.ROLLING_OUT,
            message=f"{views[0].name} is the only member, and is restarted on the newest template",
            recheck_s=_FORMING_RECHECK_S,
        )
    lost = [view.name for view in views if _has_lost_its_data(view)]
    if len(views) - len(lost) <= len(views) // 2:
        return Wait(
            reason=Reason.QUORUM_UNRECOVERABLE,
            message=f"{', '.join(lost)} lost their data: the other {len(views) - len(lost)} of"
            f" {len(views)} members can't be a quorum",
        )
    return Wait(
        reason=Reason.QUORUM_LOST,
        message=f"No linearizable answer ({observed.etcd.error}); not healthy: "
        + ", ".join(f"{view.name} ({view.reason})" for view in down),
        recheck_s=_HEALING_RECHECK_S,
    )


def wait_for_other_data(observed: Observed) -> Wait | None:
    """Members that stop because their data become others: no quorum is lost by that."""
    if observed.etcd.members is not None or not is_switching(observed.status):
        return None
    if observed.status.next_epoch is None:
        return None
    return Wait(
        reason=Reason.RESTORING,
        message="The members are stopped, because their data become others",
        recheck_s=_FORMING_RECHECK_S,
    )


def wait_for_members(observed: Observed) -> Wait | None:
    """Quorum is there, but not every member is a healthy voter with a ready pod."""
    views = judged(observed)
    down = [view for view in views if not view.healthy]
    if not down:
        return None
    stuck = _stuck(observed)
    if stuck is not None:
        return stuck
    return Wait(
        reason=_why_unhealthy(observed, down),
        message=f"{len(views) - len(down)} of {len(views)} members are healthy; waiting for "
        + ", ".join(f"{view.name} ({view.reason})" for view in down),
        recheck_s=_HEALING_RECHECK_S,
    )


def settled(observed: Observed) -> Wait:
    """Everything is as the spec says."""
    count = len(judged(observed))
    return Wait(
        reason=Reason.CLUSTER_READY, message=f"{count} of {count} members are healthy", settled=True
    )


def judged(observed: Observed) -> tuple[ViewOfMember, ...]:
    """The voters but one that has just left, as it should, and is still recorded, and one that has
    just become one: nobody has counted on it yet.
    """
    wanted = observed.applied.size if observed.applied else 0
    unlisted = observed.etcd.members is not None
    return tuple(
        view
        for view in voters(observed)
        if not (unlisted and view.member is None and 0 < wanted <= view.ordinal)
        and not awaits_first_look(observed, view)
    )


def verdict(observed: Observed) -> Wait:
    """How the cluster is, whatever else the plan is about: the first of the rules above that
    speaks.
    """
    for rule in _VERDICTS:
        wait = rule(observed)
        if wait is not None:
            return wait
    return settled(observed)


_VERDICTS = (
    wait_for_data,
    wait_for_auth,
    wait_for_cluster_id,
    sleep,
    wait_for_access,
    wait_for_other_data,
    wait_for_quorum,
    wait_for_members,
)


def _stuck(observed: Observed) -> Wait | None:
    """The first pod with a known problem, in its own words, or why pods are not even made."""
    if observed.pods_refused:
        return Wait(reason=Reason.PODS_REFUSED, message=observed.pods_refused, recheck_s=10.0)
    for pod in _with_problem(observed):
        assert pod.problem is not None
        return Wait(reason=pod.problem.reason, message=f"Pod {pod.name}: {pod.problem.message}")
    return None


def _has_lost_its_data(view: ViewOfMember) -> bool:
    problem = view.pod.problem if view.pod else None
    return problem is not None and problem.reason is Reason.EMPTY_DATA_DIRECTORY


def _unreachable(observed: Observed) -> Wait | None:
    """Pods are ready, so etcd serves, but not one of them answers us: the way to them is cut."""
    ready = [pod for pod in observed.pods if pod.ready]
    if not ready or observed.etcd.statuses:
        return None
    why = next(iter(observed.etcd.errors.values()), "no answer")
    return Wait(
        reason=Reason.MEMBERS_UNREACHABLE,
        message=f"{len(ready)} pods are ready but none answers the operator on port 2379 ({why}):"
        " network policies must let it through, and outside of the cluster it needs port-forwards",
        recheck_s=_HEALING_RECHECK_S,
    )


def _why_unhealthy(observed: Observed, down: list[ViewOfMember]) -> Reason:
    """A cluster that is just coming up, for the first time or again, alarms nobody; nor does the
    member whose turn it is to be restarted, or that is replaced because somebody wished it.
    """
    if all(is_taking_its_turn(observed, view) for view in down):
        return Reason.ROLLING_OUT
    joining = observed.status.joining
    is_its = joining is not None and [view.ordinal for view in down] == [joining.ordinal]
    if joining is not None and is_its and joining.reason in _WISHED:
        return reason_of(joining.reason)
    ready = find_condition(observed.status.conditions, ConditionType.READY)
    if ready is None or ready.reason == Reason.CREATING:
        return Reason.CREATING
    starts = ready.reason in _STARTS_FROM
    return Reason.WAITING_FOR_PODS if starts else Reason.MEMBERS_UNHEALTHY


def _wakes_up(observed: Observed) -> bool:
    """Whether the cluster slept before, or was adopted, and no pod has a problem so far."""
    ready = find_condition(observed.status.conditions, ConditionType.READY)
    slept = ready is not None and ready.reason in _STARTS_FROM
    return slept and _stuck(observed) is None


def _with_problem(observed: Observed) -> Iterator[Pod]:
    return (pod for pod in observed.pods if pod.problem is not None)
