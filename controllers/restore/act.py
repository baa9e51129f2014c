"""Carries out one step of the planner: the only place that writes objects of an EtcdRestore.

Names are deterministic, and writes to what is there carry its uid, so that a step can be repeated,
or be taken by two operators at once. Other errors of the API go up to the work queue, which retries
with backoff.
"""

import contextlib
from typing import Any, assert_never

from api.labels import RESTORE_UID_LABEL
from api.reasons import Reason
from controllers.backup.outcome import Done, Outcome, Rejected
from controllers.resources import CLUSTERS, JOBS
from controllers.restore.observed import Observed
from controllers.restore.steps import Action, AskCluster, DeleteJob, MakeCluster, MakeJob
from controllers.writer import Writer, is_final
from informers.errors import AlreadyExistsError, ConflictError, NotFoundError, StatusError
from informers.resource import Resource


async def perform(action: Action, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError when the server could not be asked."""
    match action:
        case MakeJob(body=body):
            return await _make(JOBS, body, observed, writer)
        case MakeCluster(body=body):
            return await _make(CLUSTERS, body, observed, writer)
        case DeleteJob(name=name, uid=uid):
            with contextlib.suppress(ConflictError):  # another object by now
                await writer.delete(JOBS, observed.namespace, name, uid=uid)
        case AskCluster():
            return await _ask(action, observed, writer)
        case _:
            assert_never(action)
    return Done()


async def _make(
    resource: Resource, body: dict[str, Any], observed: Observed, writer: Writer
) -> Outcome:
    """Create it, or find that it is there already and ours."""
    try:
        await writer.create(resource, body)
    except AlreadyExistsError:
        return await _is_ours(resource, body["metadata"]["name"], observed, writer)
    except StatusError as error:
        if not is_final(error):
            raise
        reason = Reason.TEMPLATE_REFUSED if resource is CLUSTERS else Reason.PODS_REFUSED
        return Rejected(reason=reason, message=f"{resource.kind}: {error.message}")
    return Done()


async def _is_ours(resource: Resource, name: str, observed: Observed, writer: Writer) -> Outcome:
    found = await writer.api.get(resource, namespace=observed.namespace, name=name)
    if (found["metadata"].get("labels") or {}).get(RESTORE_UID_LABEL) == observed.uid:
        return Done()
    if resource is CLUSTERS:
        message = f"EtcdCluster {name} was made by somebody else meanwhile: name another"
        return Rejected(reason=Reason.TARGET_EXISTS, message=message)
    message = f"{resource.kind} {name} belongs to something else: delete or rename it"
    return Rejected(reason=Reason.NAME_CONFLICT, message=message)


async def _ask(action: AskCluster, observed: Observed, writer: Writer) -> Outcome:
    """As it was looked at, or not at all: somebody else may ask for something at the same time."""
    metadata = {
        "uid": action.uid,
        "resourceVersion": action.resource_version,
        "annotations": action.annotations,
    }
    try:
        # When it has changed meanwhile, the next reconcile sees how.
        with contextlib.suppress(ConflictError, NotFoundError):
            await writer.patch(CLUSTERS, observed.namespace, action.name, {"metadata": metadata})
    except StatusError as error:
        if not is_final(error):
            raise
        return Rejected(reason=Reason.TEMPLATE_REFUSED, message=f"EtcdCluster: {error.message}")
    return Done()
