"""The stable reasons of events: what happened, and what to do about it where someone has to.

Part of the interface, as the reasons of conditions in api/reasons.py are; those that set in with
a condition share its name, meaning and next step. docs/reference/conditions.md is generated from
both modules.
"""

from enum import StrEnum
from typing import Self

from api.reasons import Reason


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
    RESTORE_BEGUN = (
        "RestoreBegun",
        "The volume of a cluster's first member is being prepared from a backup.",
    )
    DATA_RESTORED = (
        "DataRestored",
        "The first member has the backup's data on its volume, and is started.",
    )
    # --- membership
    PLANNED = "Planned", "A change of membership begins, or goes on with its next step."
    MEMBER_ADDED = "MemberAdded", "A member was added to etcd's list as a learner."
    MEMBER_PROMOTED = "MemberPromoted", "A learner has caught up and is a voter."
    MEMBER_REMOVED = "MemberRemoved", "A member was taken off etcd's list, for ever."
    MEMBER_REPLACED = "MemberReplaced", "A new member has taken the place of a lost one."
    LEADER_MOVED = "LeaderMoved", "Leadership was handed over, so that the leader could leave."
    SCALED = "Scaled", "The cluster has as many voters as spec.size says."
    SCALING = "Scaling", "spec.size has changed: members join or leave, one at a time."
    VOLUME_DISCARDED = (
        "VolumeDiscarded",
        "The volume claim of a member that is gone for good was deleted.",
    )
    VOLUME_KEPT = (
        "VolumeKept",
        "The claim of a member that is gone was deleted, its PersistentVolume kept and labelled.",
    )
    VOLUMES_RESIZED = "VolumesResized", "Another size was asked for of volumes that are in use."
    STATEFUL_SET_RENEWED = (
        "StatefulSetRenewed",
        "The StatefulSet was deleted without its pods and made anew, with other claim templates.",
    )
    SHORT_OUTAGE = (
        "ShortOutage",
        "The only voter is restarted: writes wait until it is back.",
    )
    ROLLOUT_STARTED = "RolloutStarted", "An edit is in force: members are restarted, one by one."
    MEMBER_RESTARTED = "MemberRestarted", "A member is restarted on the newest template."
    MEMBER_RESIZED = "MemberResized", "A member is given other resources without a restart."
    UPGRADE_STARTED = "UpgradeStarted", "The members go to another version, by the path it names."
    UPGRADE_UNSAVED = (
        "UpgradeWithoutSnapshot",
        "No snapshot was taken before the change of version: there is no backup target.",
        "Take one with `etcdctl snapshot save`, if there is none.",
    )
    VERSION_WARNING = (
        "VersionWarning",
        "The change of version is allowed, but not what is recommended.",
        "Read the message.",
    )
    HASHES_UNKNOWN = (
        "HashesNotCompared",
        "The members' data could not be compared at one revision in time; the change goes on.",
        "Compare it with `etcdctl endpoint hashkv --cluster` when you can.",
    )
    VERSION_REACHED = "VersionReached", "Every member runs the version, with the same data."
    DOWNGRADE_ENABLED = "DowngradeEnabled", "etcd makes its data fit the older version."
    DOWNGRADE_CANCELLED = "DowngradeCancelled", "The downgrade was taken back."
    UPGRADED = "Upgraded", "Every member runs the version that spec.version names."
    CERTIFICATE_ISSUED = "CertificateIssued", "A certificate was made, for the reason it names."
    CERTIFICATE_COPIED = (
        "CertificateCopied",
        "A certificate of yours was found fit; new connections use it within about a minute.",
    )
    AUTHORITY_ROTATING = (
        "AuthorityRotating",
        "The replacement of a certificate authority has come to its next phase.",
    )
    AUTHORITY_ROTATED = (
        "AuthorityRotated",
        "A certificate authority was replaced: nobody trusts the old one any more.",
    )
    TLS_SWITCHING = (
        "TLSSwitching",
        "TLS is being switched on or off, and comes to its next phase; clients read the endpoints.",
    )
    TLS_SWITCHED = "TLSSwitched", "TLS was switched on or off; the message has the endpoints."
    AUTH_CHANGED = "AuthChanged", "Users and roles in etcd were brought to what the spec says."
    AUTH_SWITCHED_ON = "AuthSwitchedOn", "From now on etcd asks who is calling."
    AUTH_SWITCHED_OFF = "AuthSwitchedOff", "From now on every client may do everything."
    DATA_CHANGES = (
        "DataChanges",
        "The cluster's way to other data, or back to its own, has come to its next step.",
    )
    DATA_SET_ASIDE = (
        "DataSetAside",
        "Other data take the place of the members' own, whose volumes are kept.",
    )
    DATA_DISCARDED = (
        "DataDiscarded",
        "The volume claims of data that were set aside, or prepared in vain, were deleted.",
    )
    WOKEN = "Woken", "spec.size is no longer 0: the recorded voters are being started."
    ADOPTED = "Adopted", "The volumes of an earlier cluster were taken over with their data."
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
    # --- backups
    BACKUP_STARTED = "BackupStarted", "A Job was made that takes the backup."
    BACKUP_COMPLETED = _of(Reason.BACKUP_COMPLETED)
    BACKUP_SCHEDULED = "BackupScheduled", "An EtcdBackup was made for a time of the schedule."
    BACKUP_REPLACED = (
        "BackupReplaced",
        "An unfinished EtcdBackup of the schedule was deleted: concurrencyPolicy is Replace.",
    )
    BACKUP_EXPIRED = (
        "BackupExpired",
        "A backup is beyond the retention policy: it is deleted, its data in the store first.",
    )
    BACKUP_VERIFYING = _of(Reason.BACKUP_VERIFYING)
    BACKUP_VERIFIED = _of(Reason.BACKUP_VERIFIED)
    ARCHIVER_APPLIED = (
        "ArchiverApplied",
        "The Deployment that keeps the changes was made, or corrected.",
    )
    ARCHIVER_DELETED = (
        "ArchiverDeleted",
        "The Deployment that keeps the changes was deleted.",
    )
    BASE_MADE = (
        "BaseMade",
        "An EtcdBackup was made between two times of the schedule, for changes to go on from.",
    )
    SCHEDULE_MISSED = (
        "ScheduleMissed",
        "A time of the schedule passed by more than startingDeadlineSeconds: it is not made up.",
        "Look whether the operator was down, or an earlier backup of the schedule never ends.",
    )
    RESTORE_STARTED = "RestoreStarted", "A Job was made that examines the backup."
    BACKUP_EXAMINED = "BackupExamined", "The whole backup was read and is as it was written."
    HASH_CHECK_SKIPPED = (
        "HashCheckSkipped",
        "A backup is restored although its hash may be wrong, as spec.skipHashCheck asks.",
        "Check the data that the cluster serves; status.notes names what was damaged.",
    )
    RESTORE_CLUSTER_MADE = "RestoreClusterMade", "The EtcdCluster was made that begins from it."
    RESTORE_CLUSTER_ASKED = (
        "RestoreClusterAsked",
        "The EtcdCluster was asked to take the backup's data, or what becomes of its old data.",
    )
    RESTORE_COMPLETED = _of(Reason.RESTORE_COMPLETED)
    PUT_BACK = _of(Reason.PUT_BACK)
    # --- the conditions that also deserve an event when they set in
    INVALID_SPEC = _of(Reason.INVALID_SPEC)
    NOT_SUPPORTED_YET = _of(Reason.NOT_SUPPORTED_YET)
    NOT_CONFIRMED = _of(Reason.NOT_CONFIRMED)
    TEMPLATE_REFUSED = _of(Reason.TEMPLATE_REFUSED)
    NOT_ALLOWED = _of(Reason.NOT_ALLOWED)
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
    DATA_ERROR = _of(Reason.DATA_ERROR)
    MEMBER_WITHDRAWN = _of(Reason.MEMBER_WITHDRAWN)
    REPLACEMENT_LIMIT = _of(Reason.REPLACEMENT_LIMIT)
    UNKNOWN_MEMBER = _of(Reason.UNKNOWN_MEMBER)
    WAITING_TO_REPLACE = _of(Reason.WAITING_TO_REPLACE)
    ROLLOUT_BLOCKED = _of(Reason.ROLLOUT_BLOCKED)
    PROBE_FAILED = _of(Reason.PROBE_FAILED)
    NOT_SAVED = _of(Reason.NOT_SAVED)
    VERSION_REFUSED = _of(Reason.VERSION_REFUSED)
    HASHES_DIFFER = _of(Reason.HASHES_DIFFER)
    CERT_MANAGER_MISSING = _of(Reason.CERT_MANAGER_MISSING)
    CERTIFICATE_SECRET_MISSING = _of(Reason.CERTIFICATE_SECRET_MISSING)
    CERTIFICATE_REFUSED = _of(Reason.CERTIFICATE_REFUSED)
    CERTIFICATE_EXPIRING = _of(Reason.CERTIFICATE_EXPIRING)
    AUTHORITY_LOST = _of(Reason.AUTHORITY_LOST)
    AUTHORITY_EXPIRING = _of(Reason.AUTHORITY_EXPIRING)
    CREDENTIALS_MISSING = _of(Reason.CREDENTIALS_MISSING)
    AUTH_REFUSED = _of(Reason.AUTH_REFUSED)
    ACCESS_DENIED = _of(Reason.ACCESS_DENIED)
    OPERATOR_CHANGES = _of(Reason.OPERATOR_CHANGES)
    BACKUP_FAILED = _of(Reason.BACKUP_FAILED)
    SNAPSHOT_FAILED = _of(Reason.SNAPSHOT_FAILED)
    VERIFICATION_FAILED = _of(Reason.VERIFICATION_FAILED)
    VERIFICATION_NOT_DONE = _of(Reason.VERIFICATION_NOT_DONE)
    STORE_FORBIDDEN = _of(Reason.STORE_FORBIDDEN)
    STORE_MISSING = _of(Reason.STORE_MISSING)
    STORE_FULL = _of(Reason.STORE_FULL)
    STORE_UNAVAILABLE = _of(Reason.STORE_UNAVAILABLE)
    STORE_REFUSED = _of(Reason.STORE_REFUSED)
    ARCHIVER_FAILING = _of(Reason.ARCHIVER_FAILING)
    BASE_NEEDED = _of(Reason.BASE_NEEDED)
    OPERATOR_IMAGE_UNKNOWN = _of(Reason.OPERATOR_IMAGE_UNKNOWN)
    CLOCK_BEHIND = _of(Reason.CLOCK_BEHIND)
    EDITED_TOO_LATE = _of(Reason.EDITED_TOO_LATE)
    BACKUP_NOT_FOUND = _of(Reason.BACKUP_NOT_FOUND)
    BACKUP_UNREADABLE = _of(Reason.BACKUP_UNREADABLE)
    BACKUP_INCOMPLETE = _of(Reason.BACKUP_INCOMPLETE)
    BACKUP_DAMAGED = _of(Reason.BACKUP_DAMAGED)
    ENCRYPTION_KEY_MISSING = _of(Reason.ENCRYPTION_KEY_MISSING)
    ENCRYPTION_KEY_REFUSED = _of(Reason.ENCRYPTION_KEY_REFUSED)
    BACKUP_TOO_NEW = _of(Reason.BACKUP_TOO_NEW)
    VOLUME_TOO_SMALL = _of(Reason.VOLUME_TOO_SMALL)
    TARGET_NOT_EMPTY = _of(Reason.TARGET_NOT_EMPTY)
    RESTORE_FAILED = _of(Reason.RESTORE_FAILED)
    BACKUP_NOT_COMPLETED = _of(Reason.BACKUP_NOT_COMPLETED)
    BACKUP_NOT_SHARED = _of(Reason.BACKUP_NOT_SHARED)
    TARGET_EXISTS = _of(Reason.TARGET_EXISTS)
    TARGET_GONE = _of(Reason.TARGET_GONE)
    TEMPLATE_NEEDED = _of(Reason.TEMPLATE_NEEDED)
    RESTORE_OVERTAKEN = _of(Reason.RESTORE_OVERTAKEN)
    CLUSTER_NOT_FOUND = _of(Reason.CLUSTER_NOT_FOUND)
    AUTH_RESTORED = _of(Reason.AUTH_RESTORED)
