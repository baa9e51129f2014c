"""Reaches the etcd in a pod through the API server, for an operator that runs outside.

gRPC connects to a Unix socket in a directory of our own; each connection it makes there becomes
one port-forward to the pod, and ends with it. TLS, where there is any, is between gRPC and etcd:
nothing in between sees into it. Used by `etcd.pool` in place of `DirectDialer`.

- Bytes are handed on one piece at a time, from one socket to the other, and nothing is read before
  the last piece is gone: a slow side slows the other down, and memory stays flat.
- gRPC comes back once a second while a member does not answer. An API server that can't be reached
  is tried each time; one that has refused is left alone for a while, growing to half a minute.
- What is refused is logged once per cluster and kind of refusal, until it works again.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import socket
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

import structlog
from typing_extensions import override

from controllers.socket_folder import SocketFolder
from controllers.task_set import TaskSet
from etcd.dialer import DirectConnection, open_channel
from informers.backoff import Backoff
from informers.errors import ForbiddenError, KubeError, NotFoundError, StatusError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from etcd.dialer import Endpoint
    from etcd.tls import ClientTLS

log = structlog.get_logger(__name__)

# What is in our hands at once, in each direction; the port-forward's own messages are as large.
_PIECE_BYTES: Final = 2**15
# gRPC gives an attempt up after 3 s: what is opened later than that is opened for nobody.
_OPEN_TIMEOUT_S: Final = 5.0
# gRPC reads whenever there is something to read; when it has not for so long, it is gone.
_STALLED_S: Final = 30.0
# The longest pause after a refusal, stretched at random by up to itself: a right that is granted is
# found within half a minute.
_REFUSED_PAUSE_S: Final = 15.0
# Until sockets are accepted again after the process ran out of file descriptors.
_OUT_OF_FILES_S: Final = 1.0
_BACKLOG: Final = 16


class Stream(Protocol):
    """An open port-forward, as `informers.port_forward.PortForward`."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class PodPorts(Protocol):
    """What opens port-forwards, as `informers.wire.KubeApi`. Raises KubeError."""

    def port_forward(
        self, *, namespace: str, pod: str, port: int, timeout_s: float
    ) -> AbstractAsyncContextManager[Stream]: ...


class PortForwardDialer:
    """Dials pods by name: works wherever the API server can be reached."""

    def __init__(self, pods: PodPorts) -> None:
        self._pods = pods
        self._complaints = Complaints()

    def dial(self, endpoint: Endpoint, tls: ClientTLS | None) -> PortForwardConnection:
        """A channel to that pod. Must be called on the running loop.

        Raises OSError when no socket can be made. Closing the connection takes everything down.
        """
        forwarder = Forwarder(self._pods, endpoint, self._complaints)
        try:
            return PortForwardConnection(forwarder, endpoint, tls)
        except BaseException:
            forwarder.stop_listening()
            raise


class PortForwardConnection(DirectConnection):
    """A channel, and the port-forwards under it."""

    def __init__(self, forwarder: Forwarder, endpoint: Endpoint, tls: ClientTLS | None) -> None:
        super().__init__(open_channel(forwarder.target, fqdn=endpoint.fqdn, tls=tls))
        self._forwarder = forwarder

    @property
    @override
    def obstacle(self) -> str:
        return self._forwarder.obstacle

    @override
    async def close(self) -> None:
        try:
            await super().close()
        finally:
            await self._forwarder.close()


class Complaints:
    """Tells each kind of refusal once per cluster; again only after something worked in between."""

    def __init__(self) -> None:
        self._told: set[tuple[str, type[StatusError]]] = set()

    def tell(self, endpoint: Endpoint, error: StatusError) -> None:
        kind = (endpoint.cluster, type(error))
        if kind not in self._told:
            self._told.add(kind)
            why = explain(error, endpoint)
            log.warning("etcd is not reachable", cluster=endpoint.cluster, why=why)

    def forget(self, endpoint: Endpoint) -> None:
        """Something worked for this cluster."""
        self._told = {kind for kind in self._told if kind[0] != endpoint.cluster}


def explain(error: StatusError, endpoint: Endpoint) -> str:
    """Why the pod is not reached, for who reads the log. Pure."""
    if isinstance(error, ForbiddenError):
        return (
            f"may not forward ports in namespace {endpoint.namespace} (an operator outside of the"
            f" cluster needs get and create on pods/portforward): {error.message}"
        )
    return f"pod {endpoint.namespace}/{endpoint.pod}: {error}"


# What is said, beside 404, of a pod that the node has removed a moment before the API server does
# (kubelet pkg/kubelet/kubelet_pods.go, GetPortForward), and of its successor before it has a node
# (pkg/registry/core/pod/strategy.go, streamLocation).
_NOT_THERE: Final = ("pod not found (", "does not have a host assigned")


def is_about_a_missing_pod(error: StatusError) -> bool:
    """Whether nothing bars the way but that the pod isn't there, of which others tell. Pure."""
    return isinstance(error, NotFoundError) or any(w in error.message for w in _NOT_THERE)


class Forwarder:
    """A Unix socket whose connections end at a port of one pod. `close` must be called.

    obstacle: why the API server doesn't let us through at present; empty when nothing is known.
    """

    def __init__(self, pods: PodPorts, endpoint: Endpoint, complaints: Complaints) -> None:
        self._pods = pods
        self._endpoint = endpoint
        self._complaints = complaints
        self.obstacle = ""
        self._random = random.Random()  # noqa: S311 - spreads retries, guards no secret
        self._backoff = self._new_backoff()
        self._not_before = 0.0
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskSet(self._on_failure)
        self._open: set[socket.socket] = set()
        # For nobody else: who could connect to the socket would be the operator to etcd.
        self._folder = SocketFolder()
        self._listener = self._listen()

    @property
    def target(self) -> str:
        """The socket as gRPC names it."""
        return f"unix:{quote(self._folder.socket)}"

    def stop_listening(self) -> None:
        """Takes socket and directory away: no new connections. Safe to repeat."""
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()
        self._folder.remove()

    async def close(self) -> None:
        """Ends all connections, and waits until their tasks have ended. Safe to repeat.

        Cancelled: everything is closed, and the tasks are cancelled but not awaited.
        """
        self.stop_listening()
        try:
            await self._tasks.stop(grace_s=0.0)
        finally:
            # Those whose tasks were cancelled before they began.
            while self._open:
                self._open.pop().close()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(self._folder.socket)
            listener.listen(_BACKLOG)
            self._accept_from(listener)
        except OSError:
            listener.close()
            self._folder.remove()
            raise
        return listener

    def _accept_from(self, listener: socket.socket) -> None:
        """In a context of its own: what is logged then belongs to no reconcile."""
        contextvars.Context().run(self._loop.add_reader, listener, self._accept)

    def _accept(self) -> None:
        """Called by the loop: unlike an `await`, it can't be cancelled with a socket in hand."""
        try:
            local, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self._pause_accepting(error)
            return
        if self._loop.time() < self._not_before:
            local.close()
            return
        local.setblocking(False)
        self._open.add(local)
        self._tasks.start(f"port-forward {self._endpoint.pod}", self._forward(local))

    def _pause_accepting(self, error: OSError) -> None:
        log.warning("cannot accept a connection", pod=self._endpoint.pod, error=str(error))
        self._loop.remove_reader(self._listener)
        self._loop.call_later(_OUT_OF_FILES_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            self._accept_from(self._listener)

    async def _forward(self, local: socket.socket) -> None:
        """One connection of gRPC's, from its beginning to its end, whichever side ends it."""
        where = self._endpoint
        try:
            async with self._pods.port_forward(
                namespace=where.namespace,
                pod=where.pod,
                port=where.port,
                timeout_s=_OPEN_TIMEOUT_S,
            ) as remote:
                await relay(local, remote, on_data=self._on_success)
        except* KubeError as failed:
            self._on_error(failed.exceptions[0])
        except* OSError as gone:  # gRPC's side
            self._on_error(gone.exceptions[0])
        finally:
            self._open.discard(local)
            local.close()

    def _new_backoff(self) -> Backoff:
        return Backoff(self._random, cap_s=_REFUSED_PAUSE_S)

    def _on_success(self) -> None:
        self.obstacle = ""
        self._backoff = self._new_backoff()
        self._complaints.forget(self._endpoint)

    def _on_error(self, error: BaseException) -> None:
        log.debug("a port-forward ended", pod=self._endpoint.pod, why=str(error))
        if isinstance(error, StatusError):
            wait_s = max(self._backoff.delay_s(self._loop.time()), error.retry_after_s or 0.0)
            self._not_before = self._loop.time() + wait_s
        if isinstance(error, StatusError) and not is_about_a_missing_pod(error):
            self.obstacle = explain(error, self._endpoint)
            self._complaints.tell(self._endpoint, error)

    def _on_failure(self, error: Exception) -> None:
        log.error("a port-forward failed", pod=self._endpoint.pod, exc_info=error)


async def relay(local: socket.socket, remote: Stream, *, on_data: Callable[[], None]) -> None:
    """Hands bytes on in both directions until one side ends. `on_data`: the first ones have come.

    Raises an ExceptionGroup of KubeError (remote) and OSError (local, and TimeoutError after half
    a minute in which nobody read). Cancelled: nothing is left running.
    """
    async with asyncio.TaskGroup() as group:
        directions = (
            group.create_task(_upload(local, remote)),
            group.create_task(_download(remote, local, on_data)),
        )
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for direction in directions:
            direction.cancel()


async def _upload(local: socket.socket, remote: Stream) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(local, _PIECE_BYTES):
        await remote.write(data)


async def _download(remote: Stream, local: socket.socket, on_data: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    is_first = True
    while data := await remote.read():
        if is_first:
            on_data()
            is_first = False
        async with asyncio.timeout(_STALLED_S):
            await loop.sock_sendall(local, data)
