"""The rules that keep our objects as they should be: deleted, edited or never made, they come
(back); no longer wanted, they go.
"""

from api.labels import disruption_budget_name, network_policy_name, stateful_set_name
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import ApplyObjects, DeleteUnwanted, Wait
from controllers.cluster.render import desired_objects
from controllers.cluster.render.normal import differs


def wait_for_orphans(observed: Observed) -> Wait | None:
    """Pods of a StatefulSet that was deleted are on their way out: a new one waits for their end.

    Made at once, its controller fails on their names, again and again, with a backoff that grows to
    a quarter of an hour, and the end of a pod that isn't its own wakes it no earlier
    (k8s.io/kubernetes pkg/controller/statefulset/stateful_set.go).
    """
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)))
    orphans = [pod.name for pod in observed.pods if pod.controlled]
    if made is not None or not orphans or observed.applied is None:
        return None
    return Wait(
        reason=Reason.RECONCILING,
        message=f"The StatefulSet was deleted; waiting for its pods {', '.join(orphans)} to end",
        recheck_s=1.0,
    )


def correct_drift(observed: Observed) -> ApplyObjects | None:
    """All objects that are absent or differ, in the order in which they are needed."""
    wrong = tuple(
        desired
        for desired in desired_objects(observed)
        if (live := observed.live.get((desired["kind"], desired["metadata"]["name"]))) is None
        or differs(desired, live)
    )
    return ApplyObjects(objects=wrong) if wrong else None


def drop_unwanted(observed: Observed) -> DeleteUnwanted | None:
    """What a cluster need not have: below three members a budget would only keep nodes from being
    drained; a NetworkPolicy can be switched off.
    """
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired_objects(observed)}
    optional = (
        ("PodDisruptionBudget", disruption_budget_name(observed.name)),
        ("NetworkPolicy", network_policy_name(observed.name)),
    )
    for kind, name in optional:
        live = observed.live.get((kind, name))
        if live is None or not wanted or (kind, name) in wanted:
            continue
        if "deletionTimestamp" not in live["metadata"]:
            return DeleteUnwanted(kind=kind, name=name, uid=live["metadata"]["uid"])
    return None
