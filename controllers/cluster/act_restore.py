"""Carries out the steps that prepare a restored cluster's first volume.

Called by `act`, which turns a conflict into `Changed`.  Whoever acts late, after another operator
has taken over, must find out: before anything is made or deleted, the record of the restore is read
from the server.  It must be the one that the step was planned by, and must not be done.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from api.labels import CLUSTER_UID_LABEL
from api.reasons import Reason
from api.v1alpha1.cluster_status import BootstrapStatus
from api.validation import parse_cluster
from controllers.cluster.epochs import bootstrap_of
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, Outcome, Rejected
from controllers.cluster.plan.restore_steps import (
    DeleteRestorePod,
    DeleteSeedClaim,
    MakeRestorePod,
    MakeSeedClaim,
)
from controllers.resources import CLAIMS, CLUSTERS, PODS
from controllers.writer import Writer, is_final
from informers.errors import AlreadyExistsError, NotFoundError, StatusError
from informers.resource import Resource

PreparingStep = MakeSeedClaim | DeleteSeedClaim | MakeRestorePod | DeleteRestorePod


async def perform_for_restore(step: PreparingStep, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError."""
    match step:
        case DeleteRestorePod(name=name, uid=uid):
            await writer.delete(PODS, observed.namespace, name, uid=uid)
            return Done()
        case MakeSeedClaim() | DeleteSeedClaim() | MakeRestorePod():
            planned_by = bootstrap_of(observed.status, step.epoch)
            live = await _live_bootstrap(observed, step.epoch, writer)
            # Two that are not there are not the same record.
            if live is None or live != planned_by:
                return Changed(what="the record of the restore")
            return await _perform(step, observed, writer)
        case _:
            assert_never(step)


async def _perform(
    step: MakeSeedClaim | DeleteSeedClaim | MakeRestorePod, observed: Observed, writer: Writer
) -> Outcome:
    match step:
        case MakeSeedClaim(claim=claim):
            return await _create(CLAIMS, claim, Reason.VOLUME_REFUSED, observed, writer)
        case DeleteSeedClaim(name=name, uid=uid):
            await writer.delete(CLAIMS, observed.namespace, name, uid=uid)
            return Done()
        case MakeRestorePod(claim=(name, uid), pod=pod):
            live = await _get(CLAIMS, name, observed, writer)
            if live is None or live["metadata"]["uid"] != uid:
                return Changed(what=f"volume claim {name}")
            if "deletionTimestamp" in live["metadata"]:
                return Changed(what=f"volume claim {name} is being deleted")
            return await _create(PODS, pod, Reason.PODS_REFUSED, observed, writer)
        case _:
            assert_never(step)


async def _live_bootstrap(observed: Observed, epoch: int, writer: Writer) -> BootstrapStatus | None:
    """The record as the server has it now; None when the cluster is gone, or going."""
    cluster = await _get(CLUSTERS, observed.name, observed, writer)
    if cluster is None or "deletionTimestamp" in cluster["metadata"]:
        return None
    if cluster["metadata"]["uid"] != observed.uid:
        return None
    return bootstrap_of(parse_cluster(cluster).status, epoch)


async def _get(
    resource: Resource, name: str, observed: Observed, writer: Writer
) -> Mapping[str, Any] | None:
    try:
        return await writer.api.get(resource, namespace=observed.namespace, name=name)
    except NotFoundError:
        return None


async def _create(
    resource: Resource,
    body: Mapping[str, Any],
    refused: Reason,
    observed: Observed,
    writer: Writer,
) -> Outcome:
    name = body["metadata"]["name"]
    try:
        await writer.create(resource, body)
    except AlreadyExistsError:
        found = await _get(resource, name, observed, writer)
        labels = (found or {}).get("metadata", {}).get("labels") or {}
        if found is None or labels.get(CLUSTER_UID_LABEL) == observed.uid:
            return Changed(what=f"{resource.kind} {name} exists")
        # The caches hold only what is ours: a stranger is met here.
        return Rejected(
            reason=Reason.LEFTOVER_VOLUMES if resource is CLAIMS else Reason.NAME_CONFLICT,
            message=f"{resource.kind} {name} exists and is not of this cluster: delete it",
        )
    except StatusError as error:
        if not is_final(error):
            raise
        return Rejected(reason=refused, message=f"{resource.kind} {name}: {error.message}")
    return Done()
