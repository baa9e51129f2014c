"""What a plan can ask for: one action, or a wait that says for what.

Pure data.  `act` executes actions; `status` turns any step into the words that a user reads.
Every action is idempotent and carries what its precondition needs (uids), so that it can be lost,
repeated, or carried out by two operators at once without harm.
"""

from dataclasses import dataclass, field
from datetime import datetime

from typing_extensions import override

from api.reasons import Reason
from api.v1alpha1.cluster_status import (
    BootstrapMember,
    BootstrapStatus,
    JoiningMember,
    Rendering,
    Replacement,
    WithdrawnMember,
)
from controllers.cluster.observed import JsonObject
from controllers.cluster.plan.auth_steps import AuthStep
from controllers.cluster.plan.certificate_steps import CertificateStep
from controllers.cluster.plan.epoch_steps import EpochStep
from controllers.cluster.plan.restore_steps import RestoreStep
from controllers.cluster.plan.switching_steps import SwitchingStep
from controllers.cluster.plan.version_steps import VersionStep
from controllers.cluster.plan.volume_steps import ReleaseStatefulSet, ResizeClaims, VolumeTrial
from etcd.ids import MemberID, member_id_hex
from etcd.maintenance import AlarmKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptSpec:
    """Try the StatefulSet against the server (dry run), then record the spec and the bootstrap.

    Recording is a write of status: nothing is created before what it was created from is known.
    `adopted`: the ID of the cluster, in hexadecimal, whose volumes are there already, and whose
    members go on from them; empty when a new one is formed.
    """

    spec: JsonObject
    rendered: Rendering
    bootstrap: BootstrapStatus
    dry_run: JsonObject | None  # None: nothing would run (size 0)
    adopted: str = ""

    @override
    def __str__(self) -> str:
        if self.adopted:
            return f"Resume cluster {self.adopted} with its {self.bootstrap.size} members"
        return f"Accept the spec for a cluster of {self.bootstrap.size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordStarted:
    """Record which members have started: their files are closed from then on."""

    members: tuple[BootstrapMember, ...]
    cluster_id: str

    @override
    def __str__(self) -> str:
        names = ", ".join(member.name for member in self.members if member.started)
        return f"Record cluster {self.cluster_id} and what has started: {names or 'no member'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyObjects:
    """Apply these objects of ours, in this order: absent, or not what they should be."""

    objects: tuple[JsonObject, ...]

    @override
    def __str__(self) -> str:
        names = (f"{o['kind']} {o['metadata']['name']}" for o in self.objects)
        return f"Apply {', '.join(names)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePod:
    """Delete a pod that is down or of no more use; it comes back from the newest template.

    `force` does not wait for its node: only for a node that is known not to run it any more.
    """

    name: str
    uid: str
    why: str
    force: bool = False

    @override
    def __str__(self) -> str:
        return f"Restart pod {self.name}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSpec:
    """Record an edit, or the part of it that can be done now: it is in force from then on.

    `rendered`: what is made of it; None leaves that as it was.  `dry_run`: the StatefulSet that the
    server must take first, `trial`: what it must take of the volumes; an edit that it refuses is
    recorded as refused, and nothing else.
    """

    spec: JsonObject
    why: str
    rendered: Rendering | None = None
    dry_run: JsonObject | None = None
    trial: VolumeTrial | None = None

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class NudgeLearner:
    """Put one entry without effect into etcd's log, for a learner that waits for the next one.

    Started from a snapshot, it refuses its own first request while more than 5,000 applied entries
    are unknown to it, and on an idle cluster no other comes (server/etcdserver/v3_server.go).
    """

    name: str

    @override
    def __str__(self) -> str:
        return f"Write an entry without effect, so that {self.name} gets on"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMembership:
    """Record who votes and who joins: the intent behind every change of membership."""

    voters: tuple[int, ...]
    joining: JoiningMember | None
    why: str
    withdrawn: WithdrawnMember | None = None
    replaced: Replacement | None = None  # one more for the list

    @override
    def __str__(self) -> str:
        return self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class AddLearner:
    """Add a member to etcd's list as a learner, under its peer URLs (MemberAdd).

    Harmless when repeated: a URL can be in the list once.  `claim` is the name its volume claim
    will have: a claim of somebody else under it must not be started on.
    """

    name: str
    peer_urls: tuple[str, ...]
    claim: str
    old_claim: str  # the uid of a claim under that name that is given up anyway; may be empty

    @override
    def __str__(self) -> str:
        return f"Add {self.name} as a learner"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromoteLearner:
    """Make a learner a voter; etcd refuses until it has caught up (MemberPromote)."""

    name: str
    id: MemberID

    @override
    def __str__(self) -> str:
        return f"Promote {self.name} to voter"


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLeader:
    """Hand leadership to another voter, so that the leader can leave (MoveLeader)."""

    leader: str  # the pod that leads
    target: str
    target_id: MemberID

    @override
    def __str__(self) -> str:
        return f"Move leadership from {self.leader} to {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """Take a member off etcd's list, for ever (MemberRemove). IDs are never used twice.

    `voters`: how many voters the plan saw; another number now means that somebody else changed it.
    """

    name: str
    id: MemberID
    voters: int
    why: str

    @override
    def __str__(self) -> str:
        return f"Remove member {self.name}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisarmAlarm:
    """Take back an alarm of a member that is no longer in the list."""

    id: MemberID
    kind: AlarmKind

    @override
    def __str__(self) -> str:
        who = f"member {member_id_hex(self.id)}, which is not in the list"
        return f"Disarm the alarm {self.kind.name} of {who}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardClaim:
    """Give up a volume whose member is off etcd's list, or not started as this one yet.

    `not_member`: the peer URL that must not belong to a started member, asked again before the act.
    `keep_volume`: the PersistentVolume is first set to Retain and labelled, so that its data stays.
    """

    name: str
    uid: str
    not_member: str
    keep_volume: bool
    why: str

    @override
    def __str__(self) -> str:
        kept = " and keep its volume" if self.keep_volume else ""
        return f"Delete volume claim {self.name}{kept}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardLeftovers:
    """Delete the claims that an earlier cluster left under our names, as the spec demands."""

    claims: tuple[tuple[str, str], ...]  # (name, uid)

    @override
    def __str__(self) -> str:
        return f"Delete volume claims {_names(self.claims)} of an earlier cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptClaims:
    """Make the claims of an earlier cluster ours, by their label; their data stays as it is."""

    claims: tuple[tuple[str, str], ...]  # (name, uid)

    @override
    def __str__(self) -> str:
        return f"Adopt volume claims {_names(self.claims)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotateClaims:
    """Note on the voters' claims which cluster their data belongs to."""

    claims: tuple[tuple[str, str], ...]  # (name, uid)
    record: str

    @override
    def __str__(self) -> str:
        return f"Note the membership on volume claims {_names(self.claims)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFiles:
    """Annotate a pod, so that its kubelet looks at the ConfigMap now and not within a minute."""

    name: str
    uid: str
    member: str  # the ID whose file has been closed, in hexadecimal

    @override
    def __str__(self) -> str:
        return f"Have kubelet bring {self.name} its closed file"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropRequest:
    """Take the annotation away that asked for a replacement, which is recorded by now."""

    name: str

    @override
    def __str__(self) -> str:
        return f"Acknowledge the request to replace {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFinalizer:
    """Put our finalizer on, or take it off; `gave_up` lists what was left behind."""

    present: bool
    gave_up: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        return "Add the finalizer" if self.present else "Remove the finalizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteStatefulSet:
    """Delete the StatefulSet and, through the garbage collector, its pods."""

    name: str
    uid: str

    @override
    def __str__(self) -> str:
        return f"Delete StatefulSet {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteUnwanted:
    """Delete an object of ours that the cluster is no longer to have."""

    kind: str
    name: str
    uid: str

    @override
    def __str__(self) -> str:
        return f"Delete {self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteClaims:
    """Delete these volume claims of a cluster that is being deleted with policy Delete."""

    claims: tuple[tuple[str, str], ...] = field(default=())  # (name, uid)

    @override
    def __str__(self) -> str:
        return f"Delete volume claims {_names(self.claims)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now.  `reason` and `message` say for what; `recheck_s` seconds at the latest.

    `settled` is True when the wait is the wished-for end: everything is as the spec says.
    """

    reason: Reason
    message: str
    recheck_s: float = 10.0
    settled: bool = False
    not_before: datetime | None = None  # the moment at which it goes on by itself

    @override
    def __str__(self) -> str:
        return self.message


Action = (
    AcceptSpec
    | RecordSpec
    | RecordStarted
    | RecordMembership
    | VersionStep
    | CertificateStep
    | SwitchingStep
    | AuthStep
    | EpochStep
    | RestoreStep
    | NudgeLearner
    | AddLearner
    | PromoteLearner
    | MoveLeader
    | RemoveMember
    | DisarmAlarm
    | DiscardClaim
    | DiscardLeftovers
    | AdoptClaims
    | AnnotateClaims
    | DropRequest
    | RefreshFiles
    | ApplyObjects
    | DeletePod
    | SetFinalizer
    | DeleteStatefulSet
    | ResizeClaims
    | ReleaseStatefulSet
    | DeleteUnwanted
    | DeleteClaims
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The step to take now, and the name of the rule that asked for it."""

    rule: str
    step: Action | Wait


def _names(claims: tuple[tuple[str, str], ...]) -> str:
    return ", ".join(name for name, _ in claims)
