"""The rule that keeps our objects as they should be: deleted, edited or never made, they come
(back).
"""

from controllers.cluster.observed import Observed
from controllers.cluster.plan.steps import ApplyObjects
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
