"""Reconciles a kind that this version can't act on yet: says so in its status and does nothing
else.

An EtcdRestore that nobody carries out must not look as if it were.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from api.conditions import ConditionStatus, ConditionType, set_condition
from api.reasons import Reason
from api.v1alpha1.common import Condition
from controllers.runtime import Result
from controllers.writer import Writer
from informers.errors import ConflictError, NotFoundError
from informers.expectations import OwnWrites
from informers.informer_set import ObjectReader
from informers.resource import Resource
from informers.wire import KubeApi

_VERDICTS: Final[tuple[tuple[ConditionType, ConditionStatus], ...]] = (
    (ConditionType.READY, "False"),
    (ConditionType.STALLED, "True"),
)


class UnsupportedReconciler:
    """Answers each object of one kind with Ready=False/NotSupportedYet."""

    def __init__(
        self,
        resource: Resource,
        informers: ObjectReader,
        api: KubeApi,
        *,
        own_writes: OwnWrites,
        now: Callable[[], datetime],
        remaining_s: Callable[[], float],
    ) -> None:
        self._resource = resource
        self._informers = informers
        self._api = api
        self._own_writes = own_writes
        self._now = now
        self._remaining_s = remaining_s

    async def reconcile(self, key: str) -> Result:
        """Write the condition once. Raises KubeError when the API server fails."""
        obj = self._informers.get(key)
        if obj is None or "deletionTimestamp" in obj["metadata"]:
            self._own_writes.forget(key)
            return Result()
        status = obj.get("status") or {}
        new = self._status(status, obj["metadata"]["generation"])
        if new != status:
            writer = Writer(self._api, self._own_writes, key, remaining_s=self._remaining_s)
            try:
                await writer.replace_status(self._resource, {**obj, "status": new})
            except (ConflictError, NotFoundError):
                return Result()  # it changed: its event brings the next reconcile
        return Result()

    def _status(self, status: dict[str, Any], generation: int) -> dict[str, Any]:
        conditions = tuple(Condition.model_validate(c) for c in status.get("conditions", ()))
        for kind, value in _VERDICTS:
            conditions = set_condition(
                conditions,
                kind,
                value,
                reason=Reason.NOT_SUPPORTED_YET,
                message=f"spec: this version of the operator does not carry out "
                f"{self._resource.kind} objects; nothing was done",
                now=self._now(),
                generation=generation,
            )
        return {**status, "conditions": [condition.to_json() for condition in conditions]}
