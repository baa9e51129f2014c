"""What one reconcile saw: the single input of the planner.

Pure data, made by `observe`, read by `plan`, `render` and `status`.  Failures are values here: a
member that does not answer has an entry in `errors`, it is never just missing.  Nothing changes
while a value is used, so a plan can be replayed from a log.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from api.errors import FieldError
from api.labels import FIRST_EPOCH
from api.quantity import Quantity
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.restore_request import RestoreRequest
from controllers.cluster.auth.facts import Authentication
from controllers.cluster.certificates.facts import Facts, Role
from controllers.cluster.certificates.sources import OrderFacts, SourceFacts
from controllers.restore.order import Restored
from controllers.restore_source import Resolved, Unresolved
from etcd.cluster import Member
from etcd.ids import ClusterID, MemberID
from etcd.maintenance import Alarm, Status

JsonObject = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a pod is not running etcd, in Kubernetes' words; `reason` is ours and stable."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of the StatefulSet, read from the informer's cache."""

    name: str
    ordinal: int
    uid: str
    ip: str | None
    node: str | None
    running: bool  # the container `etcd` runs now
    ready: bool
    terminating: bool
    revision: str  # which template made it, or gave it its resources in place
    config_file: str | None  # the base name of --config-file
    restarts: int
    problem: Problem | None
    closed_for: str = ""  # annotation etcd.etcd.io/closed: whose file kubelet was told is closed
    controlled: bool = True  # by a StatefulSet, which may be gone; not after it was orphaned
    scheduled_since: datetime | None = None  # since when it has its node
    created: datetime | None = None
    annotations: JsonObject = field(default_factory=dict)
    resources: JsonObject = field(default_factory=dict)  # of the container `etcd`
    resizing: str = ""  # why its new resources are not in force yet, in kubelet's words
    resizing_since: datetime | None = None
    resize_failed: bool = False  # its node can't give it these resources
    bundles: JsonObject = field(default_factory=dict)  # by volume: which key it has as ca.crt


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The pod that tries out another image: it prints its version and ends."""

    name: str
    uid: str
    image: str
    created: datetime | None
    ended: bool
    terminating: bool
    problem: Problem | None
    output: str  # what it wrote; read once it has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBackup:
    """An EtcdBackup of this cluster beside it, which no schedule made.

    `completed`: of a schedule, when its last good backup was.  `template`: the spec of one more
    like those of a schedule; None for what has none, or is invalid.
    """

    name: str
    phase: str
    completed: datetime | None
    message: str  # of its condition Ready
    template: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePod:
    """The pod that makes the first member's data of a backup, as far as it has come.

    claim: the uid of the volume claim that it was made for. doing: which step runs, in words.
    restored: its answer once the data are in their place. failure: why it ended without; in_vain:
    whether another one would fare no better.
    """

    name: str
    uid: str
    epoch: int
    claim: str
    terminating: bool = False
    doing: str = ""
    restored: Restored | None = None
    failure: tuple[Reason, str] | None = None
    in_vain: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One PersistentVolumeClaim under a name of ours, whoever made it."""

    name: str
    ordinal: int
    epoch: int = FIRST_EPOCH
    uid: str
    cluster_uid: str | None  # label etcd.etcd.io/cluster-uid; None: no operator made it
    terminating: bool
    lost: bool = False  # its volume is gone: phase Lost
    unassigned: bool = False  # no volume yet, and no node that one is being made for
    bound: bool = True
    size: Quantity | None = None  # asked for
    capacity: Quantity | None = None  # of its volume, as far as that has been told
    storage_class: str | None = None
    resizing: str = ""  # how far a new size has come, in Kubernetes' words
    membership: str = ""  # annotation etcd.etcd.io/membership as it stands


@dataclass(frozen=True, slots=True, kw_only=True)
class LostNode:
    """A node that no longer runs its pods: gone, out of service, or silent since `since`."""

    name: str
    since: datetime
    certain: bool  # gone or tainted out-of-service: its pods can't be running
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Etcd:
    """What etcd said.  `members` is None without a linearizable answer; `error` says why."""

    cluster_id: ClusterID | None = None
    members: tuple[Member, ...] | None = None
    error: str = ""
    statuses: Mapping[str, Status] = field(default_factory=dict)  # by pod name, local answers
    errors: Mapping[str, str] = field(default_factory=dict)  # by pod name, who did not answer
    alarms: tuple[Alarm, ...] = ()
    denied: bool = False  # a member answered that the operator may not ask

    @property
    def leader(self) -> MemberID | None:
        """The leader that a majority of the answers names, None when they name none."""
        named = [
            status.leader
            for status in self.statuses.values()
            if status.leader and self.cluster_id in {None, status.cluster_id}
        ]
        return max(set(named), key=named.count) if named else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What is in the cluster's Secrets, without what is secret. `unread` says why nothing is known
    of them; empty when they were read. `sources`: what is in the user's Secrets.
    """

    facts: Facts = field(default_factory=dict)
    unread: str = ""
    sources: Mapping[Role, SourceFacts] = field(default_factory=dict)
    orders: Mapping[Role, OrderFacts] = field(default_factory=dict)  # from cert-manager
    # By pod, while that is waited for: the fingerprint of the certificate that it shows.
    shown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything the planner may decide from.

    `live` holds what the informers know of the objects under the cluster's names, keyed by kind
    and name.  While no bootstrap is recorded `claims` are read live, those of all epochs; later
    they come from the cache, and are those of the recorded epoch.
    """

    now: datetime
    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    deleting_since: datetime | None
    namespace_terminating: bool
    finalizers: tuple[str, ...]
    spec: ClusterSpec | None  # None: invalid, `spec_errors` says what
    spec_errors: tuple[FieldError, ...]
    deletes_data: bool  # storage.deletionPolicy is exactly Delete, or the next, whatever is wrong
    applied: ClusterSpec | None  # the accepted spec that status records: what the members run
    status: ClusterStatus
    cluster_domain: str  # what the operator discovered; the recorded one wins
    live: Mapping[tuple[str, str], JsonObject]
    foreign: tuple[str, ...]  # "Service db-peer": exists and is controlled by somebody else
    pods: tuple[Pod, ...]
    pods_refused: str  # why the StatefulSet controller can't make its pods; empty when it can
    claims: tuple[Claim, ...]
    etcd: Etcd
    other_claims: tuple[Claim, ...] = ()  # with our uid, of other epochs than the recorded one
    probe: Probe | None = None
    image: str = ""  # the operator's own; empty when it is not known
    # Of the spec's backup, while it matters: where it is, or why it can't be told.
    restore_source: Resolved | Unresolved | None = None
    requested_source: Resolved | Unresolved | None = None  # the same of `restore_request`
    restore_pods: tuple[RestorePod, ...] = ()
    nodes_lost: tuple[LostNode, ...] = ()  # of those that our pods were bound to
    asked_to_replace: tuple[str, ...] = ()  # pods named by an annotation
    certificates: Certificates = field(default_factory=Certificates)  # empty without TLS
    operator_namespace: str = ""  # of the operator's pods; empty when it runs elsewhere
    rotation_asked: str = ""  # the annotation that asks for other certificate authorities
    auth: Authentication = field(default_factory=Authentication)  # empty where nobody asked for it
    restart_asked: str = ""  # the annotation that asks for a restart of all members
    restore_request: RestoreRequest | None = None  # the annotation that asks for other data
    old_data_asked: str = ""  # the annotation that says what becomes of the data it had before
    saves_first: bool = False  # storage.deletionPolicy is exactly SnapshotThenDelete
    backups: tuple[KnownBackup, ...] = ()
    unsaved_asked: str = ""  # the annotation that names a version to go to without a backup
    # What `derived` functions made of this very value: a copy starts without.
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def epoch(self) -> int:
        """Which epoch the cluster's data is in."""
        return self.status.bootstrap.epoch if self.status.bootstrap else FIRST_EPOCH

    @property
    def own_claims(self) -> tuple[Claim, ...]:
        """The claims that carry our uid, of all epochs."""
        ours = (claim for claim in self.claims if claim.cluster_uid == self.uid)
        return (*ours, *self.other_claims)

    def claim(self, ordinal: int) -> Claim | None:
        """The claim of an ordinal that carries our uid, None when there is none now."""
        ours = (c for c in self.claims if c.cluster_uid == self.uid)
        return next((claim for claim in ours if claim.ordinal == ordinal), None)

    def restore_pod(self, epoch: int) -> RestorePod | None:
        """The pod that restores for an epoch, None when there is none now."""
        return next((pod for pod in self.restore_pods if pod.epoch == epoch), None)

    def pod(self, ordinal: int) -> Pod | None:
        """The pod of an ordinal, None when there is none now."""
        return next((pod for pod in self.pods if pod.ordinal == ordinal), None)


def derived(view: Callable[[Observed], T]) -> Callable[[Observed], T]:
    """A pure function of an Observed that many rules ask: computed once for each value."""
    name = f"{view.__module__}.{view.__qualname__}"

    @functools.wraps(view)
    def remembered(observed: Observed) -> T:
        memo = observed.memo
        if name not in memo:
            memo[name] = view(observed)
        found: T = memo[name]
        return found

    return remembered
