"""The steps by which a cluster's data begin from a backup.  Part of `steps.Action`.

Pure data, under the same rules as those in `steps`.  `epoch` says whose record the step goes by:
before each of them that record is read once more from the server.
"""

from dataclasses import dataclass

from typing_extensions import override

from api.v1alpha1.cluster_status import RestoreRecord
from controllers.cluster.observed import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRestore:
    """Record how far a restore is: before what it leads to is done."""

    epoch: int
    restore: RestoreRecord
    why: str

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSeedClaim:
    """Make the first member's volume claim, as its StatefulSet would."""

    epoch: int
    claim: JsonObject

    @override
    def __str__(self) -> str:
        return f"Make volume claim {self.claim['metadata']['name']} for the backup's data"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSeedClaim:
    """Delete a claim that no member has started from, because another one is asked for."""

    epoch: int
    name: str
    uid: str

    @override
    def __str__(self) -> str:
        return f"Delete volume claim {self.name}: the spec asks for another one"


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRestorePod:
    """Make the pod that makes the first member's data. `claim`: name and uid of its volume's."""

    epoch: int
    claim: tuple[str, str]
    pod: JsonObject

    @override
    def __str__(self) -> str:
        return f"Make pod {self.pod['metadata']['name']}, which restores the backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRestorePod:
    """Delete that pod: it has ended, or what it works on is no longer wanted."""

    name: str
    uid: str
    why: str

    @override
    def __str__(self) -> str:
        return f"Delete pod {self.name}: {self.why}"


RestoreStep = RecordRestore | MakeSeedClaim | DeleteSeedClaim | MakeRestorePod | DeleteRestorePod
