"""Carries out the steps from one epoch of a cluster's data to another.

Called by `act`, which turns a conflict into `Changed`.  What is decided here is read once more from
the server itself: that no member runs any more, and whose volumes may go.
"""

from collections.abc import Mapping
from typing import Any

from api.labels import (
    CLUSTER_UID_LABEL,
    OLD_DATA_ANNOTATION,
    claim_place,
    pod_ordinal,
    stateful_set_name,
)
from api.objects import read_annotation
from api.v1alpha1.restore_request import FAILED
from api.validation import parse_cluster
from controllers.cluster.epochs import is_switching
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome
from controllers.cluster.plan.epoch_steps import DeleteEpoch, SwitchEpoch
from controllers.resources import CLAIMS, CLUSTERS, PODS, STATEFUL_SETS
from controllers.writer import Writer
from informers.errors import NotFoundError


async def perform_on_epochs(
    step: SwitchEpoch | DeleteEpoch, observed: Observed, writer: Writer
) -> Outcome:
    """Take the step. Raises KubeError when the server could not be asked."""
    if isinstance(step, SwitchEpoch):
        return await _nobody_runs(observed, writer)
    return await _delete(step, observed, writer)


async def may_start_members(observed: Observed, writer: Writer) -> Outcome:
    """Before the StatefulSet is made: the cluster's data are still those that it is made for.

    Whoever takes a StatefulSet away to change them has recorded that before, so one that looks
    here after it found none sees it.
    """
    try:
        cluster = await writer.api.get(CLUSTERS, namespace=observed.namespace, name=observed.name)
    except NotFoundError:
        return Changed(what="the EtcdCluster is gone")
    status = parse_cluster(cluster).status
    before = observed.status.bootstrap
    is_same = status.bootstrap is None or before is None or status.bootstrap.token == before.token
    if is_same and not (is_switching(status) and status.next_epoch is not None):
        return Done()
    return Changed(what="the cluster's data become others")


async def _nobody_runs(observed: Observed, writer: Writer) -> Outcome:
    namespace, name = observed.namespace, stateful_set_name(observed.name)
    try:
        await writer.api.get(STATEFUL_SETS, namespace=namespace, name=name)
    except NotFoundError:
        pass
    else:
        return Changed(what=f"StatefulSet {name} is there")
    ours = f"{CLUSTER_UID_LABEL}={observed.uid}"
    for pod in await writer.api.list(PODS, namespace=namespace, label_selector=ours):
        if pod_ordinal(observed.name, pod["metadata"]["name"]) is not None:
            return Changed(what=f"pod {pod['metadata']['name']} is there")
    return Done()


async def _delete(step: DeleteEpoch, observed: Observed, writer: Writer) -> Outcome:
    """Data go for good, so the order to do it is read once more, from the server itself."""
    try:
        cluster = await writer.api.get(CLUSTERS, namespace=observed.namespace, name=observed.name)
    except NotFoundError:
        return Changed(what="the EtcdCluster is gone")
    if cluster["metadata"]["uid"] != observed.uid or not _may_go(step.epoch, cluster):
        return Changed(what=f"the data of epoch {step.epoch} are not to be deleted any more")
    for name, uid in step.claims:
        place = claim_place(observed.name, name)
        if place is not None and place.epoch == step.epoch:
            await writer.delete(CLAIMS, observed.namespace, name, uid=uid)
    return Done()


def _may_go(epoch: int, cluster: Mapping[str, Any]) -> bool:
    """Whether nobody needs this epoch: never begun, or set aside and not wanted any more."""
    status = parse_cluster(cluster).status
    if status.bootstrap is None or status.bootstrap.epoch == epoch:
        return False
    coming, answer = status.next_epoch, status.restore
    if coming is not None:
        is_failed = answer is not None and answer.phase == FAILED
        return is_failed and coming.epoch == epoch
    is_set_aside = any(one.epoch == epoch for one in status.set_aside)
    return is_set_aside and read_annotation(cluster, OLD_DATA_ANNOTATION).strip() == "Discard"
