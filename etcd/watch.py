"""Changes to keys as they happen: service `etcdserverpb.Watch`.

One call carries one watch here. Called by the change log of the backups and by tests; the
operator's own decisions never hang on a watch.
"""

from __future__ import annotations

import asyncio
import enum
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from etcd import rpc
from etcd.classify import classify
from etcd.errors import CompactedError, EtcdError, TransportCause, UnavailableError
from etcd.header import Header, header_of
from etcd.kv_wire import key_value
from etcd.proto import mvcc_pb2
from etcd.proto import watch_pb2 as pb

if TYPE_CHECKING:
    from types import TracebackType

    from etcd.kv_types import KeyValue
    from etcd.transport import Duplex, Transport

CREATE_TIMEOUT_S = 8.0


class EventKind(enum.Enum):
    """What happened to the key."""

    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change. kv of a DELETE: key and mod_revision only. prev_kv: None unless asked for."""

    kind: EventKind
    kv: KeyValue
    prev_kv: KeyValue | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBatch:
    """Changes in order; all of one revision are in one batch unless `fragment`: then more follows.

    No events: a progress notification. Everything up to header.revision has been delivered
    (trustworthy from 3.5.8 on, before any event from 3.5.13 on).
    """

    header: Header
    events: tuple[Event, ...]
    fragment: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRange:
    """Watches [key, range_end), from start_revision on (0: from now on).

    progress_notify: an empty batch when nothing happened for ten minutes. fragment: big revisions
    may come in pieces.
    """

    key: bytes
    range_end: bytes = b""
    start_revision: int = 0
    progress_notify: bool = False
    prev_kv: bool = False
    fragment: bool = False


class WatchClient:
    """Watches, at one member."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def open(self, watched: WatchRange, *, timeout_s: float = CREATE_TIMEOUT_S) -> WatchStream:
        """`async with client.watch.open(...) as stream:` entering waits for the server's consent.

        timeout_s: for that consent, and for asking for progress. Entering raises EtcdError:
        PermissionDeniedError without rights on the whole range, CompactedError for a start
        that is gone.
        """
        return WatchStream(self._transport, watched, timeout_s)


class WatchStream:
    """An open watch, for one reader. After an error: open a new one at the next revision."""

    def __init__(self, transport: Transport, watched: WatchRange, timeout_s: float) -> None:
        self._transport = transport
        self._watched = watched
        self._timeout_s = timeout_s
        self._call: Duplex[pb.WatchRequest, pb.WatchResponse] | None = None
        # The read in flight. It outlives a `receive` that timed out, because cancelling it would
        # end the whole call; `__aexit__` cancels and awaits it.
        self._reading: asyncio.Future[pb.WatchResponse | None] | None = None

    async def __aenter__(self) -> Self:
        self._call = self._transport.duplex(rpc.WATCH)
        try:
            await self._call.write(_create(self._watched), timeout_s=self._timeout_s)
            created = await self._next(self._timeout_s)
            if created is None:
                raise _ended("the watch was not created in time", TransportCause.DEADLINE)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def receive(self, *, timeout_s: float) -> WatchBatch | None:
        """The next batch, or None if nothing came for `timeout_s` seconds: then simply call again.

        Raises CompactedError (with compact_revision) when the watch fell behind a compaction,
        PermissionDeniedError and the like when the server cancelled it, UnavailableError when the
        connection broke. Cancelled: nothing is lost, the next call goes on.
        """
        message = await self._next(timeout_s)
        if message is None:
            return None
        return WatchBatch(
            header=header_of(message.header),
            events=tuple(_event(e) for e in message.events),
            fragment=message.fragment,
        )

    async def request_progress(self) -> None:
        """Asks for a batch that says how far the watch is. It is answered in its turn."""
        request = pb.WatchRequest(progress_request=pb.WatchProgressRequest())
        await self._opened().write(request, timeout_s=self._timeout_s)

    def _opened(self) -> Duplex[pb.WatchRequest, pb.WatchResponse]:
        if self._call is None:
            raise RuntimeError("the watch is not open")
        return self._call

    async def _next(self, timeout_s: float) -> pb.WatchResponse | None:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._opened().read())
        done, _ = await asyncio.wait({self._reading}, timeout=timeout_s)
        if not done:
            return None
        message = self._reading.result()
        self._reading = None
        if message is None:
            raise _ended("the server ended the watch", TransportCause.CLOSED)
        if message.canceled:
            raise _cancelled(message)
        return message

    async def _close(self) -> None:
        call, self._call = self._call, None
        reading, self._reading = self._reading, None
        if call is not None:
            call.cancel()
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError, EtcdError):
                await reading


def _create(watched: WatchRange) -> pb.WatchRequest:
    return pb.WatchRequest(
        create_request=pb.WatchCreateRequest(
            key=watched.key,
            range_end=watched.range_end,
            start_revision=watched.start_revision,
            progress_notify=watched.progress_notify,
            prev_kv=watched.prev_kv,
            fragment=watched.fragment,
        )
    )


def _event(message: mvcc_pb2.Event) -> Event:
    deleted = message.type == mvcc_pb2.Event.DELETE
    return Event(
        kind=EventKind.DELETE if deleted else EventKind.PUT,
        kv=key_value(message.kv),
        prev_kv=key_value(message.prev_kv) if message.HasField("prev_kv") else None,
    )


def _cancelled(message: pb.WatchResponse) -> EtcdError:
    """Etcd cancels with a reason in words, which may be an error's text with gRPC's wrapping."""
    if message.compact_revision:
        compacted = CompactedError("required revision has been compacted", rpc="Watch")
        compacted.compact_revision = message.compact_revision
        return compacted
    reason = message.cancel_reason.rpartition("desc = ")[2]
    return classify(code="CANCELLED", message=reason, rpc="Watch")


def _ended(what: str, cause: TransportCause) -> UnavailableError:
    return UnavailableError(what, cause=cause, rpc="Watch")
