"""Kubernetes verbs into HTTP requests, and answers into plain dicts or typed errors.

The only way this project speaks to an API server: reflectors call `list_page` and `watch`,
reconcilers and the elector the rest. It holds no object models and no cache, and never retries a
refused write on its own judgement (see transport.py for what HTTP asks for).

Every call has a deadline that covers its retries. Errors are those of errors.py; after
TransportError or cancellation a write may or may not have happened, so writes must bear repeating.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp
import orjson

from informers.errors import StreamIdleError, TransportError, UnreadableError, transport_error
from informers.kubeconfig import find_source
from informers.lines import LineSplitter
from informers.port_forward import PortForward, open_port_forward
from informers.transport import Request, RequestObserver, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from informers.kubeconfig import Source
    from informers.resource import Resource

__all__ = ["KubeApi", "RequestObserver", "WatchStream", "connect"]

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML, and the server takes it

# What client-go asks for; larger pages cost the server memory, smaller ones round trips.
PAGE_SIZE = 500

Propagation = Literal["Background", "Foreground", "Orphan"]


class WatchStream:
    """The lines of one open watch."""

    def __init__(self, reader: aiohttp.StreamReader, what: str) -> None:
        self._reader = reader
        self._what = what
        self._splitter = LineSplitter()

    async def lines(self, *, idle_s: float) -> list[bytes]:
        """The next lines, one event each; [] when the server has ended the watch properly.

        Raises StreamIdleError after `idle_s` seconds without a byte, TransportError when the
        connection broke or the stream ended within a line. Cancelling loses no line.
        """
        while True:
            chunk = await self._read(idle_s)
            if not chunk:
                if self._splitter.is_mid_line:
                    msg = f"{self._what}: the stream ended within a line"
                    raise TransportError(msg)
                return []
            if lines := self._splitter.feed(chunk):
                return lines

    async def _read(self, idle_s: float) -> bytes:
        try:
            async with asyncio.timeout(idle_s):
                return await self._reader.readany()
        except TimeoutError as error:
            msg = f"{self._what}: nothing came for {idle_s:.0f} s"
            raise StreamIdleError(msg) from error
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError: aiohttp's word for a read that begins just after the connection broke.
            raise transport_error(self._what, error) from error


class KubeApi:
    """One API server. Made by `connect`; `async with` closes it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; calls and watches still running fail with TransportError."""
        await self._transport.close()

    @property
    def url(self) -> str:
        """The API server's address."""
        return self._transport.endpoint.url

    @property
    def namespace(self) -> str:
        """The namespace of the kubeconfig's context, or the one this pod runs in."""
        return self._transport.endpoint.namespace

    # ------------------------------------------------------------------ reading
    async def get(
        self, resource: Resource, *, namespace: str | None = None, name: str, timeout_s: float = 10
    ) -> dict[str, Any]:
        """One object as it is now (a quorum read); NotFoundError if there is none."""
        request = _request("get", resource, resource.path(namespace, name))
        return await self._call(request, timeout_s)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_s: float = 10,
    ) -> list[dict[str, Any]]:
        """All objects as of one moment (a quorum read, in pages), with `apiVersion` and `kind`.

        `timeout_s` is for each page. Raises ExpiredError if the pages took longer than the
        server keeps the moment (minutes).
        """
        params = _present({"labelSelector": label_selector, "fieldSelector": field_selector})
        params |= {"limit": str(PAGE_SIZE)}
        items: list[dict[str, Any]] = []
        while True:
            request = _request("list", resource, resource.path(namespace), params=params)
            page = await self._call(request, timeout_s)
            items += page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                break
            params["continue"] = token
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [head | item for item in items]

    async def log(
        self,
        resource: Resource,
        *,
        namespace: str,
        name: str,
        container: str,
        most_bytes: int,
        timeout_s: float = 10,
    ) -> str:
        """What a container has written so far, at most its first `most_bytes` (subresource log).

        NotFoundError where there is no such pod; BadRequest's StatusError before it has begun.
        """
        params = {"container": container, "limitBytes": str(most_bytes)}
        path = resource.path(namespace, name, "log")
        request = _request("get", resource, path, params=params)
        answer = await self._transport.send(request, timeout_s=timeout_s)
        return answer.decode(errors="replace")

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        params: Mapping[str, str],
        timeout_s: float = 10,
    ) -> bytes:
        """One LIST answer, undecoded; `params` are the query's, in the API's own names."""
        request = _request("list", resource, resource.path(namespace), params=params)
        return await self._transport.send(request, timeout_s=timeout_s)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        params: Mapping[str, str],
        timeout_s: float = 10,
    ) -> AsyncIterator[WatchStream]:
        """Open a watch; `timeout_s` is for the first answer, `params` as in `list_page`."""
        everything = {"watch": "true"} | dict(params)
        request = _request("watch", resource, resource.path(namespace), params=everything)
        async with self._transport.stream(request, timeout_s=timeout_s) as reader:
            yield WatchStream(reader, request.what)

    # ------------------------------------------------------------------ writing
    async def create(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        dry_run: bool = False,
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """The object as created; AlreadyExistsError if the name is taken."""
        path = resource.path(namespace)
        params = {"dryRun": "All"} if dry_run else {}
        request = _request("create", resource, path, params=params, body=body)
        return await self._call(request, timeout_s)

    async def replace(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        name: str,
        subresource: str | None = None,
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """The object as replaced; ConflictError if the body's uid or version is not current."""
        path = resource.path(namespace, name, subresource)
        request = _request("update", resource, path, body=body)
        return await self._call(request, timeout_s)

    async def apply(
        self,
        resource: Resource,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
        name: str,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """Server-side apply: the object as merged, created if it was absent.

        A body with `metadata.uid` is never created anew: ConflictError if that object is gone.
        Without `force`, fields of other managers are a ConflictError.
        """
        params = {"fieldManager": field_manager, "force": str(force).lower()}
        params |= {"dryRun": "All"} if dry_run else {}
        path = resource.path(namespace, name, subresource)
        request = _request(
            "patch", resource, path, params=params, body=body, content_type=_APPLY_PATCH
        )
        return await self._call(request, timeout_s)

    async def patch(
        self,
        resource: Resource,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        namespace: str | None = None,
        name: str,
        content_type: str = MERGE_PATCH,
        subresource: str | None = None,
        field_manager: str | None = None,
        dry_run: bool = False,
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """The object as patched. `content_type` says what `body` is: a list only for JSON_PATCH."""
        path = resource.path(namespace, name, subresource)
        params = {"fieldManager": field_manager} if field_manager else {}
        params |= {"dryRun": "All"} if dry_run else {}
        request = _request(
            "patch", resource, path, params=params, body=body, content_type=content_type
        )
        return await self._call(request, timeout_s)

    async def delete(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        name: str,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | None = None,
        grace_period_s: int | None = None,
        timeout_s: float = 10,
    ) -> dict[str, Any]:
        """A Status, or the object while finalizers hold it.

        `uid` and `resource_version` are preconditions: ConflictError if the object is another one
        by now, NotFoundError if it is gone.
        """
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if preconditions := _present({"uid": uid, "resourceVersion": resource_version}):
            options["preconditions"] = preconditions
        options |= _present(
            {"propagationPolicy": propagation, "gracePeriodSeconds": grace_period_s}
        )
        request = _request("delete", resource, resource.path(namespace, name), body=options)
        return await self._call(request, timeout_s)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        timeout_s: float = 10,
    ) -> bytes:
        """Any other endpoint, such as `/version`; the body of the answer as it came."""
        request = Request(
            method=method,
            path=path,
            verb=method.lower(),
            resource="",
            params=params or {},
            body=body,
            content_type=content_type,
        )
        return await self._transport.send(request, timeout_s=timeout_s)

    def port_forward(
        self, *, namespace: str, pod: str, port: int, timeout_s: float = 10
    ) -> AbstractAsyncContextManager[PortForward]:
        """A connection to a pod's port through the API server: see `open_port_forward`."""
        return open_port_forward(
            self._transport, namespace=namespace, pod=pod, port=port, timeout_s=timeout_s
        )

    async def _call(self, request: Request, timeout_s: float) -> dict[str, Any]:
        return _decode(await self._transport.send(request, timeout_s=timeout_s), request)


async def connect(
    *,
    kubeconfig: str | None = None,
    context: str | None = None,
    user_agent: str,
    observer: RequestObserver | None = None,
) -> KubeApi:
    """An API client for the given kubeconfig file and context, or whatever this process has.

    See `find_source` for the order. Nothing is sent yet: an unreachable server shows in the first
    call. `user_agent` names us in audit logs and in the server's priority and fairness; proxies
    come from the kubeconfig or the environment. Raises ConfigurationError.
    """
    return await connect_to(
        find_source(kubeconfig, context), user_agent=user_agent, observer=observer
    )


async def connect_to(
    source: Source, *, user_agent: str, observer: RequestObserver | None = None
) -> KubeApi:
    """`connect` for a source of one's own."""
    endpoint = await source.load()
    return KubeApi(Transport(source, endpoint, user_agent=user_agent, observer=observer))


_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


def _request(
    verb: str,
    resource: Resource,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    body: object = None,
    content_type: str = "application/json",
) -> Request:
    return Request(
        method=_METHODS[verb],
        path=path,
        verb=verb,
        resource=resource.plural,
        params=params or {},
        body=None if body is None else orjson.dumps(body),
        content_type=content_type,
    )


def _decode(body: bytes, request: Request) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        msg = f"{request.what}: the answer is not JSON: {error}"
        raise UnreadableError(msg) from error
    if not isinstance(value, dict):
        msg = f"{request.what}: the answer is not an object"
        raise UnreadableError(msg)
    return value


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
