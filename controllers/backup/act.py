"""Carries out one step of the planner: the only place that writes objects of an EtcdBackup.

Names are deterministic and deletions carry the uid, so that a step can be repeated, or be taken by
two operators at once. Other errors of the API go up to the work queue, which retries with backoff.
"""

from contextlib import suppress
from typing import Any, assert_never

from api.labels import EXPIRED_ANNOTATION, FIELD_MANAGER, VERIFY_ANNOTATION
from api.reasons import Reason
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.observed import Observed
from controllers.backup.outcome import Done, Outcome, Rejected
from controllers.backup.steps import (
    Action,
    AskVerification,
    DeleteChild,
    DeleteJob,
    DeleteSelf,
    ExpireChild,
    MakeChild,
    MakeDeletion,
    MakeJob,
    MakeVerification,
)
from controllers.cluster.render.normal import stamped
from controllers.resources import BACKUPS, DEPLOYMENTS, JOBS
from controllers.writer import Writer, is_final
from informers.errors import AlreadyExistsError, ConflictError, NotFoundError, StatusError
from informers.resource import Resource


async def perform(action: Action, observed: Observed, writer: Writer) -> Outcome:
    """Take the step. Raises KubeError when the server could not be asked."""
    match action:
        case MakeJob(body=body) | MakeDeletion(body=body) | MakeVerification(body=body):
            return await _make(JOBS, body, observed, writer)
        case MakeChild(body=body):
            return await _make(BACKUPS, body, observed, writer)
        case DeleteJob(name=name, uid=uid):
            await _delete(JOBS, name, uid, observed, writer)
        case DeleteChild(name=name, uid=uid):
            await _delete(BACKUPS, name, uid, observed, writer)
        case ExpireChild(name=name, uid=uid):
            await _annotate(name, uid, {EXPIRED_ANNOTATION: "true"}, observed, writer)
        case AskVerification(name=name, uid=uid, request=request):
            await _annotate(name, uid, {VERIFY_ANNOTATION: request}, observed, writer)
        case ApplyArchiver(body=body, uid=uid):
            return await _apply(DEPLOYMENTS, body, uid, observed, writer)
        case DeleteArchiver(name=name, uid=uid):
            await _delete(DEPLOYMENTS, name, uid, observed, writer)
        case DeleteSelf():
            await _delete(BACKUPS, observed.name, observed.uid, observed, writer)
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
        return Rejected(reason=Reason.PODS_REFUSED, message=f"{resource.kind}: {error.message}")
    return Done()


async def _apply(
    resource: Resource, body: dict[str, Any], uid: str | None, observed: Observed, writer: Writer
) -> Outcome:
    """Make it, or correct the one that was seen: deleted meanwhile, it is not made anew.

    Also what is new is applied: of what was created otherwise nothing could be taken away later.
    """
    body = stamped(body)
    if uid is not None:
        body = {**body, "metadata": {**body["metadata"], "uid": uid}}
    else:
        with suppress(NotFoundError):
            return await _is_ours(resource, body["metadata"]["name"], observed, writer)
    try:
        await writer.apply(resource, body, field_manager=FIELD_MANAGER, force=uid is not None)
    except ConflictError:
        return Done()  # another object by now: the next reconcile sees it
    except StatusError as error:
        if not is_final(error):
            raise
        return Rejected(reason=Reason.PODS_REFUSED, message=f"{resource.kind}: {error.message}")
    return Done()


async def _is_ours(resource: Resource, name: str, observed: Observed, writer: Writer) -> Outcome:
    found = await writer.api.get(resource, namespace=observed.namespace, name=name)
    owners = found["metadata"].get("ownerReferences") or ()
    if any(owner.get("uid") == observed.uid for owner in owners):
        return Done()
    message = f"{resource.kind} {name} belongs to something else: delete or rename it"
    return Rejected(reason=Reason.NAME_CONFLICT, message=message)


async def _delete(
    resource: Resource, name: str, uid: str, observed: Observed, writer: Writer
) -> None:
    try:
        await writer.delete(resource, observed.namespace, name, uid=uid)
    except ConflictError:
        return  # another object by now: the next reconcile sees it


async def _annotate(
    name: str, uid: str, annotations: dict[str, str], observed: Observed, writer: Writer
) -> None:
    patch = {"metadata": {"uid": uid, "annotations": annotations}}
    try:
        await writer.patch(BACKUPS, observed.namespace, name, patch)
    except (ConflictError, NotFoundError):
        return  # gone, or another object by now
