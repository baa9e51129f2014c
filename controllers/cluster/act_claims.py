"""Carries out the steps on volume claims: give them up, adopt them, note on them whose they are.

Called by `act`, which turns a conflict into `Changed`.  What must never happen: a volume goes whose
member may still need it.  So etcd, or the EtcdCluster, is asked once more from the source, and
claims are deleted and written to by their uids.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_never

from api.labels import (
    CLUSTER_UID_LABEL,
    INSTANCE_LABEL,
    MEMBER_LABEL,
    MEMBERSHIP_ANNOTATION,
    claim_place,
    pod_name,
    selector_labels,
)
from api.reasons import Reason
from controllers.cluster.members import is_at
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected
from controllers.cluster.plan.steps import (
    AdoptClaims,
    AnnotateClaims,
    DiscardClaim,
    DiscardLeftovers,
)
from controllers.cluster_scope import NotAllowed
from controllers.resources import CLAIMS, CLUSTERS, VOLUMES
from controllers.writer import Writer
from etcd.cluster import Member
from informers.errors import ForbiddenError, NotFoundError

ClaimStep = DiscardLeftovers | AdoptClaims | AnnotateClaims
ListMembers = Callable[[], Awaitable[tuple[Member, ...]]]


async def perform_on_claims(step: ClaimStep, observed: Observed, writer: Writer) -> Outcome:
    """Take the step on each of its claims. Raises KubeError; after one that failed, or a
    cancellation, the claims before it are done, and the next plan names the others.
    """
    # All labels, because the caches hold only objects that carry them.
    labels = {**selector_labels(observed.name), CLUSTER_UID_LABEL: observed.uid}
    match step:
        case DiscardLeftovers(claims=claims):
            return await _discard_leftovers(claims, observed, writer)
        case AdoptClaims(claims=claims):
            change = {"labels": labels}
        case AnnotateClaims(claims=claims, record=record):
            change = {"labels": labels, "annotations": {MEMBERSHIP_ANNOTATION: record}}
        case _:
            assert_never(step)
    return await _change_all(claims, change, observed, writer)


async def discard_claim(
    step: DiscardClaim, observed: Observed, writer: Writer, *, list_members: ListMembers
) -> Outcome:
    """Delete the claim, keeping its volume where the step says so. Raises EtcdError, KubeError.

    `list_members` asks etcd through quorum: a member that has started under the claim's peer URL
    keeps it.
    """
    listed = await list_members()
    if any(is_at(member, step.not_member) and member.client_urls for member in listed):
        return Changed(what=f"{step.name} belongs to a member that has started")
    claim = await _read(step.name, step.uid, observed, writer)
    if claim is None:
        return Done()
    if step.keep_volume:
        refused = await _keep_volume(claim, observed, writer)
        if refused is not None:
            return refused
    await writer.delete(CLAIMS, observed.namespace, step.name, uid=step.uid)
    return Done()


async def _read(
    name: str, uid: str, observed: Observed, writer: Writer
) -> Mapping[str, Any] | None:
    """The claim with this uid, None when it is gone, whatever has its name since."""
    try:
        claim = await writer.api.get(CLAIMS, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None
    return claim if claim["metadata"]["uid"] == uid else None


async def _keep_volume(
    claim: Mapping[str, Any], observed: Observed, writer: Writer
) -> Outcome | None:
    """Set the claim's volume to Retain and label it, so that its data can be found again."""
    volume = claim["spec"].get("volumeName")
    if not volume:
        return None  # never bound: there is nothing to keep
    live = await writer.outside.get(VOLUMES, volume)
    if live is None:
        return None  # lost with its data
    if isinstance(live, NotAllowed):
        return _may_not_keep(volume, claim)
    if (live["spec"].get("claimRef") or {}).get("uid") != claim["metadata"]["uid"]:
        return Changed(what=f"PersistentVolume {volume} is not bound to the claim")
    patch = _kept(live, claim, observed)
    try:
        with contextlib.suppress(NotFoundError):
            await writer.api.patch(VOLUMES, patch, name=volume, timeout_s=writer.timeout_s())
    except ForbiddenError:
        return _may_not_keep(volume, claim)
    return None


def _may_not_keep(volume: str, claim: Mapping[str, Any]) -> Rejected:
    return Rejected(
        reason=Reason.NOT_ALLOWED,
        message=f"PersistentVolume {volume} is to be kept"
        " (spec.storage.removedMemberPolicy), but the operator may not change it: grant it get"
        " and patch on persistentvolumes, or set the volume to Retain and delete the claim"
        f" {claim['metadata']['name']} yourself",
    )


def _kept(
    volume: Mapping[str, Any], claim: Mapping[str, Any], observed: Observed
) -> dict[str, Any]:
    """The patch. With uid and resourceVersion: the volume that was read, and no other."""
    metadata = volume["metadata"]
    place = claim_place(observed.name, claim["metadata"]["name"])
    assert place is not None  # the step names a claim of a member
    return {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "labels": {
                CLUSTER_UID_LABEL: observed.uid,
                INSTANCE_LABEL: observed.name,
                MEMBER_LABEL: pod_name(observed.name, place.ordinal),
            },
        },
        "spec": {"persistentVolumeReclaimPolicy": "Retain"},
    }


async def _discard_leftovers(
    claims: tuple[tuple[str, str], ...], observed: Observed, writer: Writer
) -> Outcome:
    """Data goes for good, so the order to do it is read once more, from the server itself."""
    try:
        cluster = await writer.api.get(CLUSTERS, namespace=observed.namespace, name=observed.name)
    except NotFoundError:
        return Changed(what="the EtcdCluster is gone")
    if not _still_discards(cluster, observed):
        return Changed(what="the EtcdCluster no longer asks to discard existing volumes")
    for name, uid in claims:
        # Not through the writer: it would wait for the echo in a cache that holds our labels only,
        # and while nothing is recorded the claims are read from the server anyway.
        with contextlib.suppress(NotFoundError):
            await writer.api.delete(
                CLAIMS,
                namespace=observed.namespace,
                name=name,
                uid=uid,
                timeout_s=writer.timeout_s(),
            )
    return Done()


def _still_discards(cluster: Mapping[str, Any], observed: Observed) -> bool:
    """Whether it is the same object, still unborn, still wanted, and says Discard."""
    metadata = cluster["metadata"]
    storage = cluster.get("spec", {}).get("storage") or {}
    return (
        metadata["uid"] == observed.uid
        and "deletionTimestamp" not in metadata
        and not (cluster.get("status") or {}).get("appliedSpec")
        and storage.get("existingVolumes") == "Discard"
    )


async def _change_all(
    claims: tuple[tuple[str, str], ...],
    change: Mapping[str, Any],
    observed: Observed,
    writer: Writer,
) -> Outcome:
    """Patch the metadata of each as it was read just now; one that is gone is passed over."""
    for name, uid in claims:
        claim = await _read(name, uid, observed, writer)
        if claim is None:
            continue
        version = claim["metadata"]["resourceVersion"]
        metadata = {"uid": uid, "resourceVersion": version, **change}
        try:
            await writer.patch(CLAIMS, observed.namespace, name, {"metadata": metadata})
        except ForbiddenError as error:
            return Rejected(
                reason=Reason.NOT_ALLOWED,
                message=f"The operator may not change PersistentVolumeClaim {name}"
                f" ({error.message}): grant it patch on persistentvolumeclaims",
            )
    return Done()
