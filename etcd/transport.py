"""One channel to one member: calls with a deadline, an identity, typed errors and a measurement.

All modules with RPCs go through `Transport`; nothing else in the project touches a gRPC channel.
It never retries (see `etcd.retry` for reads), never logs, and never shows the token.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol

import grpc.aio

from etcd.classify import classify
from etcd.errors import EtcdError, TransportCause, UnavailableError
from etcd.rpc import Req, Resp, Rpc

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator


class CallObserver(Protocol):
    """Hears of every finished call; must not block and must not raise.

    rpc: `MemberList`; code: gRPC's name (`OK`, `UNAVAILABLE`), or `CANCELLED` where the caller gave
    up; seconds: from the call to its end, on the loop's clock.
    """

    def on_call(self, rpc: str, code: str, seconds: float) -> None: ...


class NoObserver:
    """Where nobody counts."""

    def on_call(self, rpc: str, code: str, seconds: float) -> None:
        """Hears and forgets."""


class Transport:
    """Calls on one channel.

    The channel belongs to whoever dialled it and is closed there; calls that this ends raise
    UnavailableError with cause CLOSED.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        observer: CallObserver | None = None,
        token: str = "",
    ) -> None:
        self._channel = channel
        self._observer = observer or NoObserver()
        self._metadata = (("token", token),) if token else ()

    def with_token(self, token: str) -> Transport:
        """The same channel, calling as the owner of `token` (the answer of Authenticate)."""
        return Transport(self._channel, observer=self._observer, token=token)

    async def unary(self, rpc: Rpc[Req, Resp], request: Req, *, timeout_s: float) -> Resp:
        """Sends one request and waits at most `timeout_s` seconds for its answer.

        Raises EtcdError. Cancelled: the call is cancelled at the server too, which may have
        applied it by then.
        """
        with measured(rpc.name, self._observer):
            method = self._channel.unary_unary(rpc.path, **_codecs(rpc))
            answer: Resp = await method(request, timeout=timeout_s, metadata=self._metadata)
            return answer

    async def stream(
        self, rpc: Rpc[Req, Resp], request: Req, *, timeout_s: float, idle_s: float
    ) -> AsyncGenerator[Resp]:
        """Sends one request and yields its answers: `timeout_s` for all, `idle_s` between two.

        Raises EtcdError, UnavailableError(DEADLINE) for both limits. Close the iterator
        (`contextlib.aclosing`) when leaving early: that ends the call at the server.
        """
        with measured(rpc.name, self._observer):
            method = self._channel.unary_stream(rpc.path, **_codecs(rpc))
            call = method(request, timeout=timeout_s, metadata=self._metadata)
            try:
                while (answer := await _read(call, rpc.name, idle_s)) is not grpc.aio.EOF:
                    yield answer
            finally:
                call.cancel()

    def duplex(self, rpc: Rpc[Req, Resp]) -> Duplex[Req, Resp]:
        """Starts a two-way call, which lasts until its owner cancels it or the server ends it."""
        with translated(rpc.name):
            method = self._channel.stream_stream(rpc.path, **_codecs(rpc))
            return Duplex(method(metadata=self._metadata), rpc, self._observer)


class Duplex(Generic[Req, Resp]):
    """A two-way call with one reader and one writer. Its owner must `cancel()` it."""

    def __init__(self, call: Any, rpc: Rpc[Req, Resp], observer: CallObserver) -> None:  # noqa: ANN401 - grpc.aio has no types
        self._call = call
        self._rpc = rpc.name
        self._observer = observer

    async def write(self, request: Req, *, timeout_s: float) -> None:
        """Sends one request. Raises EtcdError; after the deadline the call is dead."""
        with _deadline_as_error(self._rpc):
            async with asyncio.timeout(timeout_s):
                with translated(self._rpc):
                    await self._call.write(request)

    async def read(self) -> Resp | None:
        """The next answer, None at the server's end. Cancelled: the whole call is cancelled."""
        with translated(self._rpc):
            answer: Resp | None = await self._call.read()
            return None if answer is grpc.aio.EOF else answer

    async def exchange(self, request: Req, *, timeout_s: float) -> Resp | None:
        """One request, one answer, measured as a call. After the deadline the call is dead."""
        with measured(self._rpc, self._observer), _deadline_as_error(self._rpc):
            async with asyncio.timeout(timeout_s):
                await self._call.write(request)
                return await self.read()

    async def exchange_all(self, requests: Iterable[Req], *, timeout_s: float) -> list[Resp]:
        """All requests, then as many answers, or fewer where the server ends the call.

        At most some hundred at a time: the server waits for whom it answers. After the deadline the
        call is dead.
        """
        with measured(self._rpc, self._observer), _deadline_as_error(self._rpc):
            async with asyncio.timeout(timeout_s):
                sent = 0
                for request in requests:
                    await self._call.write(request)
                    sent += 1
                answers = [await self.read() for _ in range(sent)]
                return [answer for answer in answers if answer is not None]

    def cancel(self) -> None:
        """Ends the call; safe to repeat."""
        self._call.cancel()


@contextmanager
def translated(rpc: str) -> Iterator[None]:
    """Turns what gRPC raises in the block into EtcdError, from the original.

    A CancelledError that nobody asked this task for comes from a channel that was closed under the
    call; left alone it would look like the task's own cancellation and end it in silence.
    """
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise classify(
            code=failure.code().name, message=failure.details() or "", rpc=rpc
        ) from failure
    except grpc.aio.UsageError as failure:
        raise _closed(rpc, maybe_applied=False) from failure
    except asyncio.CancelledError as cancelled:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _closed(rpc, maybe_applied=True) from cancelled


@contextmanager
def measured(rpc: str, observer: CallObserver) -> Iterator[None]:
    """`translated`, and tells the observer how the block ended and how long it took."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    code = "CANCELLED"
    try:
        with translated(rpc):
            yield
        code = "OK"
    except EtcdError as failure:
        code = failure.code or "UNKNOWN"
        raise
    finally:
        observer.on_call(rpc, code, clock() - begin)


@contextmanager
def _deadline_as_error(rpc: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as late:
        raise UnavailableError(
            "nothing came before the deadline",
            cause=TransportCause.DEADLINE,
            code="DEADLINE_EXCEEDED",
            rpc=rpc,
        ) from late


async def _read(call: Any, rpc: str, idle_s: float) -> Any:  # noqa: ANN401 - grpc.aio has no types
    with _deadline_as_error(rpc):
        async with asyncio.timeout(idle_s):
            return await call.read()


def _codecs(rpc: Rpc[Req, Resp]) -> dict[str, Any]:
    return {
        "request_serializer": rpc.request.SerializeToString,
        "response_deserializer": rpc.response.FromString,
    }


def _closed(rpc: str, *, maybe_applied: bool) -> UnavailableError:
    return UnavailableError(
        "the channel was closed",
        cause=TransportCause.CLOSED,
        code="CANCELLED",
        rpc=rpc,
        maybe_applied=maybe_applied,
    )
