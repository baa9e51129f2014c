"""One object of a change log: some whole revisions, as a value and as bytes. Pure.

    object = "ETCDCHG1", length of the header (4, big-endian), the header, the body
    header = JSON: whose log, which place in it, which revisions, what the body is
    body   = MessagePack of leases and revisions, one frame of zstd if compressed, then encrypted

The body repeats its place, so that with encryption a segment in another one's place is noticed as
well. Each header has the sha256 of the header before it: a chain can't be mixed of two.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

import msgspec
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from snapshots.changes.layout import MAX_SEGMENTS
from snapshots.compression import Compressor, Decompressor
from snapshots.encryption import KEY_ID_PATTERN, Decryptor, EncryptionKey, Encryptor
from snapshots.errors import SegmentInvalidError, SegmentTooNewError
from snapshots.layout import MAX_EPOCH

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT_VERSION: Final = 1
# One revision may delete millions of keys; more than this is not read into memory.
MAX_SEGMENT_BYTES: Final = 512 << 20
MAX_HEADER_BYTES: Final = 16 << 10

_MAGIC: Final = b"ETCDCHG1"
_LENGTH_BYTES: Final = 4

Revision = Annotated[int, Field(ge=1, lt=1 << 63)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
EtcdID = Annotated[str, StringConstraints(pattern=r"^(0|[1-9a-f][0-9a-f]{0,15})$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What became of one key. Of a deletion only the key counts."""

    deleted: bool
    key: bytes
    value: bytes
    lease: int
    create_revision: int
    version: int


class Revised(msgspec.Struct, frozen=True, array_like=True):
    """All changes of one revision. received_ms: when the archiver heard of it, in Unix time."""

    revision: int
    received_ms: int
    changes: tuple[Change, ...]


class Body(msgspec.Struct, frozen=True, array_like=True):
    """What a segment keeps.

    first, last: the header's, for what has no revision of its own. leases: by ID, the seconds that
    they were granted for; 0 where the lease was gone before etcd could tell.
    """

    first: int
    last: int
    leases: dict[int, int]
    revisions: tuple[Revised, ...]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Header(_Model):
    """What a segment tells of itself without being decrypted.

    chain: the first revision of its chain; number: its place in it. first_revision,
    last_revision: what it covers; last is first - 1 in one that only says that nothing happened.
    complete_until: when etcd was asked and had nothing beyond last_revision. previous: the sha256
    of the header before it, empty for number 0. body_size, body_sha256: as stored.
    """

    format: Literal["etcd-operator/changes"] = "etcd-operator/changes"
    format_version: Literal[1] = FORMAT_VERSION
    cluster: EtcdID
    epoch: Annotated[int, Field(ge=0, le=MAX_EPOCH)]
    chain: Revision
    number: Annotated[int, Field(ge=0, lt=MAX_SEGMENTS)]
    first_revision: Revision
    last_revision: Count
    complete_until: AwareDatetime
    previous: Sha256 | Literal[""]
    compression: Literal["none", "zstd"]
    encryption: Annotated[str, StringConstraints(pattern=KEY_ID_PATTERN)] | None
    body_size: Annotated[int, Field(gt=0, le=MAX_SEGMENT_BYTES)]
    body_sha256: Sha256

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.last_revision < self.first_revision - 1:
            raise ValueError("lastRevision is before firstRevision")
        if (self.number == 0) != (self.previous == ""):
            raise ValueError("only the first segment has nothing before it")
        if self.number == 0 and self.first_revision != self.chain:
            raise ValueError("the first segment does not begin its chain")
        if self.first_revision < self.chain:
            raise ValueError("firstRevision is before the chain's")
        return self

    def follows(self, before: Header, before_sha256: str) -> bool:
        """Whether nothing is missing between the two."""
        return (
            (self.cluster, self.epoch, self.chain) == (before.cluster, before.epoch, before.chain)
            and self.number == before.number + 1
            and self.first_revision == before.last_revision + 1
            and self.previous == before_sha256
            and self.complete_until >= before.complete_until
        )


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next segment of a chain goes, and what it goes on from."""

    cluster: str
    epoch: int
    chain: int
    number: int
    first_revision: int
    previous: str


def next_place(header: Header, sha256: str) -> Place:
    """Behind that segment, whose header has that sha256."""
    return Place(
        cluster=header.cluster,
        epoch=header.epoch,
        chain=header.chain,
        number=header.number + 1,
        first_revision=header.last_revision + 1,
        previous=sha256,
    )


def write_segment(
    place: Place,
    revisions: tuple[Revised, ...],
    leases: dict[int, int],
    *,
    complete_until: AwareDatetime,
    compress: bool,
    key: EncryptionKey | None,
) -> tuple[bytes, Header, str]:
    """The object, its header, and the header's sha256. revisions: ascending, without a gap."""
    last = revisions[-1].revision if revisions else place.first_revision - 1
    body = msgspec.msgpack.encode(
        Body(first=place.first_revision, last=last, leases=leases, revisions=revisions)
    )
    if compress:
        compressor = Compressor()
        body = compressor.feed(body) + compressor.finish()
    if key is not None:
        encryptor = Encryptor(key)
        body = encryptor.feed(body) + encryptor.finish()
    header = Header(
        cluster=place.cluster,
        epoch=place.epoch,
        chain=place.chain,
        number=place.number,
        first_revision=place.first_revision,
        last_revision=last,
        complete_until=complete_until,
        previous=place.previous,
        compression="zstd" if compress else "none",
        encryption=key.id if key is not None else None,
        body_size=len(body),
        body_sha256=hashlib.sha256(body).hexdigest(),
    )
    text = header.model_dump_json(by_alias=True).encode()
    start = _MAGIC + len(text).to_bytes(_LENGTH_BYTES)
    return start + text + body, header, hashlib.sha256(text).hexdigest()


def read_header(data: bytes) -> tuple[Header, str]:
    """The header of an object, and its sha256. Raises SegmentInvalidError, SegmentTooNewError."""
    text, _ = _split(data)
    return _header(text), hashlib.sha256(text).hexdigest()


def read_segment(data: bytes, keys: Iterable[EncryptionKey]) -> tuple[Header, str, Body]:
    """All of it, proven whole and in its place.

    Raises SegmentInvalidError, SegmentTooNewError, KeyMissingError, WrongKeyError, DecryptionError,
    DecompressionError.
    """
    text, stored = _split(data)
    header = _header(text)
    if len(stored) != header.body_size:
        message = f"the body has {len(stored)} bytes, and {header.body_size} in the header"
        raise SegmentInvalidError(message)
    if hashlib.sha256(stored).hexdigest() != header.body_sha256:
        raise SegmentInvalidError("the body's sha256 is not the one in the header")
    plain = stored
    if header.encryption is not None:
        decryptor = Decryptor(keys)
        plain = b"".join((*decryptor.feed(plain), *decryptor.finish()))
    if header.compression == "zstd":
        plain = _decompressed(plain)
    try:
        body = msgspec.msgpack.decode(plain, type=Body)
    except (msgspec.DecodeError, msgspec.ValidationError) as failure:
        message = f"the body is not readable: {failure}"
        raise SegmentInvalidError(message) from failure
    _check(header, body)
    return header, hashlib.sha256(text).hexdigest(), body


def _split(data: bytes) -> tuple[bytes, bytes]:
    start = len(_MAGIC) + _LENGTH_BYTES
    if data[: len(_MAGIC)] != _MAGIC or len(data) < start:
        raise SegmentInvalidError("it does not begin as a segment does")
    length = int.from_bytes(data[len(_MAGIC) : start])
    if length > MAX_HEADER_BYTES or len(data) < start + length:
        raise SegmentInvalidError("it ends within its header")
    return data[start : start + length], data[start + length :]


class _Format(BaseModel):
    """What every header, of whatever release, begins to be judged by."""

    model_config = ConfigDict(strict=True, extra="ignore")
    format: Literal["etcd-operator/changes"]
    formatVersion: Annotated[int, Field(ge=1)]  # noqa: N815 - as it is written


def _header(text: bytes) -> Header:
    try:
        found = _Format.model_validate_json(text).formatVersion
        if found > FORMAT_VERSION:
            message = f"it is of format {found}, and this release reads up to {FORMAT_VERSION}"
            raise SegmentTooNewError(message)
        return Header.model_validate_json(text)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        place, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        message = f"its header is not valid: {f'{place}: ' if place else ''}{said}"
        raise SegmentInvalidError(message) from failure


def _decompressed(data: bytes) -> bytes:
    decompressor, pieces, size = Decompressor(), [], 0
    for piece in decompressor.feed(data):
        size += len(piece)
        if size > MAX_SEGMENT_BYTES:
            message = f"it is more than {MAX_SEGMENT_BYTES} bytes when it is decompressed"
            raise SegmentInvalidError(message)
        pieces.append(piece)
    return b"".join((*pieces, *decompressor.finish()))


def _check(header: Header, body: Body) -> None:
    """The body is the header's, and no revision is missing in it: each one has changes."""
    if (body.first, body.last) != (header.first_revision, header.last_revision):
        raise SegmentInvalidError("the body is another segment's")
    expected = range(header.first_revision, header.last_revision + 1)
    if len(expected) != len(body.revisions) or any(
        found.revision != number for found, number in zip(body.revisions, expected, strict=True)
    ):
        raise SegmentInvalidError("revisions are missing in the body, or not in their order")
    for revised in body.revisions:
        keys = {change.key for change in revised.changes}
        if not keys or len(keys) != len(revised.changes):
            message = f"revision {revised.revision} has no change, or two of one key"
            raise SegmentInvalidError(message)
