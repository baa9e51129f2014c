"""What one reconcile of an EtcdBackup decides from: one immutable value, made by `observe`."""

from dataclasses import dataclass
from datetime import datetime

from api.errors import FieldError
from api.v1alpha1.backup import BackupSpec, BackupStatus
from api.v1alpha1.cluster_status import ClusterStatus
from controllers.agent_jobs import Attempt, Job
from controllers.backup.archive.observed import Archiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The EtcdCluster to save, as its own reconciler describes it."""

    uid: str
    status: ClusterStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """An EtcdBackup that this one's schedule made. message: of its Ready condition. verified:
    what came of its last verification, if it had one (`Verification.result`).
    """

    name: str
    uid: str
    scheduled: datetime
    phase: str
    completed: datetime | None
    message: str
    terminating: bool
    expired: bool = False
    verified: str = ""

    @property
    def good(self) -> bool:
        """Something to restore from, as far as anybody knows."""
        return self.phase == "Completed" and self.verified != "Failed"

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
    deleted. verify_request: the text by which somebody asked for its verification. children: by
    scheduled time.
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
    verify_request: str = ""
    cluster: Cluster | None = None
    jobs: tuple[Job, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    children: tuple[Child, ...] = ()
    archiver: Archiver | None = None

    @property
    def key(self) -> str:
        """The object's key in stores and queues: "namespace/name"."""
        return f"{self.namespace}/{self.name}"
