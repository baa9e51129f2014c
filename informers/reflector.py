"""One resource type of an API server into a stream of replacements and events, for ever.

The informer runs one reflector and is its `Sink`. It owns the protocol of list and watch: which
resourceVersion to ask for, what an error means, when to wait, when a list is needed. It must never
end by itself, lose an event in silence, or ask a struggling server more often than its backoff
allows.

    list ──> replace ──> watch ──event──> put, remove, advance
      ^                   │  └─ ended, idle, refused for now: wait, watch again from where we were
      └── wait ───────────┘ too old, cut by an error, unreadable: a list is needed

Rules, the first four as in client-go (tools/cache/reflector.go), with their reasons:

1. The first list takes what the server's cache has ("0"), later ones nothing older than what was
   seen, so time never runs backwards; only when the server refuses that version, once, the newest
   state is read from etcd ("").
2. Pages of 500 only where the server's cache does not answer anyway: a limit together with a
   version would send every restart of the API server straight to etcd.
3. A watch asks for bookmarks and for 300 to 600 s, at random, so that watches do not end together.
4. 410 needs a list, 429 never does.
5. Unlike client-go, an error while opening a watch (refused, 5xx, 401, 403, 404) does not cause a
   list either: nothing was missed yet, and if it was, the server will say 410.
6. A watch that says nothing for 90 s, bookmarks included, is dropped: HTTP/1.1 has no ping, and a
   dead connection looks like a quiet one. A server with bookmarks sends one about each minute.
7. Two backoffs, with the server's Retry-After as the lower bound of both: a short one for requests
   that were not served, as a server that is back must be found within ten seconds; and client-go's
   for watches that make another list necessary, as lists are dear (docs/adr/0012-two-backoffs.md).

With `streaming=True` (KEP-3157) the list comes as a watch that starts with all objects. A server
that refuses it, as older ones do, or opens it and then falls silent before its end, is asked for a
list instead, and for the stream again next time.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Never, Protocol

from informers.backoff import Backoff
from informers.decode import (
    Bookmark,
    Failure,
    Object,
    Removed,
    Stored,
    Unknown,
    decode_event,
)
from informers.errors import (
    ExpiredError,
    ForbiddenError,
    KubeError,
    NotFoundError,
    ResourceVersionTooLargeError,
    ServerError,
    StatusError,
    StreamIdleError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
    UnreadableError,
)
from informers.lines import shares
from informers.listing import Lister, ListWatch, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from informers.wire import WatchStream

logger = logging.getLogger(__name__)

_WATCH_MIN_S, _WATCH_MAX_S = 300, 600
IDLE_S = 90.0
# Initial events come from the server's memory, one after the other: a silence this long means that
# their end will not come, and a list is the better way.
_INITIAL_IDLE_S = 30.0
_REMIND_S = 10.0
# How much longer than asked for a watch may live, for the server's own delays.
_OVERSTAY_S = 5.0
# A watch that ends sooner, and brought nothing, is a failure: else a closing proxy is a hot loop.
_SHORT_WATCH_S = 1.0
# A server under load lets requests queue for a quarter of its 60 s before it refuses them; who
# gives up sooner joins the queue again at its end.
_OPEN_TIMEOUT_S = 16.0
# Guards against a proxy's Retry-After of hours; API servers ask for seconds.
_MAX_RETRY_AFTER_S = 300.0
# Pauses of 4 to 8 s at the most, the short ones again after 10 s without a failure.
_RETRY_CAP_S, _RETRY_RESET_S = 4.0, 10.0
# Pauses of 30 to 60 s at the most. A server that is started anew refuses the versions from before,
# so a relist is also the price of every restart: half a minute must be enough to forgive it.
_RELIST_CAP_S, _RELIST_RESET_S = 30.0, 30.0
# The same failure, again and again, is no news.
_SAY_AGAIN_S = 60.0


class Sink(Protocol):
    """Where it all goes. A method that raises ends the reflector."""

    async def replace(self, objects: Sequence[Object], resource_version: str) -> None: ...
    def put(self, obj: Object) -> None: ...
    def remove(self, obj: Object) -> None: ...
    def advance(self, resource_version: str) -> None: ...
    def failed(self, error: KubeError) -> None:
        """Told of every error; the reflector goes on by itself."""

    def recovered(self) -> None:
        """A list or the opening of a watch succeeded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorStatistics:
    """Counters since the start."""

    lists: int = 0
    watches: int = 0
    short_watches: int = 0
    idle_watches: int = 0
    failures: int = 0


class _ErrorEvent(KubeError):  # noqa: N818 - carries an error, is none of its own
    """The server ended a watch by an ERROR event; what comes after it is lost."""

    def __init__(self, error: StatusError) -> None:
        super().__init__(str(error))
        self.error = error


class ShortWatchError(KubeError):
    """A watch ended within a second without an event."""


@dataclass(slots=True)
class Reflector:
    """See the module. `run` it once, in a task of its own.

    `idle_s`: a watch that brings nothing for so long is taken for dead.
    """

    api: ListWatch
    scope: Scope
    sink: Sink
    random: random.Random = field(default_factory=random.Random)
    streaming: bool = True
    idle_s: float = IDLE_S
    _version: str = ""  # of the last event, bookmark or list; "" before the first
    _refused: bool = False  # the server does not serve `_version` any more
    _statistics: ReflectorStatistics = field(default_factory=ReflectorStatistics)
    _lister: Lister = field(init=False)
    _retries: Backoff = field(init=False)  # after requests that were not served
    _relists: Backoff = field(init=False)  # after answers that make a list necessary
    _said: tuple[str, float] = ("", 0.0)  # the last warning, and when

    def __post_init__(self) -> None:
        self._lister = Lister(self.api, self.scope)
        self._retries = Backoff(self.random, cap_s=_RETRY_CAP_S, reset_after_s=_RETRY_RESET_S)
        self._relists = Backoff(self.random, cap_s=_RELIST_CAP_S, reset_after_s=_RELIST_RESET_S)

    def statistics(self) -> ReflectorStatistics:
        return self._statistics

    async def run(self) -> Never:
        """List and watch until cancelled; cancelling breaks off any request or wait at once.

        Raises only what the sink or a defect raises.
        """
        while True:
            try:
                if not (self.streaming and await self._stream()):
                    await self._list()
                await self._follow()
            except KubeError as error:
                await self._pause(error)

    # ------------------------------------------------------------------ list
    async def _list(self) -> None:
        """Fill the sink from a list, as rule 1 says."""
        wanted = "" if self._refused else self._version or "0"
        try:
            await self._list_at(wanted)
        except (ExpiredError, ResourceVersionTooLargeError) as error:
            if wanted == "":
                raise
            logger.info(
                "%s: version %s is not served (%s), listing anew", self.scope, wanted, error
            )
            self._refused = True
            await self._list_at("")

    async def _list_at(self, version: str) -> None:
        self._count(lists=1)
        found_version, objects = await self._lister.at(version)
        await self._replace(objects, found_version)

    async def _replace(self, objects: Sequence[Object], version: str) -> None:
        await self.sink.replace(objects, version)
        self._version, self._refused = version, False
        self.sink.recovered()

    # ------------------------------------------------------------------ watch
    async def _follow(self) -> Never:
        """Watch, again and again, from the last version; raises when a list is needed."""
        while True:
            try:
                seconds = self._watch_seconds()
                async with self._open({"timeoutSeconds": str(seconds)}) as stream:
                    self.sink.recovered()
                    await self._consume(stream, seconds)
            except KubeError as error:
                await self._survive(error)

    async def _survive(self, error: KubeError) -> None:
        """Return when it is time for the next watch; raise `error` when that can't help."""
        if isinstance(error, StreamIdleError):
            self._count(idle_watches=1)
            logger.info("%s: %s; connecting again", self.scope, error)
        elif needs_list(error):
            raise error
        else:
            await self._pause(error)

    def _watch_seconds(self) -> int:
        return self.random.randint(_WATCH_MIN_S, _WATCH_MAX_S)

    def _open(self, params: dict[str, str]) -> AbstractAsyncContextManager[WatchStream]:
        self._count(watches=1)
        fixed = {"allowWatchBookmarks": "true", "resourceVersion": self._version}
        return self.api.watch(
            self.scope.resource,
            namespace=self.scope.namespace,
            params=self.scope.params(**(fixed | params)),
            timeout_s=_OPEN_TIMEOUT_S,
        )

    async def _consume(self, stream: WatchStream, seconds: int) -> None:
        """Hand over events until the watch ends well; raises what ends it otherwise."""
        started = _now()
        events = 0
        ends_at = started + seconds + _OVERSTAY_S
        while lines := await self._lines(stream, ends_at, self.idle_s):
            events += await self._handle_all(lines)
        if events == 0 and _now() - started < _SHORT_WATCH_S:
            self._count(short_watches=1)
            raise ShortWatchError("the watch ended at once, without an event")

    async def _lines(self, stream: WatchStream, ends_at: float, idle_s: float) -> list[bytes]:
        left_s = ends_at - _now()
        if left_s <= 0:
            raise StreamIdleError("the watch outlived the time it was asked for")
        return await stream.lines(idle_s=min(idle_s, left_s))

    async def _handle_all(self, lines: Sequence[bytes]) -> int:
        """Pass all on, with turns for others; how many were about objects.

        However fast the server is, whoever works on what it tells must keep pace.
        """
        events = 0
        for share in shares(lines):
            events += sum(map(self._handle, share))
            await asyncio.sleep(0)
        return events

    def _handle(self, line: bytes) -> int:
        """Pass one event on; 1 if it was about an object."""
        match decode_event(line, self.scope.resource):
            case Stored(obj):
                self.sink.put(obj)
                self._version = obj.resource_version
                return 1
            case Removed(obj):
                self.sink.remove(obj)
                self._version = obj.resource_version
                return 1
            case Bookmark(version):
                self.sink.advance(version)
                self._version = version
            case Failure(error):
                raise _ErrorEvent(error)
            case Unknown(reason):
                logger.warning("%s: skipped an event: %s", self.scope, reason)
        return 0

    # ------------------------------------------------------------------ streaming list
    async def _stream(self) -> bool:
        """Fill the sink from a watch that starts with all objects, then follow that very watch.

        False when the server won't: a list is needed this time. Raises when neither the stream
        nor a list makes sense before a pause.
        """
        seconds = self._watch_seconds()
        filled = False
        try:
            async with self._open(self._stream_params(seconds)) as stream:
                with self._reminders():
                    rest = await self._fill(stream, seconds)
                filled = True
                await self._handle_all(rest)
                await self._consume(stream, seconds)
        except KubeError as error:
            if filled:
                await self._survive(error)
            else:
                return self._refuse(error)
        return True

    def _stream_params(self, seconds: int) -> dict[str, str]:
        return {
            "resourceVersion": "" if self._refused else self._version,
            "resourceVersionMatch": "NotOlderThan",
            "sendInitialEvents": "true",
            "timeoutSeconds": str(seconds),
        }

    async def _fill(self, stream: WatchStream, seconds: int) -> list[bytes]:
        """Collect until the bookmark that ends the initial events, then replace once.

        The lines after that bookmark are returned, for whoever follows the stream.
        """
        staged: dict[str, Object] = {}
        ends_at = _now() + seconds + _OVERSTAY_S
        idle_s = min(self.idle_s, _INITIAL_IDLE_S)
        while lines := await self._lines(stream, ends_at, idle_s):
            at = 0
            for share in shares(lines):
                for line in share:
                    at += 1
                    if (version := self._stage(line, staged)) is not None:
                        await self._replace(list(staged.values()), version)
                        return lines[at:]
                await asyncio.sleep(0)
        raise TransportError("the stream ended before it had sent all objects")

    def _stage(self, line: bytes, staged: dict[str, Object]) -> str | None:
        """Note one initial event; the version of the whole when it was the last one."""
        match decode_event(line, self.scope.resource):
            case Stored(obj):
                staged[obj.key] = obj
            case Removed(obj):
                staged.pop(obj.key, None)
            case Bookmark(version, ends_initial_events=True):
                return version
            case Failure(error):
                raise error
            case Bookmark() | Unknown():
                pass
        return None

    @contextmanager
    def _reminders(self) -> Iterator[None]:
        """Warn every ten seconds while the initial events have no end."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def remind(waited_s: float) -> None:
            nonlocal timer
            logger.warning("%s: after %.0f s the initial events go on", self.scope, waited_s)
            timer = loop.call_later(_REMIND_S, remind, waited_s + _REMIND_S)

        timer = loop.call_later(_REMIND_S, remind, _REMIND_S)
        try:
            yield
        finally:
            timer.cancel()

    def _refuse(self, error: KubeError) -> bool:
        """Raise `error` when the stream may be tried again after a pause; else False: list.

        Unlike client-go, a stream that fell silent causes a list: a server that ignores the
        request, or can't tell when it is done, would else keep this cache empty for ever.
        """
        match error:
            case ExpiredError() | ResourceVersionTooLargeError():
                self._refused = True
                raise error
            case StreamIdleError():
                self._count(idle_watches=1)
                logger.warning("%s: the streaming list has no end (%s)", self.scope, error)
                return False
            case TooManyRequestsError() | TransportError():
                raise error
            case _:
                logger.info("%s: no streaming list (%s), listing", self.scope, error)
                return False

    # ------------------------------------------------------------------ failures
    async def _pause(self, error: KubeError) -> None:
        cause = error.error if isinstance(error, _ErrorEvent) else error
        self._count(failures=1)
        self.sink.failed(cause)
        backoff = self._relists if needs_list(error) else self._retries
        delay_s = backoff.delay_s(_now())
        if isinstance(cause, StatusError) and cause.retry_after_s is not None:
            delay_s = max(delay_s, min(cause.retry_after_s, _MAX_RETRY_AFTER_S))
        level = logging.WARNING if self._is_news(cause) else logging.DEBUG
        logger.log(level, "%s: %s; trying again in %.1f s", self.scope, cause, delay_s)
        await asyncio.sleep(delay_s)

    def _is_news(self, cause: KubeError) -> bool:
        """Whether to warn of it: not of expired versions, nor of the same within a minute."""
        said, said_at = self._said
        repeated = str(cause) == said and _now() < said_at + _SAY_AGAIN_S
        if repeated or isinstance(cause, ExpiredError):
            return False
        self._said = str(cause), _now()
        return True

    def _count(self, **more: int) -> None:
        now = self._statistics
        self._statistics = replace(now, **{k: getattr(now, k) + n for k, n in more.items()})


def needs_list(error: KubeError) -> bool:
    """Whether, after this end of a watch, another watch from the same version can't be right.

    Pure. True for anything not known to be harmless: a list costs little, a stale cache does not
    heal.
    """
    match error:
        case _ErrorEvent(error=TooManyRequestsError()):
            return False
        case _ErrorEvent() | UnreadableError() | ResourceVersionTooLargeError():
            return True
        case TransportError() | TooManyRequestsError() | ServerError():
            return False
        case UnauthorizedError() | ForbiddenError() | NotFoundError():
            return False
        case _:
            return True


def _now() -> float:
    return asyncio.get_running_loop().time()
