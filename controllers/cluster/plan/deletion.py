"""Rules for the end of a cluster, and for the finalizer that it needs at times.

With `storage.deletionPolicy: Retain` the operator has nothing to do: owner references take the
objects away and the claims, which have none, stay.  With Delete a finalizer holds the EtcdCluster
until its claims are gone; it is dropped when the namespace goes (everything in it goes anyway) and
given up after a deadline, because an object that can't be deleted is worse than one that is listed.
While the StatefulSet is made anew around its pods they have no owner: the finalizer holds the
EtcdCluster then too, or pods of a cluster that is deleted just now would stay for ever.
"""

from datetime import timedelta

from api.labels import FINALIZER
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.plan.claims import is_being_renewed, is_released
from controllers.cluster.plan.saving import saved_at
from controllers.cluster.plan.steps import (
    DeleteClaims,
    DeletePod,
    DeleteStatefulSet,
    SetFinalizer,
    Wait,
)

# Pods get 30 s to end and volumes usually less; beyond this somebody has to look. Chosen, not
# measured.
GIVE_UP_AFTER = timedelta(minutes=10)


def delete_orphans(observed: Observed) -> DeletePod | Wait | None:
    """Pods that no StatefulSet takes along: it was just being made anew around them."""
    if observed.deleting_since is None or observed.namespace_terminating:
        return None
    if FINALIZER not in observed.finalizers:
        return None
    if is_released(observed):
        return Wait(
            reason=Reason.DELETING, message="Waiting for the StatefulSet to set its pods free"
        )
    for pod in observed.pods:
        if not pod.controlled and not pod.terminating:
            return DeletePod(name=pod.name, uid=pod.uid, why="its cluster is deleted")
    return None


def let_go(observed: Observed) -> SetFinalizer | Wait | None:
    """Being deleted, and nothing of it is for us to delete."""
    if observed.deleting_since is None:
        return None
    if FINALIZER not in observed.finalizers:
        return Wait(reason=Reason.DELETING, message="Waiting for Kubernetes to remove the cluster")
    if observed.namespace_terminating or not observed.deletes_data:
        return SetFinalizer(present=False)
    return None


def give_up(observed: Observed) -> SetFinalizer | None:
    """Deletion takes too long: let the object go and list what remains."""
    since = observed.deleting_since
    if since is None or observed.now < max(since, saved_at(observed) or since) + GIVE_UP_AFTER:
        return None
    remains = [f"Pod {pod.name}" for pod in observed.pods]
    remains += [f"PersistentVolumeClaim {name}" for name, _ in _own_claims(observed)]
    return SetFinalizer(present=False, gave_up=tuple(remains))


def delete_pods(observed: Observed) -> DeleteStatefulSet | None:
    """The pods first: a claim in use is not deleted by Kubernetes."""
    stateful_set = observed.live.get(("StatefulSet", observed.name))
    if observed.deleting_since is None or stateful_set is None:
        return None
    metadata = stateful_set["metadata"]
    if "deletionTimestamp" in metadata:
        return None
    return DeleteStatefulSet(name=observed.name, uid=metadata["uid"])


def delete_claims(observed: Observed) -> DeleteClaims | None:
    """Then the claims that carry this cluster's uid, and no others."""
    if observed.deleting_since is None:
        return None
    going = {claim.uid for claim in observed.own_claims if claim.terminating}
    claims = tuple(claim for claim in _own_claims(observed) if claim[1] not in going)
    return DeleteClaims(claims=claims) if claims else None


def finish(observed: Observed) -> SetFinalizer | Wait | None:
    """Last the finalizer, when pods and claims are gone."""
    if observed.deleting_since is None:
        return None
    remains = [pod.name for pod in observed.pods] + [name for name, _ in _own_claims(observed)]
    if remains:
        return Wait(
            reason=Reason.DELETING,
            message=f"Waiting for {', '.join(remains)} to be gone",
            recheck_s=5,
        )
    return SetFinalizer(present=False)


def keep_finalizer(observed: Observed) -> SetFinalizer | None:
    """It is there exactly while the policy is Delete, or pods may be without an owner."""
    wanted = observed.deletes_data or is_being_renewed(observed)
    return None if wanted == (FINALIZER in observed.finalizers) else SetFinalizer(present=wanted)


def _own_claims(observed: Observed) -> list[tuple[str, str]]:
    return [(claim.name, claim.uid) for claim in observed.own_claims]
