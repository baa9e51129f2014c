"""Turns calls on one Lease into answers or KubeErrors, each within a deadline of its own.

The elector's only way to the API server. It adds a second deadline around the wire's, because
leading must not depend on whether some layer below forgot one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from informers.errors import TransportError, transport_error
from informers.lease_object import LEASES

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from informers.resource import Resource


class LeaseApi(Protocol):
    """The part of KubeApi that is used here."""

    async def get(
        self, resource: Resource, *, namespace: str, name: str, timeout_s: float
    ) -> dict[str, Any]: ...

    async def create(
        self, resource: Resource, body: Mapping[str, Any], *, namespace: str, timeout_s: float
    ) -> dict[str, Any]: ...

    async def replace(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        namespace: str,
        name: str,
        timeout_s: float,
    ) -> dict[str, Any]: ...


class LeaseClient:
    """One Lease in the API server; calls raise KubeError, after `timeout_s` TransportError."""

    def __init__(self, api: LeaseApi, *, namespace: str, name: str, timeout_s: float) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._timeout_s = timeout_s

    async def get(self) -> dict[str, Any]:
        """The Lease as it is now; NotFoundError if there is none."""
        return await self._bounded(
            self._api.get(
                LEASES, namespace=self._namespace, name=self._name, timeout_s=self._timeout_s
            )
        )

    async def create(self, lease: dict[str, Any]) -> dict[str, Any]:
        """The Lease as created; AlreadyExistsError if someone was first."""
        return await self._bounded(
            self._api.create(LEASES, lease, namespace=self._namespace, timeout_s=self._timeout_s)
        )

    async def replace(self, lease: dict[str, Any]) -> dict[str, Any]:
        """The Lease as replaced; ConflictError if it is not the one that was read."""
        return await self._bounded(
            self._api.replace(
                LEASES,
                lease,
                namespace=self._namespace,
                name=self._name,
                timeout_s=self._timeout_s,
            )
        )

    async def _bounded(self, call: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call
        except TimeoutError as error:
            raise transport_error("lease request", error) from error
        except asyncio.CancelledError as error:
            # Not for us, then for something that the request was waiting for: had it ended the
            # renewals, a task group would not have noticed.
            if _is_cancelled():
                raise
            raise TransportError("lease request: cancelled below us") from error


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
