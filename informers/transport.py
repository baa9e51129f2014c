"""One request into one answer: connections, credentials, deadlines, and the retries HTTP asks for.

The lower half of the wire: it knows HTTP and `Endpoint`s, and nothing of Kubernetes but the shape
of an error. wire.py calls it and nobody else does. Every failure leaves as a `KubeError`.

- Calls and watches have connection pools of their own: a watch pins its connection for minutes,
  and a hundred watches must not keep a Lease from being renewed.
- Dead peers are noticed by TCP keepalive and TCP_USER_TIMEOUT (about 30 s), by the deadline every
  call has, and by the idle deadline every read of a watch has.
- A 401 loads the credentials anew once and tries again. Pod tokens are re-read before they age.
- 429 and 5xx are retried only when the server sends Retry-After, at most ten times, and never
  beyond the call's deadline (as client-go rest/with_retry.go).
- Answers are not compressed: inside a cluster the API server's processor is dearer than the wire.
- A WebSocket is a request like any other until it is upgraded: same credentials, proxy and errors.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import socket
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from informers.errors import (
    ConfigurationError,
    StatusError,
    TransportError,
    UnauthorizedError,
    error_from_status,
    transport_error,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from informers.kubeconfig import Endpoint, Source

logger = logging.getLogger(__name__)

_MAX_ATTEMPTS = 10
_CONNECT_TIMEOUT_S = 10.0
# client-go runs at most as many calls as its workers make; a limit only guards against a flood.
_MAX_CALL_CONNECTIONS = 64
# Below the 90 s after which a kube-apiserver closes idle connections itself.
_KEEPALIVE_S = 60.0
# A refused credential is not loaded more often than this, however many calls are refused.
_RELOAD_INTERVAL_S = 5.0


class RequestObserver(Protocol):
    """Told of every HTTP request, for metrics."""

    def on_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """`verb` as in RBAC; `resource` is the plural; `code` the HTTP status, or "error" when no
        answer came; `seconds` until the whole answer, for watches until its headers.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request, replayable. `verb` and `resource` are for metrics and error messages."""

    method: str
    path: str
    verb: str
    resource: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    content_type: str = "application/json"

    @property
    def what(self) -> str:
        """For error messages."""
        return f"{self.verb} {self.path}"


class Transport:
    """Sends requests to one API server. Made inside a running loop; `close` it there."""

    def __init__(
        self,
        source: Source,
        endpoint: Endpoint,
        *,
        user_agent: str,
        observer: RequestObserver | None = None,
    ) -> None:
        self._source = source
        self._endpoint = endpoint
        self._loaded_at = _now()
        self._reloaded_at = -math.inf
        self._reloading = asyncio.Lock()
        self._observer = observer
        self._random = random.Random()  # noqa: S311 - spreads retries, guards no secret
        self._calls = _session(user_agent, max_connections=_MAX_CALL_CONNECTIONS)
        self._watches = _session(user_agent, max_connections=0)  # the reflectors are the limit
        self._websockets = _session(user_agent, max_connections=0, middlewares=(_only_upgrades,))

    @property
    def endpoint(self) -> Endpoint:
        return self._endpoint

    async def close(self) -> None:
        """Close all connections; calls and watches still running fail with TransportError."""
        await self._websockets.close()
        await self._watches.close()
        await self._calls.close()
        await asyncio.sleep(0)  # the transports' own close callbacks

    async def send(self, request: Request, *, timeout_s: float) -> bytes:
        """The body of a 2xx answer, within `timeout_s` in all, retries included.

        Raises StatusError or TransportError. After cancellation, or any error but a refusal, a
        write may or may not have happened.
        """
        deadline = _now() + timeout_s
        with _transport_errors(request):
            async with asyncio.timeout_at(deadline):
                for _ in range(_MAX_ATTEMPTS - 1):
                    answer = await self._attempt(request)
                    wait_s = self._wait_before_retry(answer)
                    if wait_s is None or _now() + wait_s >= deadline:
                        break
                    await asyncio.sleep(wait_s)
                else:
                    answer = await self._attempt(request)
        return answer.body_or_raise()

    @asynccontextmanager
    async def stream(
        self, request: Request, *, timeout_s: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """The body of a 2xx answer as it comes; `timeout_s` is for its headers.

        Raises as `send` does, without retries. The connection is closed when the block ends.
        """
        with _transport_errors(request):
            async with asyncio.timeout(timeout_s):
                response = await self._opened(request)
        try:
            yield response.content
        finally:
            _drop(response)

    async def websocket(
        self, request: Request, *, protocol: str, max_message_bytes: int, timeout_s: float
    ) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket that speaks `protocol`; the caller closes it. Raises as `stream` does.

        Pings and pongs are left to the caller, who alone knows when it isn't reading: an answer
        to a ping of ours waits behind data that nobody reads.
        """
        options: dict[str, Any] = {"protocols": (protocol,), "max_msg_size": max_message_bytes}
        started, code = _now(), "error"
        try:
            with _transport_errors(request):
                async with asyncio.timeout(timeout_s):
                    opened = await self._upgraded(request, options)
        except StatusError as refused:
            code = str(refused.status)
            raise
        else:
            code = "101"
            return opened
        finally:
            self._observe(request, code, started)

    async def _upgraded(
        self, request: Request, options: dict[str, Any]
    ) -> aiohttp.ClientWebSocketResponse:
        """A 401 is answered with fresh credentials, once."""
        endpoint = await self._fresh_endpoint()
        try:
            return await self._upgrade(request, endpoint, options)
        except UnauthorizedError:
            renewed = await self._reload(endpoint)
            if renewed is endpoint:
                raise
            return await self._upgrade(request, renewed, options)

    async def _upgrade(
        self, request: Request, endpoint: Endpoint, options: dict[str, Any]
    ) -> aiohttp.ClientWebSocketResponse:
        _require_open(self._websockets, request)
        opened: aiohttp.ClientWebSocketResponse = await self._websockets.ws_connect(
            endpoint.url + request.path,
            params=request.params,
            # A kubelet answers 406 to who would have JSON of a stream.
            headers={**_headers(request, endpoint), "Accept": "*/*"},
            ssl=endpoint.tls or True,
            server_hostname=endpoint.server_hostname,
            proxy=endpoint.proxy,
            autoping=False,
            **options,
        )
        return opened

    async def _opened(self, request: Request) -> aiohttp.ClientResponse:
        started, code = _now(), "error"
        try:
            response = await self._authorized(self._watches, request)
            if not 200 <= response.status < 300:
                async with response:
                    body = await response.read()
                code = str(response.status)
                raise error_from_status(response.status, body, response.headers)
            code = str(response.status)
            return response
        finally:
            self._observe(request, code, started)

    async def _attempt(self, request: Request) -> _Answer:
        started, code = _now(), "error"
        try:
            response = await self._authorized(self._calls, request)
            async with response:
                body = await response.read()
            code = str(response.status)
            return _Answer(response.status, body, response.headers)
        finally:
            self._observe(request, code, started)

    async def _authorized(
        self, session: aiohttp.ClientSession, request: Request
    ) -> aiohttp.ClientResponse:
        """The answer's head; a 401 is answered with fresh credentials, once."""
        endpoint = await self._fresh_endpoint()
        response = await self._head(session, request, endpoint)
        if response.status != 401:
            return response
        renewed = await self._reload(endpoint)
        if renewed is endpoint:
            return response
        response.release()
        return await self._head(session, request, renewed)

    async def _head(
        self, session: aiohttp.ClientSession, request: Request, endpoint: Endpoint
    ) -> aiohttp.ClientResponse:
        _require_open(session, request)
        return await session.request(
            request.method,
            endpoint.url + request.path,
            params=request.params,
            data=request.body,
            headers=_headers(request, endpoint),
            ssl=endpoint.tls or True,
            server_hostname=endpoint.server_hostname,
            proxy=endpoint.proxy,
            allow_redirects=False,  # a redirect would carry the token elsewhere
        )

    async def _fresh_endpoint(self) -> Endpoint:
        max_age_s = self._source.max_age_s
        if max_age_s is not None and _now() - self._loaded_at > max_age_s:
            return await self._reload(self._endpoint)
        return self._endpoint

    async def _reload(self, used: Endpoint) -> Endpoint:
        """An endpoint loaded after `used` was, or `used` itself if there is none to be had."""
        async with self._reloading:
            if self._endpoint is not used or _now() - self._reloaded_at < _RELOAD_INTERVAL_S:
                return self._endpoint
            self._loaded_at = self._reloaded_at = _now()
            try:
                self._endpoint = await self._source.load()
            except ConfigurationError as error:
                logger.warning("credentials could not be loaded again: %s", error)
            return self._endpoint

    def _wait_before_retry(self, answer: _Answer) -> float | None:
        """Seconds until the server wants the request again; None: it does not."""
        if answer.status != 429 and answer.status < 500:
            return None
        if "Retry-After" not in answer.headers:
            return None
        asked_s = error_from_status(answer.status, answer.body, answer.headers).retry_after_s
        return max(asked_s or 0.0, 0.1) * self._random.uniform(1.0, 1.25)

    def _observe(self, request: Request, code: str, started: float) -> None:
        if self._observer is not None:
            self._observer.on_request(request.verb, request.resource, code, _now() - started)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]

    def body_or_raise(self) -> bytes:
        if 200 <= self.status < 300:
            return self.body
        raise error_from_status(self.status, self.body, self.headers)


@contextmanager
def _transport_errors(request: Request) -> Iterator[None]:
    try:
        yield
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise transport_error(request.what, error) from error


def _drop(response: aiohttp.ClientResponse) -> None:
    """Close its connection at once: TLS would wait half a minute for the goodbye of a dead peer."""
    connection = response.connection  # None once the body has come to its end
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _only_upgrades(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Reads what a server says that does not upgrade: aiohttp would drop its words.

    A redirect ends here as well, before the token could be carried elsewhere.
    """
    response = await handler(request)
    if response.status == 101:
        return response
    async with response:
        body = await response.read()
    raise error_from_status(response.status, body, response.headers)


def _require_open(session: aiohttp.ClientSession, request: Request) -> None:
    if session.closed:
        msg = f"{request.what}: the client is closed"
        raise TransportError(msg)


def _headers(request: Request, endpoint: Endpoint) -> dict[str, str]:
    headers = {}
    if endpoint.authorization is not None:
        headers["Authorization"] = endpoint.authorization
    if request.body is not None:
        headers["Content-Type"] = request.content_type
    return headers


def _session(
    user_agent: str,
    *,
    max_connections: int,
    middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = (),
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=max_connections,
            keepalive_timeout=_KEEPALIVE_S,
            socket_factory=_socket,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        },
        # No total: `asyncio.timeout` around each call is the deadline, retries included.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        read_bufsize=2**18,
        middlewares=middlewares,
    )


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, type_, protocol, _, _ = address
    made = socket.socket(family=family, type=type_, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE_OPTIONS:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


# After 15 s of silence ask every 5 s, three times; give up on unacknowledged data after 30 s.
# These names exist on Linux; elsewhere the system's own values must do.
_KEEPALIVE_OPTIONS = tuple(
    (getattr(socket, name), value)
    for name, value in (
        *(("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)),
        ("TCP_USER_TIMEOUT", 30_000),
    )
    if hasattr(socket, name)
)


def _now() -> float:
    return asyncio.get_running_loop().time()
