"""HTTP requests into answers of an in-memory Kubernetes API, faults included, on loopback.

Tests of this room talk to it through the real wire; it knows no resource by name: any path of the
shape `/api/v1/...` or `/apis/<group>/<version>/...` holds objects, with resourceVersions,
optimistic locking, selectors, paging, watch history and compaction as a real server has them.

Faults come in three ways:
- `server.script("watch", answer_status(429), None)`: the next watch is refused, the one after is
  served; verbs are get, list, watch, create, update, patch, delete, and "*" for any; the steps
  are in api_faults.py;
- `server.on_every("list", abort)`: until `server.on_every("list", None)`;
- on open watches: `send_line`, `send_error`, `bookmark`, `end_watches`, `abort_watches`, `frozen`.

Everything runs in the test's own loop, so virtual time (`looptime`) holds here as well.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import uuid
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from tests.unit.informers.api_faults import Json, Step, abort, json_response, status_body
from tests.unit.informers.api_requests import Call, Target, parse, verb_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

_END = object()
_ABORT = object()


@dataclass(slots=True)
class _Watcher:
    target: Target
    selector: str
    queue: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)


@dataclass(frozen=True, slots=True)
class _Change:
    rv: int
    target: Target
    type: str
    obj: Json
    old: Json | None


class ApiServer:
    """See the module's docstring. Use as `async with running_server() as server`."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.revision = 100
        self.expired_as_status = False  # 410 of a watch: HTTP status instead of an ERROR event
        self.watch_cache = True  # False: `limit` is honoured at resourceVersion 0 too
        self.streaming_lists = True  # False: sendInitialEvents is refused as an old server does
        self.kinds = {"configmaps": "ConfigMap"}  # by plural; others have no streaming lists
        self.frozen = False  # True: open watches fall silent for ever, and stay open (half-open)
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Json]] = defaultdict(dict)
        self._history: list[_Change] = []
        self._compacted = 0
        self._quiet = False
        self._pages: dict[str, tuple[int, list[Json]]] = {}
        self._scripts: dict[str, deque[Step | None]] = defaultdict(deque)
        self._always: dict[str, Step] = {}
        self._watchers: list[_Watcher] = []
        self._changed = asyncio.Event()

    # -------------------------------------------------------------- script
    def script(self, verb: str, *steps: Step | None) -> None:
        """Give the next requests of `verb` these faults, in order; None serves the request."""
        self._scripts[verb].extend(steps)

    def on_every(self, verb: str, step: Step | None) -> None:
        if step is None:
            self._always.pop(verb, None)
        else:
            self._always[verb] = step

    def seen(self, verb: str) -> list[Call]:
        return [call for call in self.calls if call.verb == verb]

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when `condition()` holds; tried whenever a request or watch comes or goes.

        TimeoutError after ten minutes of the loop's time, which virtual time makes short.
        """
        async with asyncio.timeout(600):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_seen(self, verb: str, count: int = 1) -> list[Call]:
        await self.wait_until(lambda: len(self.seen(verb)) >= count)
        return self.seen(verb)

    async def wait_watchers(self, count: int = 1) -> None:
        await self.wait_until(lambda: len(self._watchers) == count)

    def compact(self) -> None:
        """Forget all history: watches and `continue` tokens from before are answered 410."""
        self._compacted = self.revision
        self._history.clear()

    def rewind(self, revision: int) -> None:
        """Go back in time, as a server whose etcd was restored from a backup."""
        self.revision = revision
        self.compact()

    # -------------------------------------------------------------- open watches
    @property
    def watcher_count(self) -> int:
        return len(self._watchers)

    def _send(self, item: Any) -> None:
        for watcher in self._watchers:
            watcher.queue.put_nowait(item)

    def send_line(self, line: bytes) -> None:
        """Put raw bytes on every open watch; the newline is yours."""
        self._send(line)

    def send_error(self, code: int, reason: str = "", message: str = "", **more: Any) -> None:
        body = status_body(code, reason, message, **more)
        self._send(_line("ERROR", body))

    def bookmark(self, *, kind: str = "ConfigMap", api_version: str = "v1") -> None:
        """Advance the revision, as other resources' writes do, and tell the watchers."""
        self.revision += 1
        self._send(_bookmark(self.revision, kind, api_version))

    def end_watches(self) -> None:
        self._send(_END)

    def abort_watches(self) -> None:
        self._send(_ABORT)

    # -------------------------------------------------------------- objects, from the test's side
    def objects(self, plural: str) -> dict[str, Json]:
        """Every stored object of that plural by `namespace/name`."""
        return {
            "/".join(filter(None, key)): obj
            for (_, kind), held in self._objects.items()
            if kind == plural
            for key, obj in held.items()
        }

    def put(self, path: str, obj: Json) -> Json:
        """Create or overwrite the object at `path` (its own path, with the name)."""
        target = parse(path)
        held = self._objects[target.collection]
        old = held.get(target.key)
        new = copy.deepcopy(obj)
        meta = new.setdefault("metadata", {})
        meta["name"] = target.name
        if target.namespace:
            meta["namespace"] = target.namespace
        meta["uid"] = (
            old["metadata"]["uid"] if old else obj["metadata"].get("uid", str(uuid.uuid4()))
        )
        return self._commit(target, "MODIFIED" if old else "ADDED", new, old)

    def remove(self, path: str) -> None:
        target = parse(path)
        old = self._objects[target.collection].get(target.key)
        assert old is not None, path
        self._commit(target, "DELETED", copy.deepcopy(old), old)

    @contextlib.contextmanager
    def unseen(self) -> Iterator[None]:
        """No watch, open or later, tells of the writes made in this block; only a list does."""
        self._quiet = True
        yield
        self._quiet = False
        self.compact()

    def _commit(self, target: Target, type_: str, obj: Json, old: Json | None) -> Json:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        held = self._objects[target.collection]
        if type_ == "DELETED":
            held.pop(target.key, None)
        else:
            held[target.key] = obj
        change = _Change(self.revision, target, type_, copy.deepcopy(obj), old)
        if self._quiet:
            return obj
        self._history.append(change)
        for watcher in self._watchers:
            if (line := _event_for(watcher, change)) is not None:
                watcher.queue.put_nowait(line)
        return obj

    # -------------------------------------------------------------- HTTP
    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        params = dict(request.query)
        target = parse(request.path)
        verb = verb_of(request.method, target, params)
        body = orjson.loads(raw) if raw else None
        self.calls.append(Call(verb, request.path, params, dict(request.headers), body))
        self._changed.set()
        step = self._next_step(verb)
        if step is not None and (answer := await step(request)) is not None:
            return answer
        try:
            return await self._serve(verb, target, request, params, body)
        except _RefusedError as refused:
            return json_response(refused.body, refused.body["code"])

    def _next_step(self, verb: str) -> Step | None:
        for name in (verb, "*"):
            if self._scripts[name]:
                return self._scripts[name].popleft()
        return self._always.get(verb, self._always.get("*"))

    async def _serve(
        self, verb: str, target: Target, request: web.Request, params: dict[str, str], body: Any
    ) -> web.StreamResponse:
        match verb:
            case "get":
                return json_response(self._existing(target))
            case "list":
                return json_response(self._list(target, params))
            case "watch":
                return await self._watch(target, request, params)
            case "create":
                return json_response(self._create(target, body, params), 201)
            case "update":
                return json_response(self._update(target, body, params))
            case "patch":
                return json_response(self._patch(target, body, params, request.content_type))
            case _:
                return json_response(self._delete(target, body or {}, params))

    def _existing(self, target: Target) -> Json:
        obj = self._objects[target.collection].get(target.key)
        if obj is None:
            raise _RefusedError(404, "NotFound", f'{target.plural} "{target.name}" not found')
        return obj

    def _list(self, target: Target, params: dict[str, str]) -> Json:
        revision, items = self._page_start(target, params)
        limit = int(params.get("limit", "0"))
        if params.get("resourceVersion") == "0" and self.watch_cache:
            limit = 0
        meta: Json = {"resourceVersion": str(revision)}
        if limit and len(items) > limit:
            token = base64.b64encode(uuid.uuid4().bytes).decode()
            self._pages[token] = revision, items[limit:]
            meta |= {"continue": token, "remainingItemCount": len(items) - limit}
            items = items[:limit]
        return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items}

    def _page_start(self, target: Target, params: dict[str, str]) -> tuple[int, list[Json]]:
        if token := params.get("continue"):
            if "resourceVersion" in params:
                raise _RefusedError(400, "BadRequest", "resourceVersion is forbidden with continue")
            revision, items = self._pages.pop(token)
            if revision < self._compacted:
                raise _RefusedError(410, "Expired", "The provided continue parameter is too old")
            return revision, items
        wanted = int(params.get("resourceVersion") or "0")
        if wanted > self.revision:
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            raise _RefusedError(504, "Timeout", "Too large resource version", {"causes": [cause]})
        return self.revision, self._selected(target, params.get("labelSelector", ""))

    def _selected(self, target: Target, selector: str) -> list[Json]:
        held = self._objects[target.collection]
        return [
            obj
            for (namespace, _), obj in sorted(held.items())
            if target.namespace in {"", namespace} and _matches(selector, obj)
        ]

    def _create(self, target: Target, body: Json, params: dict[str, str]) -> Json:
        meta = body.setdefault("metadata", {})
        if "name" not in meta:
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        target = Target(target.prefix, target.plural, target.namespace, meta["name"], "")
        if target.key in self._objects[target.collection]:
            raise _RefusedError(
                409, "AlreadyExists", f'{target.plural} "{target.name}" already exists'
            )
        return self._write(target, body, None, params)

    def _update(self, target: Target, body: Json, params: dict[str, str]) -> Json:
        old = self._existing(target)
        meta = body.setdefault("metadata", {})
        self._check(target, old, uid=meta.get("uid"), rv=meta.get("resourceVersion"))
        if target.subresource:
            body = {**copy.deepcopy(old), target.subresource: body.get(target.subresource)}
        return self._write(target, body, old, params)

    def _patch(self, target: Target, body: Json, params: dict[str, str], content: str) -> Json:
        apply = content == "application/apply-patch+yaml"
        if apply and "fieldManager" not in params:
            raise _RefusedError(400, "BadRequest", "fieldManager is required for apply patch")
        meta = body.get("metadata", {})
        old = self._objects[target.collection].get(target.key)
        if old is None and (not apply or meta.get("uid")):
            code, reason = (409, "Conflict") if apply else (404, "NotFound")
            raise _RefusedError(code, reason, f'{target.plural} "{target.name}" not found')
        if old is None:
            return self._write(target, body, None, params)
        self._check(target, old, uid=meta.get("uid"), rv=meta.get("resourceVersion"))
        if target.subresource:
            body = {target.subresource: body.get(target.subresource)}
        return self._write(target, _merge(old, body), old, params)

    def _delete(self, target: Target, body: Json, params: dict[str, str]) -> Json:
        old = self._existing(target)
        wanted = body.get("preconditions", {})
        self._check(target, old, uid=wanted.get("uid"), rv=wanted.get("resourceVersion"))
        if "dryRun" in params:
            return old
        if old["metadata"].get("finalizers"):
            marked = copy.deepcopy(old)
            marked["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
            return self._commit(target, "MODIFIED", marked, old)
        self._commit(target, "DELETED", copy.deepcopy(old), old)
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def _check(self, target: Target, old: Json, *, uid: str | None, rv: str | None) -> None:
        meta = old["metadata"]
        if uid not in {None, "", meta["uid"]}:
            raise _RefusedError(409, "Conflict", f"Precondition failed: UID of {target.name}")
        if rv not in {None, "", meta["resourceVersion"]}:
            raise _RefusedError(409, "Conflict", f"the object {target.name} has been modified")

    def _write(self, target: Target, body: Json, old: Json | None, params: dict[str, str]) -> Json:
        new = copy.deepcopy(body)
        meta = new.setdefault("metadata", {})
        meta["name"] = target.name
        if target.namespace:
            meta["namespace"] = target.namespace
        if old is None:
            meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": "2030-01-01T00:00:00Z"}
            meta["resourceVersion"] = ""
        else:
            meta |= {k: old["metadata"][k] for k in ("uid", "resourceVersion")}
        if new == old or "dryRun" in params:
            return new
        return self._commit(target, "MODIFIED" if old else "ADDED", new, old)

    # -------------------------------------------------------------- watch
    async def _watch(
        self, target: Target, request: web.Request, params: dict[str, str]
    ) -> web.StreamResponse:
        streaming = params.get("sendInitialEvents") == "true"
        if streaming and not (self.streaming_lists and target.plural in self.kinds):
            message = "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch"
            raise _RefusedError(422, "Invalid", message)
        watcher = _Watcher(target, params.get("labelSelector", ""))
        start = int(params.get("resourceVersion") or "0")
        # Initial events are those of the cache now, so they need no history.
        expired = 0 < start < self._compacted and not streaming
        if expired and self.expired_as_status:
            raise _RefusedError(410, "Expired", f"too old resource version: {start}")
        for line in self._backlog(watcher, start, expired=expired, streaming=streaming):
            watcher.queue.put_nowait(line)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._watchers.append(watcher)
        self._changed.set()
        try:
            await self._pump(watcher, request, response, float(params.get("timeoutSeconds", 600)))
        except (TimeoutError, ConnectionError):
            pass
        finally:
            self._watchers.remove(watcher)
            self._changed.set()
        return response

    def _backlog(
        self, watcher: _Watcher, start: int, *, expired: bool, streaming: bool
    ) -> Iterable[Any]:
        if expired:
            yield _line("ERROR", status_body(410, "Expired", f"too old resource version: {start}"))
            yield _END
        elif streaming or start == 0:
            items = self._selected(watcher.target, watcher.selector)
            yield from (_line("ADDED", item) for item in items)
            if streaming:
                kind = self.kinds[watcher.target.plural]
                yield _bookmark(self.revision, kind, watcher.target.api_version, end=True)
        else:
            lines = (_event_for(watcher, c) for c in self._history if c.rv > start)
            yield from (line for line in lines if line is not None)

    async def _pump(
        self, watcher: _Watcher, request: web.Request, response: web.StreamResponse, limit_s: float
    ) -> None:
        dead = False
        async with asyncio.timeout(limit_s):
            while (item := await watcher.queue.get()) is not _END:
                if item is _ABORT:
                    await abort(request)
                    return
                dead = dead or self.frozen
                if not dead:
                    await response.write(item)


class _RefusedError(Exception):
    def __init__(self, code: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(message)
        self.body = status_body(code, reason, message, details)


def _line(type_: str, obj: Json) -> bytes:
    return orjson.dumps({"type": type_, "object": obj}) + b"\n"


def _bookmark(revision: int, kind: str, api_version: str, *, end: bool = False) -> bytes:
    meta: Json = {"resourceVersion": str(revision)}
    if end:
        meta["annotations"] = {"k8s.io/initial-events-end": "true"}
    return _line("BOOKMARK", {"kind": kind, "apiVersion": api_version, "metadata": meta})


def _event_for(watcher: _Watcher, change: _Change) -> bytes | None:
    target = watcher.target
    if change.target.collection != target.collection:
        return None
    if target.namespace not in {"", change.target.namespace}:
        return None
    was = change.old is not None and _matches(watcher.selector, change.old)
    now = change.type != "DELETED" and _matches(watcher.selector, change.obj)
    if not was and not now:
        return None
    type_ = "MODIFIED" if was and now else "ADDED" if now else "DELETED"
    return _line(type_, change.obj)


def _matches(selector: str, obj: Json) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def _merge(old: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386); for apply and strategic patches it is near enough here."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged


@contextlib.asynccontextmanager
async def running_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ApiServer]:
    """A server on a free port of 127.0.0.1 until the block ends; hung requests end with it."""
    server = ApiServer()
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http{'s' if tls else ''}://{host}:{port}"
    try:
        yield server
    finally:
        server.end_watches()
        await runner.cleanup()
