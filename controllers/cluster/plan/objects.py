"""The rules that keep our objects as they should be: deleted, edited or never made, they come
(back); no longer wanted, they go.
"""

from api.labels import disruption_budget_name
from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import ApplyObjects, DeleteDisruptionBudget
from controllers.cluster.render import desired_objects
from controllers.cluster.render.normal import differs


def correct_drift(observed: Observed) -> ApplyObjects | None:
    """All objects that are absent or differ, in the order in which they are needed."""
    wrong = tuple(
        desired
        for desired in desired_objects(observed)
        if (live := observed.live.get((desired["kind"], desired["metadata"]["name"]))) is None
        or differs(desired, live)
    )
    return ApplyObjects(objects=wrong) if wrong else None


def drop_disruption_budget(observed: Observed) -> DeleteDisruptionBudget | None:
    """Below three members a budget would only keep nodes from being drained."""
    name = disruption_budget_name(observed.name)
    live = observed.live.get(("PodDisruptionBudget", name))
    wanted = {(obj["kind"], obj["metadata"]["name"]) for obj in desired_objects(observed)}
    if live is None or not wanted or ("PodDisruptionBudget", name) in wanted:
        return None
    if "deletionTimestamp" in live["metadata"]:
        return None
    return DeleteDisruptionBudget(name=name, uid=live["metadata"]["uid"])
