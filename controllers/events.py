"""Writes Kubernetes events about our objects: what happened, and what someone has to do.

Called by the reconcilers with decisions already made.  One event per (object, reason, message): the
same again raises its count, so that a condition that comes and goes does not flood the API server.
An event that can't be written is logged and forgotten; it must never fail a reconcile.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from api.conditions import ConditionStatus, ConditionType, find_condition
from api.event_reasons import EventReason
from api.v1alpha1.common import Condition
from controllers.resources import EVENTS
from informers.errors import AlreadyExistsError, ForbiddenError, KubeError, NotFoundError
from informers.resource import Resource
from informers.wire import KubeApi

_COMPONENT: Final = "etcd-operator"
# Events live an hour on the server by default; a count that old is no loss.
_REMEMBERED: Final = 1024
# The server's limit for a message (k8s.io/kubernetes pkg/apis/core/validation/events.go).
_LONGEST_MESSAGE: Final = 1024

_BY_VALUE: Final = {reason.value: reason for reason in EventReason}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing to tell. `type` is Normal or Warning."""

    type: str
    reason: str
    message: str


def happening(reason: EventReason, message: str) -> Happening:
    return Happening(type=reason.event_type, reason=reason.value, message=message)


def newly_stalled(before: Sequence[Condition], after: Sequence[Condition]) -> Iterator[Happening]:
    """That help is needed, when that begins or has another reason than before."""
    yield from newly(ConditionType.STALLED, "True", before, after)


def newly(
    kind: ConditionType,
    status: ConditionStatus,
    before: Sequence[Condition],
    after: Sequence[Condition],
) -> Iterator[Happening]:
    """That the condition has this status, when that begins or has another reason than before."""
    old, new = find_condition(before, kind), find_condition(after, kind)
    if new is None or new.status != status:
        return
    is_new = old is None or (old.status, old.reason) != (new.status, new.reason)
    reason = _BY_VALUE.get(new.reason)
    if is_new and reason is not None:
        yield happening(reason, new.message)


class EventRecorder:
    """Writes events through one API connection."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._counts: OrderedDict[str, int] = OrderedDict()

    async def record(
        self, resource: Resource, obj: dict[str, Any], happening: Happening, *, now: datetime
    ) -> None:
        """Write the event; returns in any case, within the API call's deadline."""
        metadata = obj["metadata"]
        name = _name(metadata, happening)
        count = self._counts.pop(name, 0) + 1
        self._counts[name] = count
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        try:
            if count == 1:
                await self._create(resource, metadata, name, happening, now)
            else:
                await self._count(metadata["namespace"], name, count, now)
        except NotFoundError:  # the server has forgotten it; next time it is a first time again
            self._counts.pop(name, None)
        except ForbiddenError as error:  # the namespace is going, most likely
            log.info("event not written", reason=happening.reason, error=str(error))
        except KubeError as error:
            log.warning("event not written", reason=happening.reason, error=str(error))

    async def _create(
        self,
        resource: Resource,
        metadata: dict[str, Any],
        name: str,
        what: Happening,
        now: datetime,
    ) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": what.type,
            "reason": what.reason,
            "message": what.message[:_LONGEST_MESSAGE],
            "source": {"component": _COMPONENT},
            "reportingComponent": _COMPONENT,
            "firstTimestamp": _time(now),
            "lastTimestamp": _time(now),
            "count": 1,
        }
        try:
            await self._api.create(EVENTS, body, namespace=metadata["namespace"])
        except AlreadyExistsError:
            self._counts[name] = 2
            await self._count(metadata["namespace"], name, 2, now)

    async def _count(self, namespace: str, name: str, count: int, now: datetime) -> None:
        again = {"count": count, "lastTimestamp": _time(now)}
        await self._api.patch(EVENTS, again, namespace=namespace, name=name)


def _name(metadata: dict[str, Any], happening: Happening) -> str:
    text = "\0".join((metadata["uid"], happening.type, happening.reason, happening.message))
    return f"{metadata['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _time(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
