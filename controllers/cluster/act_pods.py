"""Carries out the steps on pods: restart, resize, note something on them, try out an image; and
makes the backup that a step waits for.

Called by `act`, which turns a conflict into `Changed`.  Pods are deleted and written to by uid.
"""

from collections.abc import Mapping
from typing import Any, assert_never

from api.labels import (
    CLOSED_ANNOTATION,
    ETCD_CONTAINER,
    NOT_RESIZED_ANNOTATION,
    REPLACE_ANNOTATION,
    RESIZED_ANNOTATION,
)
from api.reasons import Reason
from controllers.cluster.observed import Observed
from controllers.cluster.outcome import Changed, Done, NotYet, Outcome, Rejected
from controllers.cluster.plan.steps import DeletePod, DropRequest, RefreshFiles
from controllers.cluster.plan.version_steps import (
    DeleteProbe,
    MakeBackup,
    MakeProbe,
    RefuseResize,
    ResizePod,
)
from controllers.cluster.requests import requested
from controllers.resources import BACKUPS, CLUSTERS, PODS
from controllers.writer import Writer, is_final
from informers.errors import (
    AlreadyExistsError,
    NotFoundError,
    StatusError,
)
from informers.resource import Resource
from informers.wire import STRATEGIC_MERGE_PATCH

PodStep = (
    DeletePod
    | ResizePod
    | RefuseResize
    | MakeProbe
    | DeleteProbe
    | MakeBackup
    | DropRequest
    | RefreshFiles
)


async def perform_on_pod(action: PodStep, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError."""
    match action:
        case DeletePod(name=name, uid=uid, force=force):
            at_once = 0 if force else None
            await writer.delete(PODS, observed.namespace, name, uid=uid, grace_period_s=at_once)
        case ResizePod():
            return await _resize(action, observed, writer)
        case RefuseResize():
            await _refuse_resize(action, observed, writer)
        case MakeProbe(pod=pod):
            return await _make(PODS, pod, Reason.PROBE_FAILED, writer)
        case MakeBackup(backup=backup):
            return await _make(BACKUPS, backup, Reason.NOT_SAVED, writer)
        case DeleteProbe(name=name, uid=uid):
            await writer.delete(PODS, observed.namespace, name, uid=uid)
        case DropRequest(name=name):
            await _drop_request(name, observed, writer)
        case RefreshFiles(name=name, uid=uid, member=member):
            return await hint(name, uid, {CLOSED_ANNOTATION: member}, observed, writer)
        case _:
            assert_never(action)
    return Done()


async def hint(
    name: str, uid: str, annotations: Mapping[str, str], observed: Observed, writer: Writer
) -> Outcome:
    """Note on a pod what makes its kubelet look at its files at once. It would do so by itself: a
    server that refuses the note for good is asked again later. Raises other KubeErrors.
    """
    body = {"metadata": {"annotations": annotations, "uid": uid}}
    try:
        await writer.patch(PODS, observed.namespace, name, body)
    except StatusError as error:
        if not is_final(error):
            raise
        return NotYet(message=f"Kubernetes refuses a note on pod {name}: {error.message}")
    return Done()


async def _resize(step: ResizePod, observed: Observed, writer: Writer) -> Outcome:
    """Noted first, so that it is gone on with; what the server can't do is noted instead.

    By the subresource of its own (Kubernetes 1.33).
    """
    note = {"annotations": {RESIZED_ANNOTATION: step.revision}, "uid": step.uid}
    await writer.patch(PODS, observed.namespace, step.name, {"metadata": note})
    container = {"name": ETCD_CONTAINER, "resources": step.resources}
    body = {"metadata": {"uid": step.uid}, "spec": {"containers": [container]}}
    try:
        await writer.patch(
            PODS,
            observed.namespace,
            step.name,
            body,
            subresource="resize",
            content_type=STRATEGIC_MERGE_PATCH,  # a list of containers is merged by their names
        )
    except StatusError as error:
        if not is_final(error) and not isinstance(error, NotFoundError):
            raise
        refused = RefuseResize(
            name=step.name, uid=step.uid, revision=step.revision, why=error.message
        )
        await _refuse_resize(refused, observed, writer)
        return Changed(what=f"pod {step.name} can't be resized in place: {error.message}")
    return Done()


async def _refuse_resize(step: RefuseResize, observed: Observed, writer: Writer) -> None:
    notes = {NOT_RESIZED_ANNOTATION: step.revision, RESIZED_ANNOTATION: None}
    metadata = {"annotations": notes, "uid": step.uid}
    await writer.patch(PODS, observed.namespace, step.name, {"metadata": metadata})


async def _make(
    resource: Resource, obj: Mapping[str, Any], refused: Reason, writer: Writer
) -> Outcome:
    """Make what the next step waits for."""
    name = obj["metadata"]["name"]
    try:
        await writer.create(resource, obj)
    except AlreadyExistsError:
        return Changed(what=f"{resource.kind} {name} exists")
    except StatusError as error:
        if not is_final(error):
            raise
        message = f"{resource.kind} {name} can't be made: {error.message}"
        return Rejected(reason=refused, message=message)
    return Done()


async def _drop_request(name: str, observed: Observed, writer: Writer) -> None:
    """Off the cluster's list and off the pod, wherever it stands."""
    cluster = await writer.api.get(CLUSTERS, namespace=observed.namespace, name=observed.name)
    metadata = cluster["metadata"]
    asked = requested(metadata)
    if name in asked:
        rest = ",".join(other for other in asked if other != name)
        await writer.patch(
            CLUSTERS,
            observed.namespace,
            observed.name,
            {
                "metadata": {
                    "annotations": {REPLACE_ANNOTATION: rest or None},
                    "resourceVersion": metadata["resourceVersion"],
                    "uid": observed.uid,
                }
            },
        )
    pod = next((pod for pod in observed.pods if pod.name == name), None)
    if pod is not None:
        metadata = {"annotations": {REPLACE_ANNOTATION: None}, "uid": pod.uid}
        await writer.patch(PODS, observed.namespace, name, {"metadata": metadata})
