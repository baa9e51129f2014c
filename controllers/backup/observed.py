"""What one reconcile of an EtcdBackup decides from: one immutable value, made by `observe`."""

from dataclasses import dataclass
from datetime import datetime

from api.errors import FieldError
from api.reasons import Reason
from api.v1alpha1.backup import BackupSpec, BackupStatus
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.backup.order import Failed, Saved


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The EtcdCluster to save, as its own reconciler describes it."""

    uid: str
    status: ClusterStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A Job of this backup. failure: the server's words once it was given up, at failed_at.

    storage_path: where in the store it puts the backup; empty for one that puts nothing there.
    refusal: why its pod is not made.
    """

    name: str
    uid: str
    complete: bool = False
    failure: str | None = None
    failed_at: datetime | None = None
    storage_path: str = ""
    refusal: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A pod of the Job. answer: what it said at its end, if it said anything that we understand.

    last_words: its termination message otherwise. obstacle: why it does not start.
    """

    created: datetime
    job_uid: str
    ended: bool
    answer: Saved | Failed | None = None
    last_words: str = ""
    obstacle: tuple[Reason, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An EtcdBackup that this one's schedule made. message: of its Ready condition."""

    name: str
    uid: str
    scheduled: datetime
    phase: str
    completed: datetime | None
    message: str
    terminating: bool
    expired: bool = False

    @property
    def begun(self) -> bool:
        return self.phase not in {"", "Pending"}

    @property
    def finished(self) -> bool:
        return self.phase in {"Completed", "Failed"} or self.terminating


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything there is to know. spec: None where it is not valid, `errors` then says why.

    image: the operator's own, empty when it does not know it. expired: it and its data are to be
    deleted. children: by scheduled time.
    """

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int
    created: datetime
    is_deleting: bool
    spec: BackupSpec | None
    errors: tuple[FieldError, ...]
    status: BackupStatus
    image: str
    expired: bool = False
    cluster: Cluster | None = None
    jobs: tuple[Job, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    children: tuple[Child, ...] = ()

    @property
    def key(self) -> str:
        """The object's key in stores and queues: "namespace/name"."""
        return f"{self.namespace}/{self.name}"
