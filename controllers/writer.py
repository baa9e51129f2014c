"""All writes of one reconcile, each remembered so that the next reconcile waits for its echo.

The informers' caches are stale after our own writes.  Every write here notes the resourceVersion it
got; `OwnWrites` then holds the key back until the informer has seen it.  Deadlines end before our
Lease does, so that a write of ours never lands after somebody else has taken over.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from api.v1alpha1.common import Model
from controllers.cluster_scope import ClusterScope
from informers.errors import ConflictError, InvalidError, NotFoundError, StatusError
from informers.expectations import OwnWrites
from informers.resource import Resource
from informers.wire import MERGE_PATCH, KubeApi

_LONGEST_S: Final = 10.0
# Between our last possible write and the end of the Lease: a slow server may still be working on
# it.
_MARGIN_S: Final = 1.0

log = structlog.get_logger()


class LeaseTooShortError(Exception):
    """So little of the Lease is left that a write could land after its end; the queue retries."""


def is_final(error: StatusError) -> bool:
    """Whether the same request would be refused again: 400 (bad field), 403 (admission), 422."""
    return isinstance(error, InvalidError) or error.status in {400, 403}


def namespace_is_going(error: StatusError) -> bool:
    """Whether that is why (k8s.io/apiserver admission plugin NamespaceLifecycle)."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


class Writer:
    """Writes on behalf of one key ("namespace/name" of the object that is reconciled)."""

    def __init__(
        self,
        api: KubeApi,
        own_writes: OwnWrites,
        key: str,
        *,
        remaining_s: Callable[[], float],
        outside: ClusterScope | None = None,
    ) -> None:
        """`outside`: what remembers the reads that are refused; None: nothing is remembered yet."""
        self.api = api
        self.outside = outside or ClusterScope(api)
        self._own_writes = own_writes
        self._key = key
        self._remaining_s = remaining_s

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], *, field_manager: str, force: bool
    ) -> None:
        """Server-side apply of the whole object."""
        metadata = body["metadata"]
        answer = await self.api.apply(
            resource,
            body,
            namespace=metadata["namespace"],
            name=metadata["name"],
            field_manager=field_manager,
            force=force,
            timeout_s=self.timeout_s(),
        )
        self._wrote(resource, answer)

    async def create(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """Create an object. Raises AlreadyExistsError."""
        answer = await self.api.create(
            resource,
            body,
            namespace=body["metadata"]["namespace"],
            timeout_s=self.timeout_s(),
        )
        self._wrote(resource, answer)

    async def dry_run(
        self, resource: Resource, body: Mapping[str, Any], *, field_manager: str
    ) -> None:
        """The same without storing anything."""
        metadata = body["metadata"]
        await self.api.apply(
            resource,
            body,
            namespace=metadata["namespace"],
            name=metadata["name"],
            field_manager=field_manager,
            force=True,
            dry_run=True,
            timeout_s=self.timeout_s(),
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        content_type: str = MERGE_PATCH,
        dry_run: bool = False,
    ) -> None:
        """A merge patch, of the kind that `content_type` says; `dry_run` stores nothing."""
        answer = await self.api.patch(
            resource,
            patch,
            namespace=namespace,
            name=name,
            subresource=subresource,
            content_type=content_type,
            dry_run=dry_run,
            timeout_s=self.timeout_s(),
        )
        if not dry_run:
            self._wrote(resource, answer)

    async def replace_status(self, resource: Resource, body: Mapping[str, Any]) -> None:
        """PUT of the status, under the resourceVersion in the body."""
        metadata = body["metadata"]
        answer = await self.api.replace(
            resource,
            body,
            namespace=metadata["namespace"],
            name=metadata["name"],
            subresource="status",
            timeout_s=self.timeout_s(),
        )
        self._wrote(resource, answer)

    async def write_status(
        self, resource: Resource, obj: Mapping[str, Any], before: Model, status: Model
    ) -> None:
        """Write what changed, under the resourceVersion that `obj` was read at.

        A conflict means that the object changed meanwhile: its event brings the next reconcile.
        """
        if status == before:
            return
        try:
            await self.replace_status(resource, {**obj, "status": status.to_json()})
        except (ConflictError, NotFoundError) as error:
            log.info("status not written, planning again", error=str(error))

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        uid: str,
        grace_period_s: int | None = None,
        orphan: bool = False,
    ) -> None:
        """Delete exactly the object with this uid; already gone is done. Raises ConflictError for
        another uid.  `grace_period_s` 0 does not wait for a pod's node.  `orphan` leaves what it
        controls alone.
        """
        try:
            answer = await self.api.delete(
                resource,
                namespace=namespace,
                name=name,
                uid=uid,
                propagation="Orphan" if orphan else "Background",
                grace_period_s=grace_period_s,
                timeout_s=self.timeout_s(),
            )
        except NotFoundError:
            return
        if answer.get("kind") != "Status":
            self._wrote(resource, answer)

    def _wrote(self, resource: Resource, answer: Mapping[str, Any]) -> None:
        metadata = answer["metadata"]
        self._own_writes.wrote(
            self._key,
            resource,
            f"{metadata['namespace']}/{metadata['name']}",
            metadata["resourceVersion"],
            metadata["uid"],
        )

    def timeout_s(self, longest_s: float = _LONGEST_S) -> float:
        """Seconds that a write may take, at most `longest_s`. Raises LeaseTooShortError."""
        left = self._remaining_s() - _MARGIN_S
        if left <= 0:
            raise LeaseTooShortError
        return min(left, longest_s)
