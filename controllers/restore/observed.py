"""What one reconcile of an EtcdRestore decides from: one immutable value, made by `observe`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.errors import FieldError
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore import RestoreSpec, RestoreStatus
from controllers.agent_jobs import Attempt, Job
from controllers.restore_source import Resolved, Unresolved

# Phases in which what was restored is history.
ENDS: Final = frozenset({"Completed", "PutBack"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The EtcdCluster of that name. maker, attempt: the uid of the EtcdRestore that made it, and
    which of its attempts; empty for a cluster of anybody else's. spec: None where it is not valid.
    request, old_data: its annotations that ask for another restore, as they stand.
    """

    uid: str
    resource_version: str
    is_deleting: bool
    maker: str
    attempt: str
    generation: int
    spec: ClusterSpec | None
    status: ClusterStatus
    request: str = ""
    old_data: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything there is to know. spec: None where it is not valid, `errors` then says why.

    image: the operator's own, empty when it does not know it. confirmed: whether the object says
    that a wrong hash may be skipped. source: the backup, or why there is none (None without a valid
    spec). recorded: the spec that the EtcdBackup has of its cluster. target: the EtcdCluster.
    """

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int
    is_deleting: bool
    spec: RestoreSpec | None
    errors: tuple[FieldError, ...]
    status: RestoreStatus
    image: str
    confirmed: bool = False
    source: Resolved | Unresolved | None = None
    recorded: dict[str, Any] | None = None
    target: Target | None = None
    jobs: tuple[Job, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def key(self) -> str:
        """The object's key in stores and queues: "namespace/name"."""
        return f"{self.namespace}/{self.name}"
