"""The steps of a change of version, and of resources in place.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`.
"""

from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.cluster_status import DataHash, UpgradeStatus
from controllers.cluster.observed import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUpgrade:
    """Record how far a change of version has got, or (None) that it is over."""

    upgrade: UpgradeStatus | None
    why: str
    warnings: tuple[str, ...] = ()  # told once, by events
    not_compared: bool = False  # the members' data, because it could not be done in time

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizePod:
    """Give a pod that runs other resources, where the server and its node can."""

    name: str
    uid: str
    resources: JsonObject
    revision: str  # of the template with these resources

    @override
    def __str__(self) -> str:
        return f"Resize pod {self.name} in place"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseResize:
    """Note on a pod that it can't have the resources of this template in place."""

    name: str
    uid: str
    revision: str
    why: str

    @override
    def __str__(self) -> str:
        return f"Restart pod {self.name} for its resources, in its turn: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeProbe:
    """Make the pod that tries out another image."""

    pod: JsonObject

    @override
    def __str__(self) -> str:
        return f"Try out {self.pod['spec']['containers'][0]['image']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteProbe:
    """Delete the pod that tried out an image."""

    name: str
    uid: str
    why: str

    @override
    def __str__(self) -> str:
        return f"Delete pod {self.name}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeBackup:
    """Make the EtcdBackup that the next step waits for."""

    backup: JsonObject
    why: str

    @override
    def __str__(self) -> str:
        return f"Make EtcdBackup {self.backup['metadata']['name']}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareHashes:
    """Ask every voter for the hash of its data at one revision; they must be alike (HashKV).

    `known`: a hash from before the change of version; where nothing was compacted since, it is
    asked for once more, and the members' are compared with it too.  `then`: None when it was the
    last step of the change.
    """

    known: DataHash | None
    under_way: UpgradeStatus
    then: UpgradeStatus | None  # recorded, with their hash, when they are alike
    reached: str = ""  # the version that is complete then

    @override
    def __str__(self) -> str:
        return "Compare the data of all voters"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceLog:
    """Put entries without effect into etcd's log, so that every member takes a snapshot of it."""

    until: int  # the index
    missing: int

    @override
    def __str__(self) -> str:
        return f"Bring etcd's log to index {self.until}, so that members take a snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableDowngrade:
    """Have etcd make its data fit an older minor version (Downgrade, VALIDATE and ENABLE)."""

    target: str  # "3.5"

    @override
    def __str__(self) -> str:
        return f"Enable etcd's downgrade to {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDowngrade:
    """Take a downgrade back (Downgrade, CANCEL)."""

    target: str
    why: str

    @override
    def __str__(self) -> str:
        return f"Cancel etcd's downgrade to {self.target}: {self.why}"


VersionStep = (
    RecordUpgrade
    | ResizePod
    | RefuseResize
    | MakeProbe
    | MakeBackup
    | DeleteProbe
    | CompareHashes
    | AdvanceLog
    | EnableDowngrade
    | CancelDowngrade
)
