"""What reading an object of ours gives: the parsed object, or what is wrong with it.

Both carry the identity and the status, because an object with a wrong spec still gets conditions,
and can still be deleted. Values that cross from `api` to the controllers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from api.errors import FieldError
from api.v1alpha1.backup import BackupSpec, BackupStatus
from api.v1alpha1.cluster import ClusterSpec, DeletionPolicy
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.common import Model
from api.v1alpha1.restore import RestoreSpec, RestoreStatus

StatusT = TypeVar("StatusT", bound=Model)


# With these the volume claims go when the EtcdCluster is deleted.
DELETES_DATA: Final = ("Delete", "SnapshotThenDelete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The part of an object's metadata that decisions need; what is missing is empty."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    finalizers: tuple[str, ...]
    is_deleting: bool

    @property
    def key(self) -> str:
        """The object's key in stores and queues: "namespace/name"."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCluster:
    """A valid EtcdCluster, with all defaults."""

    identity: Identity
    spec: ClusterSpec
    status: ClusterStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBackup:
    """A valid EtcdBackup, with all defaults."""

    identity: Identity
    spec: BackupSpec
    status: BackupStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRestore:
    """A valid EtcdRestore, with all defaults. confirmed: what its annotation says that allows to
    skip the check of hashes.
    """

    identity: Identity
    spec: RestoreSpec
    status: RestoreStatus
    confirmed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid(Generic[StatusT]):
    """An object that cannot be acted on, and why: `errors` is never empty.

    `status` is what the object's own says, or an empty one where that is malformed too.

    `deletion_policy` is Retain unless the object says exactly another one: whatever else is wrong,
    data is deleted by an explicit policy alone.
    """

    identity: Identity
    status: StatusT
    errors: tuple[FieldError, ...]
    deletion_policy: DeletionPolicy

    @property
    def message(self) -> str:
        """All that is wrong, for a condition."""
        return "; ".join(str(error) for error in self.errors)


def read_identity(obj: object) -> Identity:
    """Return the identity of any JSON value; never raises."""
    metadata = _map(_map(obj).get("metadata"))
    generation = metadata.get("generation")
    finalizers = metadata.get("finalizers")
    return Identity(
        namespace=_text(metadata.get("namespace")),
        name=_text(metadata.get("name")),
        uid=_text(metadata.get("uid")),
        resource_version=_text(metadata.get("resourceVersion")),
        generation=generation if isinstance(generation, int) else 0,
        finalizers=tuple(map(str, finalizers)) if isinstance(finalizers, list) else (),
        is_deleting=bool(metadata.get("deletionTimestamp")),
    )


def read_status(obj: object) -> Mapping[str, Any]:
    """Return the status of any JSON value as it is; empty when there is none."""
    return _map(_map(obj).get("status"))


def read_deletion_policy(obj: object) -> DeletionPolicy:
    """Return the deletion policy of any JSON value: Retain unless it says exactly another one."""
    storage = _map(_map(_map(obj).get("spec")).get("storage"))
    policy = storage.get("deletionPolicy")
    return policy if policy in DELETES_DATA else "Retain"


def read_annotation(obj: object, name: str) -> str:
    """Return an annotation of any JSON value; empty when it has none of that name."""
    metadata = _map(_map(obj).get("metadata"))
    return _text(_map(metadata.get("annotations")).get(name))


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
