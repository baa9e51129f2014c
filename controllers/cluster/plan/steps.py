"""What a plan can ask for: one action, or a wait that says for what.

Pure data.  `act` executes actions; `status` turns any step into the words that a user reads.
Every action is idempotent and carries what its precondition needs (uids), so that it can be lost,
repeated, or carried out by two operators at once without harm.
"""

from dataclasses import dataclass, field

from typing_extensions import override

from api.reasons import Reason
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus
from controllers.cluster.observed import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptSpec:
    """Try the StatefulSet against the server (dry run), then record the spec and the bootstrap.

    Recording is a write of status: nothing is created before what it was created from is known.
    """

    spec: JsonObject
    bootstrap: BootstrapStatus
    dry_run: JsonObject | None  # None: nothing would run (size 0)

    @override
    def __str__(self) -> str:
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
    """Delete a pod that is down, so that it comes back from the newest template."""

    name: str
    uid: str
    why: str

    @override
    def __str__(self) -> str:
        return f"Restart pod {self.name}: {self.why}"


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
class DeleteClaims:
    """Delete these volume claims of a cluster that is being deleted with policy Delete."""

    claims: tuple[tuple[str, str], ...] = field(default=())  # (name, uid)

    @override
    def __str__(self) -> str:
        return f"Delete volume claims {', '.join(name for name, _ in self.claims)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now.  `reason` and `message` say for what; `recheck_s` seconds at the latest.

    `settled` is True when the wait is the wished-for end: everything is as the spec says.
    """

    reason: Reason
    message: str
    recheck_s: float = 10.0
    settled: bool = False

    @override
    def __str__(self) -> str:
        return self.message


Action = (
    AcceptSpec
    | RecordStarted
    | ApplyObjects
    | DeletePod
    | SetFinalizer
    | DeleteStatefulSet
    | DeleteClaims
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The step to take now, and the name of the rule that asked for it."""

    rule: str
    step: Action | Wait
