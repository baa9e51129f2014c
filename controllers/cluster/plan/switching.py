"""Rules that stop the members on the data that they have, and start them on other data.

In this order, each step recorded before the next: what is to come, that it is being changed to (no
way back from there on but by the same steps), the end of the StatefulSet, the end of the last pod,
and only then the other epoch as the current one.  Nothing here asks etcd for anything: a cluster
that has lost its quorum for good goes the same way.  What must never happen: members of two epochs
at the same time.
"""

from api.labels import data_volume_name, is_data_volume_name, stateful_set_name
from api.reasons import Reason
from api.v1alpha1.restore_request import COMPLETED, PUT_BACK
from controllers.cluster.epochs import former, is_switching
from controllers.cluster.members import voters
from controllers.cluster.membership import is_asleep
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.epoch_steps import RecordEpochs, SwitchEpoch
from controllers.cluster.plan.steps import DeletePod, DeleteStatefulSet, Wait
from controllers.cluster.render import live_claim_templates, rendered_for

_RECHECK_S = 1.0


def stop_members(observed: Observed) -> DeleteStatefulSet | DeletePod | Wait | None:
    """The members end, because the next epoch's data are ready."""
    if not is_switching(observed.status) or observed.status.next_epoch is None:
        return None
    return _end(observed, "its data become others")


def switch_epoch(observed: Observed) -> SwitchEpoch | None:
    """The last pod is gone: the next epoch becomes the current one."""
    coming = observed.status.next_epoch
    if not is_switching(observed.status) or coming is None:
        return None
    assert observed.applied is not None
    return SwitchEpoch(
        next_epoch=coming,
        former=former(observed),
        rendered=rendered_for(observed, observed.applied, coming.bootstrap),
    )


def drop_former_members(observed: Observed) -> DeleteStatefulSet | DeletePod | Wait | None:
    """A StatefulSet of another epoch, which somebody made again: its pods are not our members."""
    names = {claim.get("metadata", {}).get("name", "") for claim in live_claim_templates(observed)}
    others = names - {data_volume_name(observed.epoch)}
    if observed.applied is None or not any(map(is_data_volume_name, others)):
        return None
    return _end(observed, "it is on data that were set aside")


def complete_switch(observed: Observed) -> RecordEpochs | None:
    """All members serve the data that were changed to."""
    status = observed.status
    answer = status.restore
    if answer is None or not is_switching(status) or status.next_epoch is not None:
        return None
    if not is_whole(observed):
        return None
    is_restored = answer.epoch == observed.epoch
    message = (
        f"The members serve epoch {observed.epoch}, which began from the backup"
        if is_restored
        else f"The members serve the data of epoch {observed.epoch} again"
    )
    done = answer.model_copy(
        update={
            "phase": COMPLETED if is_restored else PUT_BACK,
            "reason": "",
            "message": message,
        }
    )
    return RecordEpochs(
        answer=done,
        next_epoch=None,
        set_aside=status.set_aside,
        last_epoch=status.last_epoch,
        why=message,
    )


def is_whole(observed: Observed) -> bool:
    """Whether the cluster has all its members, and all are well; asleep, it has formed."""
    if not is_formed(observed) or observed.applied is None:
        return False
    if is_asleep(observed):
        return True
    views = voters(observed)
    return len(views) == observed.applied.size and all(view.healthy for view in views)


def _end(observed: Observed, why: str) -> DeleteStatefulSet | DeletePod | Wait | None:
    """The next step towards the end of all pods; None when the last one is gone."""
    name = stateful_set_name(observed.name)
    made = observed.live.get(("StatefulSet", name))
    if made is not None and "deletionTimestamp" not in made["metadata"]:
        return DeleteStatefulSet(name=name, uid=made["metadata"]["uid"])
    for pod in observed.pods:
        if not pod.terminating and not pod.controlled:
            return DeletePod(name=pod.name, uid=pod.uid, why=why)
        if pod.terminating and _is_off(observed, pod):
            return DeletePod(name=pod.name, uid=pod.uid, why="its node is gone", force=True)
    if made is None and not observed.pods:
        return None
    names = ", ".join(pod.name for pod in observed.pods) or f"StatefulSet {name}"
    return Wait(
        reason=Reason.RESTORING,
        message=f"Stopping the members, because their data become others; waiting for {names} to"
        " end. A pod on a node that is off ends when the Node object is deleted or tainted"
        " node.kubernetes.io/out-of-service",
        recheck_s=_RECHECK_S,
    )


def _is_off(observed: Observed, pod: Pod) -> bool:
    """Whether its node is known not to run it any more."""
    return any(node.certain and node.name == pod.node for node in observed.nodes_lost)
