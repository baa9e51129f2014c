"""Reads what lies outside of all namespaces, as far as the operator may: a refusal is a value.

Called by `observe` and `act`.  An operator for some namespaces only has no right to nodes, volumes
and storage classes.  That fails no reconcile, and is not asked again at each one: a refusal is
remembered for some minutes, for all clusters, and told once with what does not work without.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import structlog

from controllers.resources import NAMESPACES, NODES, STORAGE_CLASSES, VOLUMES
from informers.errors import ForbiddenError, NotFoundError
from informers.resource import Resource
from informers.wire import KubeApi

log = structlog.get_logger()

# What the operator does without the right to read them: docs/tasks/one-namespace.md says it too.
EFFECTS: Final = {
    NODES: "no member is replaced because its node is lost; ask for it with an annotation",
    VOLUMES: "a claim stays, and its member's successor waits, where the volume is to be kept",
    STORAGE_CLASSES: "a storage class that is missing shows only when a volume waits for it",
    NAMESPACES: "a cluster is cleaned up also where its whole namespace is being deleted",
}
# So long it takes at most until a right that was granted is noticed.
REMEMBERED_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The operator may not read that; `message` is the server's."""

    message: str


class ClusterScope:
    """Reads through one API connection, remembering what it refused."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._refusals: dict[tuple[Resource, str], tuple[NotAllowed, float]] = {}
        self._told: set[Resource] = set()

    async def get(self, resource: Resource, name: str) -> dict[str, Any] | NotAllowed | None:
        """The object, None when there is none. `resource` is one of EFFECTS. Raises KubeError."""
        # A Role can allow its own namespace to be read; of the others all or nothing is allowed.
        key = (resource, name if resource is NAMESPACES else "")
        now = asyncio.get_running_loop().time()
        refused, until = self._refusals.get(key, (None, 0.0))
        if refused is not None and now < until:
            return refused
        try:
            found = await self._api.get(resource, name=name)
        except NotFoundError:
            found = None
        except ForbiddenError as error:
            refused = NotAllowed(error.message)
            self._refusals[key] = (refused, now + REMEMBERED_S)
            self._tell(resource, refused)
            return refused
        self._refusals.pop(key, None)
        return found

    def _tell(self, resource: Resource, refused: NotAllowed) -> None:
        if resource not in self._told:
            self._told.add(resource)
            log.info(
                "does without a right",
                resource=resource.plural,
                effect=EFFECTS[resource],
                why=refused.message,
            )
