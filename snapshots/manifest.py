"""What a backup is made of, and what is in it: the object that makes a backup of some parts.

It is written after all parts, and read before any of them. The reader takes any bytes and gives a
manifest that holds together, or says what is wrong. Pure.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

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

from etcd.ids import ClusterID
from snapshots.encryption import KEY_ID_PATTERN
from snapshots.errors import ManifestInvalidError, ManifestTooNewError
from snapshots.layout import ATTEMPT_PATTERN, MAX_EPOCH, MAX_PARTS, BackupFolder

FORMAT: Final = "etcd-operator/backup"
FORMAT_VERSION: Final = 1
MAX_PART_BYTES: Final = 8 << 20
# A part takes about a hundred bytes.
MAX_MANIFEST_BYTES: Final = 16 << 20
TRAILER_BYTES: Final = 32

_MAX_TEXT = 300
_SHOWN_PROBLEMS = 3

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
# As etcd writes its IDs: no leading zeros.
EtcdID = Annotated[str, StringConstraints(pattern=r"^(0|[1-9a-f][0-9a-f]{0,15})$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=_MAX_TEXT)]
EtcdVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+", max_length=64)]


class _Model(BaseModel):
    # Fields of a later release that changed nothing of ours are left alone.
    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Cluster(_Model):
    """Whose data it is.

    id: etcd's, which stays the same over the cluster's life. epoch: of its line of history; one
    more with each restore. namespace, name, uid: of the EtcdCluster.
    """

    id: EtcdID
    epoch: Annotated[int, Field(ge=0, le=MAX_EPOCH)]
    namespace: Text
    name: Text
    uid: Text


class Member(_Model):
    """Who was asked. etcd_version: of its process."""

    id: EtcdID
    name: Text
    etcd_version: EtcdVersion


class KeyValueHash(_Model):
    """etcd's own hash (HashKV) of all keys up to the snapshot's revision, told by the same member
    right after the snapshot. Comparable with another one at an equal `compact_revision` only, which
    may be later than the snapshot's.
    """

    value: Annotated[int, Field(ge=0, lt=1 << 32)]
    compact_revision: Count


class Content(_Model):
    """What is in the database, read from its own pages while they passed by.

    revision: the newest one. compact_revision: the oldest one that can be read; 0: all.
    raft_index, raft_term: of the last applied entry. storage_version: `3.6.0`, empty before 3.6.
    keys: how many there are at that revision; kv_hash: see there. Both were asked of the member
    after the snapshot, and are None where it could not tell (compacted meanwhile, a learner, ...).
    """

    revision: Annotated[int, Field(ge=1, lt=1 << 63)]
    compact_revision: Count
    raft_index: Annotated[int, Field(ge=0, lt=1 << 64)]
    raft_term: Annotated[int, Field(ge=0, lt=1 << 64)]
    storage_version: Text
    keys: Count | None
    kv_hash: KeyValueHash | None


class Database(_Model):
    """The database without the trailer: size in bytes, and the sha256 that is etcd's trailer.

    The snapshot file, as `etcdutl snapshot restore` takes it, is the database and these 32 bytes.
    """

    size: Annotated[int, Field(gt=0, lt=1 << 63)]
    sha256: Sha256

    @property
    def file_size(self) -> int:
        return self.size + TRAILER_BYTES


class Encryption(_Model):
    """How the parts are encrypted: `snapshots.encryption`. key_id: the name of the key."""

    scheme: Literal["aes-256-gcm-stream"] = "aes-256-gcm-stream"
    key_id: Annotated[str, StringConstraints(pattern=KEY_ID_PATTERN)]


class Part(_Model):
    """One object: bytes and sha256 as they are stored."""

    size: Annotated[int, Field(gt=0, le=MAX_PART_BYTES)]
    sha256: Sha256


class Manifest(_Model):
    """A whole backup. All parts in order are the snapshot file, compressed, then encrypted.

    attempt: the folder of the parts. started_at, completed_at: by the clock of who took it; the
    state is one of between them.
    """

    format: Literal["etcd-operator/backup"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    cluster: Cluster
    member: Member
    content: Content
    database: Database
    started_at: AwareDatetime
    completed_at: AwareDatetime
    compression: Literal["none", "zstd"]
    encryption: Encryption | None
    attempt: Annotated[str, StringConstraints(pattern=ATTEMPT_PATTERN)]
    parts: Annotated[tuple[Part, ...], Field(strict=False, min_length=1, max_length=MAX_PARTS)]

    @property
    def stored_size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    def folder(self, name: str) -> BackupFolder:
        """Where it belongs, as the backup of that name."""
        cluster_id = ClusterID(int(self.cluster.id, 16))
        return BackupFolder(cluster_id=cluster_id, epoch=self.cluster.epoch, name=name)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.content.compact_revision > self.content.revision:
            raise ValueError("compactRevision is beyond revision")
        if self.started_at > self.completed_at:
            raise ValueError("completedAt is before startedAt")
        plain = self.compression == "none" and self.encryption is None
        if plain and self.stored_size != self.database.file_size:
            raise ValueError("the parts are not as long as the database and its trailer")
        return self


def write_manifest(manifest: Manifest) -> bytes:
    """JSON that people can read as well."""
    return manifest.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


def read_manifest(data: bytes) -> Manifest:
    """Raises ManifestInvalidError, ManifestTooNewError."""
    try:
        _check_format(data)
        return Manifest.model_validate_json(data)
    except ValidationError as failure:
        problems = [_problem(error["loc"], error["msg"]) for error in failure.errors()]
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        message = f"the manifest is not valid: {shown}"
        raise ManifestInvalidError(message) from failure


def _problem(place: tuple[int | str, ...], message: str) -> str:
    return f"{'.'.join(map(str, place))}: {message}" if place else message


class _Format(BaseModel):
    """What every manifest, of whatever release, begins to be judged by."""

    model_config = ConfigDict(strict=True, extra="ignore")
    format: Literal["etcd-operator/backup"]
    formatVersion: Annotated[int, Field(ge=1)]  # noqa: N815 - as it is written


def _check_format(data: bytes) -> None:
    found = _Format.model_validate_json(data).formatVersion
    if found > FORMAT_VERSION:
        message = (
            f"the manifest is of format {found}, and this release reads up to {FORMAT_VERSION}:"
            " use the release that wrote it, or a later one"
        )
        raise ManifestTooNewError(message)
