"""Every object in scope as of one moment, page by page: the list half of list and watch.

Used by the reflector, which decides the version to ask for. It must never return a mixture of
moments, or an emptier list than the server's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from typing_extensions import override

from informers.decode import Object, decode_object, decode_page
from informers.errors import ExpiredError
from informers.wire import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from informers.resource import Resource
    from informers.wire import WatchStream

# The API server ends requests after 60 s itself: what is silent for longer is dead.
_LIST_TIMEOUT_S = 65.0
# Objects decoded before other tasks get a turn: one or two milliseconds.
_SLICE = 100


class ListWatch(Protocol):
    """What is needed of `KubeApi`."""

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        params: Mapping[str, str],
        timeout_s: float,
    ) -> bytes: ...

    def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        params: Mapping[str, str],
        timeout_s: float,
    ) -> AbstractAsyncContextManager[WatchStream]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which objects of a resource type: those of a namespace (None: of all), by labels."""

    resource: Resource
    namespace: str | None = None
    label_selector: str | None = None

    def params(self, **more: str) -> dict[str, str]:
        return ({"labelSelector": self.label_selector} if self.label_selector else {}) | more

    @override
    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.resource.plural}{where}"


@dataclass(slots=True)
class Lister:
    """Lists one scope; remembers whether the server's cache answers or etcd does."""

    api: ListWatch
    scope: Scope
    _server_pages: bool = False  # the server's cache is off: it pages even at version "0"

    async def at(self, version: str) -> tuple[str, list[Object]]:
        """(resourceVersion, objects) of a list not older than `version`, or of the newest for "".

        "0" takes what the server's cache has. Raises ExpiredError or ResourceVersionTooLargeError
        when the server does not serve that version, and what `ListWatch` and decoding raise.
        """
        params = {"resourceVersion": version} if version else {}
        if version in {"", "0"} or self._server_pages:
            params["limit"] = str(PAGE_SIZE)
        first_version, token, objects = await self._page(params)
        if token and version == "0":
            self._server_pages = True
        while token:
            try:
                # Neither version nor match may go with a token: the token has both.
                _, token, more = await self._page({"limit": str(PAGE_SIZE), "continue": token})
            except ExpiredError:
                params.pop("limit", None)  # at once and whole, so no token can expire again
                first_version, token, objects = await self._page(params)
            else:
                objects += more
        return first_version, objects

    async def _page(self, params: dict[str, str]) -> tuple[str, str, list[Object]]:
        body = await self.api.list_page(
            self.scope.resource,
            namespace=self.scope.namespace,
            params=self.scope.params(**params),
            timeout_s=_LIST_TIMEOUT_S,
        )
        page = decode_page(body)
        objects: list[Object] = []
        for start in range(0, len(page.items), _SLICE):
            part = page.items[start : start + _SLICE]
            objects += [decode_object(raw, self.scope.resource) for raw in part]
            await asyncio.sleep(0)
        return page.resource_version, page.continue_token, objects
