"""The stable reasons of conditions and events: each with its meaning and the next step for whoever
reads it.

Reasons are part of the interface: alerts, scripts and health checks match them, so none is ever
renamed. docs/reference/conditions.md is generated from this module; `grep` for a reason leads from
there to the one rule that gives it.
"""

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """Why a condition has its status."""

    meaning: str
    next_step: str

    def __new__(cls, value: str, meaning: str, next_step: str) -> Self:
        """Make a member that is its own text and carries its documentation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.next_step = next_step
        return member

    # --- everything is as it should be
    CLUSTER_READY = (
        "ClusterReady",
        "All members are healthy voters with one leader.",
        "None.",
    )
    UP_TO_DATE = "UpToDate", "What is wanted is what runs.", "None."
    QUORUM_PRESENT = (
        "QuorumPresent",
        "More than half of the voters are healthy and have a leader.",
        "None.",
    )
    ALL_MEMBERS_HEALTHY = (
        "AllMembersHealthy",
        "Every member follows the leader.",
        "None.",
    )
    SPACE_SUFFICIENT = (
        "SpaceSufficient",
        "Every database is well below its quota.",
        "None.",
    )
    DATA_CONSISTENT = "DataConsistent", "No member raised the alarm CORRUPT.", "None."
    NOT_PAUSED = "NotPaused", "The operator looks after this cluster.", "None."
    TLS_DISABLED = "TLSDisabled", "The cluster speaks plain text, as its spec says.", "None."

    # --- on the way
    CREATING = (
        "Creating",
        "The cluster's objects are being made, or its members start for the first time.",
        "Wait; the message names what is missing.",
    )
    WAITING_FOR_PODS = (
        "WaitingForPods",
        "Pods exist but are not ready yet.",
        "Wait; when it lasts, `kubectl describe pod` of the pods that the message names.",
    )
    RECONCILING = (
        "Reconciling",
        "The operator is changing something; status.plan says what.",
        "Wait.",
    )
    DELETING = (
        "Deleting",
        "The cluster is being deleted, as spec.storage.deletionPolicy says.",
        "Wait; the message names what remains.",
    )
    STOPPED = (
        "Stopped",
        "spec.size is 0: no member runs, the volumes are kept.",
        "Set spec.size to start the cluster again.",
    )
    PAUSED = (
        "Paused",
        "spec.paused is true: the operator watches and changes nothing.",
        "Set spec.paused to false when you are done.",
    )

    # --- the user's turn
    INVALID_SPEC = (
        "InvalidSpec",
        "A field cannot be what it is; nothing is changed until it is corrected.",
        "Correct the field that the message names.",
    )
    NOT_SUPPORTED_YET = (
        "NotSupportedYet",
        "A field asks for something that this version of the operator cannot do.",
        "Take the field that the message names back to what it was, or use a newer operator.",
    )
    TEMPLATE_REFUSED = (
        "TemplateRefused",
        "The API server refuses the objects made from this spec.",
        "Correct the field in the server's message; often it is in spec.podTemplate.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An object with a name that the cluster needs exists and belongs to something else.",
        "Delete or rename the object that the message names, or give the cluster another name.",
    )
    LEFTOVER_VOLUMES = (
        "LeftoverVolumes",
        "Volume claims of an earlier cluster have the names that this one needs.",
        "Delete the claims that the message names, or give the cluster another name.",
    )
    STATUS_LOST = (
        "StatusLost",
        "Volumes of this very cluster exist, but its status records no bootstrap.",
        "Restore the status of the EtcdCluster from a backup; nothing is started until then.",
    )
    CONTAINER_CONFIG_ERROR = (
        "ContainerConfigError",
        "A node cannot create a member's container.",
        "Correct what the message names: a Secret, a ConfigMap, a security setting.",
    )
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "A node cannot pull the image.",
        "Correct spec.version or spec.repository, or give the pods a pull secret.",
    )
    PODS_REFUSED = (
        "PodsRefused",
        "The API server refuses to create the members' pods.",
        "Correct what the message names: pod security, a quota, spec.podTemplate.",
    )
    POD_UNSCHEDULABLE = (
        "PodUnschedulable",
        "No node takes a pod.",
        "Free resources, add nodes, or relax what the message names.",
    )
    VOLUME_PENDING = (
        "VolumePending",
        "A volume claim is not bound.",
        "Look at `kubectl describe pvc` of the claim: storage class, provisioner, quota.",
    )
    CRASH_LOOPING = (
        "CrashLooping",
        "A member's process ends again and again.",
        "Read the message, which is etcd's own last word, and `kubectl logs --previous`.",
    )
    EMPTY_DATA_DIRECTORY = (
        "EmptyDataDirectory",
        "A member lost its data and is kept down: its old identity could undo acknowledged writes.",
        "Keep the other members running; the member has to be replaced by a new one.",
    )
    VOLUME_LOST = (
        "VolumeLost",
        "A member's volume claim is gone or lost its volume.",
        "Keep the other members running; the member has to be replaced by a new one.",
    )
    CLUSTER_ID_MISMATCH = (
        "ClusterIDMismatch",
        "A member answers for another cluster than the one recorded in status.clusterID.",
        "Find out which data the member's volume holds before anything is deleted.",
    )
    MEMBER_ID_MISMATCH = (
        "MemberIDMismatch",
        "A member came up under another identity than it was given.",
        "Find out which data the member's volume holds before anything is deleted.",
    )

    # --- members in trouble
    MEMBERS_UNHEALTHY = (
        "MembersUnhealthy",
        "Some members are down or do not follow the leader; the rest keeps quorum.",
        "Look at the members that the message names; a pod that died comes back by itself.",
    )
    MEMBERS_UNREACHABLE = (
        "MembersUnreachable",
        "The operator cannot reach members whose pods are ready.",
        "Check network policies between the operator and the members, port 2379.",
    )
    QUORUM_LOST = (
        "QuorumLost",
        "Half of the voters or more are down: etcd accepts no write.",
        "Bring back the pods that the message names. Delete no volume.",
    )
    QUORUM_UNRECOVERABLE = (
        "QuorumUnrecoverable",
        "So many members lost their data that the others can never be a quorum again.",
        "Recover from the best survivor or a backup; nothing is begun anew. Delete no volume.",
    )
    NO_LEADER = (
        "NoLeader",
        "Enough voters answer, but they have no leader.",
        "Wait for the election; when it lasts, check the network between the members.",
    )
    SPACE_LOW = (
        "SpaceLow",
        "A member's database comes near its quota.",
        "Compact and defragment, delete keys, or plan for a larger quota.",
    )
    NO_SPACE = (
        "NoSpace",
        "The alarm NOSPACE is raised: the cluster accepts no write but deletions.",
        "Compact, defragment every member, then `etcdctl alarm disarm`.",
    )
    DATA_CORRUPT = (
        "DataCorrupt",
        "The alarm CORRUPT is raised: a member's data differs from the others'.",
        "Keep the other members running; the member that the message names has to be replaced.",
    )
    UPGRADE_FIRST = (
        "UpgradeFirst",
        "This etcd version can lose promotions of members: size changes wait.",
        "Upgrade to 3.5.20 or newer first.",
    )
    ROLLOUT_BLOCKED = (
        "RolloutBlocked",
        "A member did not become healthy on the new template: the roll has stopped.",
        "Correct the spec or take it back; the roll goes on by itself.",
    )
    UNKNOWN = (
        "Unknown",
        "It has not been possible to find out yet.",
        "Wait; when it lasts, look at the operator's log.",
    )


def _of(reason: Reason) -> tuple[str, str, str]:
    return (reason.value, reason.meaning, reason.next_step)


class EventReason(StrEnum):
    """What happened, or what needs someone: the reason of an event."""

    meaning: str
    next_step: str

    def __new__(cls, value: str, meaning: str, next_step: str = "None.") -> Self:
        """Make a member that is its own text and carries its documentation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.next_step = next_step
        return member

    @property
    def event_type(self) -> str:
        """The `type` of an Event: Warning when someone has to do something."""
        return "Normal" if self.next_step == "None." else "Warning"

    BOOTSTRAP_STARTED = "BootstrapStarted", "The first members of a new cluster are being started."
    BOOTSTRAP_COMPLETED = (
        "BootstrapCompleted",
        "All first members have started; from now on none may come back with an empty directory.",
    )
    CLUSTER_READY = "ClusterReady", "All members are healthy voters."
    OBJECT_CREATED = "ObjectCreated", "An object of the cluster was made."
    DRIFT_CORRECTED = (
        "DriftCorrected",
        "An object of the cluster was changed or deleted by someone else, and put right.",
    )
    MEMBER_RECOVERED = "MemberRecovered", "A member that was unhealthy is healthy again."
    QUORUM_RESTORED = "QuorumRestored", "The cluster accepts writes again."
    LEADER_CHANGED = "LeaderChanged", "Another member leads."
    PAUSED = "Paused", "spec.paused was set: the operator changes nothing from now on."
    RESUMED = "Resumed", "spec.paused was taken back."
    STOPPED = "Stopped", "The members were stopped because spec.size is 0; the volumes are kept."
    DELETING = "Deleting", "The deletion of the cluster has begun."
    VOLUMES_RETAINED = "VolumesRetained", "The cluster is gone; its volume claims were kept."
    VOLUMES_DELETED = (
        "VolumesDeleted",
        "The cluster's volume claims were deleted, as spec.storage.deletionPolicy says.",
    )
    CLEANUP_INCOMPLETE = (
        "CleanupIncomplete",
        "The cluster is gone, but what the message lists could not be deleted in time.",
        "Delete it by hand.",
    )
    # --- the conditions that also deserve an event when they set in
    INVALID_SPEC = _of(Reason.INVALID_SPEC)
    NOT_SUPPORTED_YET = _of(Reason.NOT_SUPPORTED_YET)
    TEMPLATE_REFUSED = _of(Reason.TEMPLATE_REFUSED)
    NAME_CONFLICT = _of(Reason.NAME_CONFLICT)
    LEFTOVER_VOLUMES = _of(Reason.LEFTOVER_VOLUMES)
    STATUS_LOST = _of(Reason.STATUS_LOST)
    CONTAINER_CONFIG_ERROR = _of(Reason.CONTAINER_CONFIG_ERROR)
    IMAGE_PULL_FAILED = _of(Reason.IMAGE_PULL_FAILED)
    PODS_REFUSED = _of(Reason.PODS_REFUSED)
    POD_UNSCHEDULABLE = _of(Reason.POD_UNSCHEDULABLE)
    VOLUME_PENDING = _of(Reason.VOLUME_PENDING)
    CRASH_LOOPING = _of(Reason.CRASH_LOOPING)
    EMPTY_DATA_DIRECTORY = _of(Reason.EMPTY_DATA_DIRECTORY)
    VOLUME_LOST = _of(Reason.VOLUME_LOST)
    CLUSTER_ID_MISMATCH = _of(Reason.CLUSTER_ID_MISMATCH)
    MEMBER_ID_MISMATCH = _of(Reason.MEMBER_ID_MISMATCH)
    MEMBERS_UNHEALTHY = _of(Reason.MEMBERS_UNHEALTHY)
    MEMBERS_UNREACHABLE = _of(Reason.MEMBERS_UNREACHABLE)
    QUORUM_LOST = _of(Reason.QUORUM_LOST)
    QUORUM_UNRECOVERABLE = _of(Reason.QUORUM_UNRECOVERABLE)
    NO_SPACE = _of(Reason.NO_SPACE)
    DATA_CORRUPT = _of(Reason.DATA_CORRUPT)
    UPGRADE_FIRST = _of(Reason.UPGRADE_FIRST)
    ROLLOUT_BLOCKED = _of(Reason.ROLLOUT_BLOCKED)
