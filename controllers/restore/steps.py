"""What a plan can ask for: one write, or a verdict that says how things are.

Pure data. `act` executes the first kind; `status` turns any of them into what a user reads.
"""

from dataclasses import dataclass
from typing import Any

from api.reasons import Reason
from api.v1alpha1.cluster_status import RestoredData
from controllers.backup.order import Failed
from controllers.restore.order import Examined


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeJob:
    """Make the Job that examines the backup, which lies at storage_path."""

    body: dict[str, Any]
    storage_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteJob:
    """Delete a Job that is of no use any more."""

    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCluster:
    """Make the EtcdCluster that begins from the backup."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskCluster:
    """Write these annotations onto the EtcdCluster, if it is still the one that was looked at."""

    name: str
    uid: str
    resource_version: str
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Record that this state of the spec is carried out from now on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The backup can be restored: record what is in it, before anything is changed."""

    answer: Examined


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nothing is done before somebody changes something; the message says what."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Something has to happen first. stalled: whether that takes a person.

    percent: how far it is, where that is known; cluster_uid: of the cluster that is being restored.
    """

    reason: Reason
    message: str
    stalled: bool = False
    percent: int | None = None
    cluster_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The restore has come to its end without a restored cluster; an edit is another attempt."""

    answer: Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete:
    """The cluster serves what was restored: `restored`, where its own status still tells."""

    cluster_uid: str
    restored: RestoredData | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """The cluster serves its old data again, as `oldData` asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Nothing to do: the end is recorded. edited: the spec was changed after the restore."""

    edited: bool = False


Action = MakeJob | DeleteJob | MakeCluster | AskCluster
Step = Action | Begin | Accept | Refuse | Wait | Fail | Complete | PutBack | Rest
