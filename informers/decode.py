"""LIST answers and watch lines into `Object`s whose bodies stay bytes until somebody asks.

Called by the reflector for everything that comes in. Only the keys that caches and handlers need
are decoded; building dicts for 10,000 objects costs ten times the time and the memory, and most
of them are never looked at (measured: docs/adr/0002-own-wire-layer.md).

`metadata.managedFields` is cut out of the bytes: the server keeps it for field managers, nobody
here reads it, and it is some 40 % of an object. Cutting costs 6 us for an object of 2 kB and makes
each `body()` two to four times as fast. A body without it can be written back: the server then
leaves the managers as they are. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import orjson
from typing_extensions import override

from informers.errors import StatusError, UnreadableError, error_from_object
from informers.resource import object_key

if TYPE_CHECKING:
    from informers.resource import Resource

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_ABSENT = msgspec.Raw(b"")
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Object(Mapping[str, Any]):
    """One object as the API server sent it, less managedFields; shared by cache and handlers.

    Immutable. The attributes are at hand. As a mapping it is the whole object, and every access
    decodes it anew: take `body()` once where several fields are needed. Nothing decoded is kept,
    so what callers do to a body never reaches the cache.
    """

    key: str  # "namespace/name", or "name"
    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    owner_uid: str  # of the owner reference with `controller: true`; "" without one
    resource: Resource = field(repr=False)
    raw: bytes = field(repr=False)

    def body(self) -> dict[str, Any]:
        """The object as a dict of the caller's own, always with `apiVersion` and `kind`."""
        head = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        body: dict[str, Any] = orjson.loads(self.raw)
        return head | body

    @override
    def __getitem__(self, field_name: str) -> Any:
        return self.body()[field_name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.body())

    @override
    def __len__(self) -> int:
        return len(self.body())


# ---------------------------------------------------------------------- lists
@dataclass(frozen=True, slots=True)
class Page:
    """One LIST answer. `items` are undecoded objects: see `decode_object`."""

    resource_version: str
    continue_token: str  # "" on the last page
    items: list[msgspec.Raw]


def decode_page(body: bytes) -> Page:
    """Raises UnreadableError for anything that would look like an emptier cache than the truth:
    a Table, a list without resourceVersion, broken JSON.
    """
    try:
        page = _PAGE.decode(body)
    except msgspec.MsgspecError as error:
        msg = f"unreadable list: {error}"
        raise UnreadableError(msg) from error
    if page.kind in {"Table", "Status"} or not page.metadata.resource_version:
        msg = f"not a list with a resourceVersion but a {page.kind or 'nameless answer'}"
        raise UnreadableError(msg)
    meta = page.metadata
    return Page(meta.resource_version, meta.continue_ or "", page.items or [])


def decode_object(raw: msgspec.Raw | bytes, resource: Resource) -> Object:
    """Raises UnreadableError when name or resourceVersion are missing."""
    return _object(_head(raw), raw, resource)


# ---------------------------------------------------------------------- watch events
@dataclass(frozen=True, slots=True)
class Stored:
    """ADDED or MODIFIED: which of the two, the cache knows better."""

    object: Object


@dataclass(frozen=True, slots=True)
class Removed:
    """DELETED, with the object's last state; its resourceVersion is that of the deletion."""

    object: Object


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to `resource_version` has been sent."""

    resource_version: str
    ends_initial_events: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """ERROR: the server ends this watch."""

    error: StatusError


@dataclass(frozen=True, slots=True)
class Unknown:
    """To be logged and skipped: an event type or a kind that was not asked for."""

    reason: str


Event: TypeAlias = Stored | Removed | Bookmark | Failure | Unknown


def decode_event(line: bytes, resource: Resource) -> Event:
    """One line of a watch. Raises UnreadableError: the cache can't be kept right without it."""
    try:
        event = _EVENT.decode(line)
    except msgspec.MsgspecError as error:
        msg = f"unreadable event: {error}"
        raise UnreadableError(msg) from error
    if event.type == "ERROR":
        return Failure(_failure(event.object))
    if event.type not in {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"}:
        return Unknown(f"event type {event.type!r}")
    head = _head(event.object)
    if (head.api_version, head.kind) != (resource.api_version, resource.kind):
        return Unknown(f"{head.api_version} {head.kind} in a watch of {resource.kind}")
    match event.type:
        case "BOOKMARK":
            return _bookmark(head.metadata)
        case "DELETED":
            return Removed(_object(head, event.object, resource))
        case _:
            return Stored(_object(head, event.object, resource))


def _failure(raw: msgspec.Raw) -> StatusError:
    status = orjson.loads(bytes(raw))
    return error_from_object(status if isinstance(status, dict) else {})


def _bookmark(meta: _Meta) -> Bookmark:
    if not meta.resource_version:
        msg = "a bookmark without resourceVersion"
        raise UnreadableError(msg)
    ends = (meta.annotations or {}).get(_INITIAL_EVENTS_END) == "true"
    return Bookmark(meta.resource_version, ends)


def _head(raw: msgspec.Raw | bytes) -> _Head:
    try:
        return _HEAD.decode(raw)
    except msgspec.MsgspecError as error:
        msg = f"unreadable object: {error}"
        raise UnreadableError(msg) from error


def _object(head: _Head, raw: msgspec.Raw | bytes, resource: Resource) -> Object:
    meta = head.metadata
    if not meta.name or not meta.resource_version:
        msg = "an object without name or resourceVersion"
        raise UnreadableError(msg)
    owners = (owner.uid for owner in meta.owner_references or () if owner.controller)
    return Object(
        key=object_key(meta.namespace, meta.name),
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        labels=MappingProxyType(meta.labels) if meta.labels else _NO_LABELS,
        owner_uid=next(owners, ""),
        resource=resource,
        raw=_without(bytes(raw), meta.managed_fields),  # a copy: a Raw keeps the whole page alive
    )


def _without(body: bytes, managed_fields: msgspec.Raw) -> bytes:
    """The body less that member of its metadata; whole when it can't be told apart surely.

    The quotes before and after the name can't be part of a string, where they would be escaped.
    """
    value = bytes(managed_fields)
    if not value:
        return body
    member = b'"managedFields":' + value
    before, found, after = body.partition(member)
    if not found or member in after:
        return body
    if after.startswith(b","):
        return before + after[1:]
    return before.removesuffix(b",") + after


class _Owner(msgspec.Struct, gc=False):
    uid: str = ""
    controller: bool | None = None


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[_Owner] | None = None
    managed_fields: msgspec.Raw = _ABSENT


class _Head(msgspec.Struct, rename="camel"):
    metadata: _Meta
    api_version: str = ""
    kind: str = ""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str | None = msgspec.field(name="continue", default=None)


class _Page(msgspec.Struct):
    metadata: _ListMeta
    kind: str = ""
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_PAGE = msgspec.json.Decoder(_Page)
_EVENT = msgspec.json.Decoder(_Event)
_HEAD = msgspec.json.Decoder(_Head)
