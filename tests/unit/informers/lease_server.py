"""A model of one Lease in an API server: GET, POST, PUT with resourceVersions, and faults.

It is what electors see of the API server in tests on virtual time; faults are given per request, in
order: "ok", "abort" (no effect), "lost" (takes effect, the answer does not come), "late" (takes
effect, the answer takes a second), "hang" (until cancelled, no effect), "conflict", "cancelled" (as
when a task below the request was, no effect), or a number of seconds before the request takes
effect.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from typing import Any

from informers.errors import AlreadyExistsError, ConflictError, NotFoundError, TransportError

Fault = str | float


class LeaseServer:
    def __init__(self, **spec: Any) -> None:
        self.ops: list[str] = []
        self.faults: deque[Fault] = deque()
        self.always: Fault = "ok"
        self.lease: dict[str, Any] | None = None
        self.history: list[dict[str, Any]] = []
        self._revision = 0
        if spec:
            self.store(spec=spec)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        return self.lease["spec"]

    @property
    def holder(self) -> str:
        return self.spec.get("holderIdentity") or ""

    def store(self, **changes: Any) -> None:
        """Write the Lease as someone else would."""
        self._revision += 1
        old = self.lease or {"metadata": {"name": "lock", "namespace": "ns"}, "spec": {}}
        lease = copy.deepcopy(old)
        for field, value in changes.items():
            lease[field] = lease.get(field, {}) | value
        lease["metadata"]["resourceVersion"] = str(self._revision)
        self.lease = lease
        self.history.append(copy.deepcopy(lease))

    # -------------------------------------------------------------- LeaseApi
    async def get(self, resource, *, namespace, name, timeout_s) -> dict[str, Any]:
        await self._arrive("get")
        if self.lease is None:
            raise NotFoundError(404, "NotFound", "no lease", {}, None)
        return copy.deepcopy(self.lease)

    async def create(self, resource, body, *, namespace, timeout_s) -> dict[str, Any]:
        fault = await self._arrive("create")
        if self.lease is not None:
            raise AlreadyExistsError(409, "AlreadyExists", "exists", {}, None)
        return await self._stored(body, fault)

    async def replace(self, resource, body, *, namespace, name, timeout_s) -> dict[str, Any]:
        fault = await self._arrive("update")
        if self.lease is None:
            raise NotFoundError(404, "NotFound", "no lease", {}, None)
        current = self.lease["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != current:
            raise ConflictError(409, "Conflict", "modified", {}, None)
        return await self._stored(body, fault)

    async def _arrive(self, op: str) -> Fault:
        """Count the request and suffer its fault; "lost" and "late" are for its answer."""
        self.ops.append(op)
        fault = self.faults.popleft() if self.faults else self.always
        match fault:
            case "abort":
                raise TransportError("connection reset")
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "cancelled":
                raise asyncio.CancelledError
            case "conflict":
                raise ConflictError(409, "Conflict", "modified", {}, None)
            case float() | int():
                await asyncio.sleep(fault)
        return fault

    async def _stored(self, body: dict[str, Any], fault: Fault) -> dict[str, Any]:
        self._revision += 1
        lease = copy.deepcopy(dict(body))
        lease["metadata"]["resourceVersion"] = str(self._revision)
        self.lease = lease
        self.history.append(copy.deepcopy(lease))
        if fault == "late":
            await asyncio.sleep(1)
        if fault == "lost":
            raise TransportError("connection reset while reading the answer")
        return copy.deepcopy(lease)
