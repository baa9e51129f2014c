"""Carries out the steps that give up a volume.  Called by `act`.

What must never happen: a volume goes whose member may still need it.  So etcd is asked once more,
through quorum, and the claim is deleted by its uid.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from api.labels import CLUSTER_UID_LABEL, INSTANCE_LABEL
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected
from controllers.cluster.plan.steps import DiscardClaim
from controllers.resources import CLAIMS, VOLUMES
from controllers.writer import Writer
from etcd.cluster import Member
from informers.errors import ForbiddenError, NotFoundError

ListMembers = Callable[[], Awaitable[tuple[Member, ...]]]


async def discard_claim(
    step: DiscardClaim, observed: Observed, writer: Writer, *, list_members: ListMembers
) -> Outcome:
    """Delete the claim, keeping its volume where the step says so. Raises EtcdError, KubeError."""
    listed = await list_members()
    if any(step.not_member in member.peer_urls and member.client_urls for member in listed):
        return Changed(what=f"{step.name} belongs to a member that has started")
    try:
        claim = await writer.api.get(CLAIMS, namespace=observed.namespace, name=step.name)
    except NotFoundError:
        return Done()
    if claim["metadata"]["uid"] != step.uid:
        return Changed(what=f"volume claim {step.name}")
    if step.keep_volume:
        refused = await _keep_volume(claim, observed, writer)
        if refused is not None:
            return refused
    await writer.delete(CLAIMS, observed.namespace, step.name, uid=step.uid)
    return Done()


async def _keep_volume(
    claim: dict[str, Any], observed: Observed, writer: Writer
) -> Rejected | None:
    """Set the volume to Retain and label it, so that its data can be found again."""
    volume = claim["spec"].get("volumeName")
    if not volume:
        return None  # never bound: there is nothing to keep
    labels = {CLUSTER_UID_LABEL: observed.uid, INSTANCE_LABEL: observed.name}
    patch = {
        "metadata": {"labels": labels},
        "spec": {"persistentVolumeReclaimPolicy": "Retain"},
    }
    try:
        await writer.api.patch(VOLUMES, patch, name=volume, timeout_s=writer.timeout_s())
    except ForbiddenError:
        return Rejected(
            reason=Reason.WAITING_TO_REPLACE,
            message=f"The operator may not patch PersistentVolume {volume}, which is to be kept:"
            " grant it get and patch on persistentvolumes, or set it to Retain and delete the"
            f" claim {claim['metadata']['name']} yourself",
        )
    return None
