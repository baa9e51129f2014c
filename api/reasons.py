"""The stable reasons of conditions: each with its meaning and the next step for whoever reads it.

Reasons are part of the interface: alerts, scripts and health checks match them, so none is ever
renamed. docs/reference/conditions.md is generated from this module; `grep` for a reason leads from
there to the one rule that gives it.
"""

from enum import StrEnum
from typing import Final, Self


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
    CERTIFICATES_VALID = (
        "CertificatesValid",
        "Every certificate is there and valid; the message says until when.",
        "None.",
    )
    AUTH_ENFORCED = (
        "AuthEnforced",
        "etcd asks who is calling, and users and roles are as the spec says.",
        "None.",
    )
    AUTH_DISABLED = (
        "AuthDisabled",
        "Every client may do everything, as spec.security.auth.enabled says.",
        "None.",
    )
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
    SCALING = (
        "Scaling",
        "The number of members is being brought to spec.size, one member at a time.",
        "Wait; status.plan says which member joins or leaves.",
    )
    MEMBER_JOINING = (
        "MemberJoining",
        "A new member has been added and is not a voter yet.",
        "Wait; when it lasts, look at the pod that the message names.",
    )
    MEMBER_REPLACING = (
        "MemberReplacing",
        "A lost member is being replaced by a new one with an empty volume.",
        "Wait; status.plan says how far it got.",
    )
    WAITING_TO_REPLACE = (
        "WaitingToReplace",
        "A member is lost, and its replacement waits until it cannot cost the quorum.",
        "Bring back the members that the message names, or wait for the moment that it names.",
    )
    ROLLING_OUT = (
        "RollingOut",
        "The members are being restarted on a new template, one after the other.",
        "Wait; status.plan says whose turn it is.",
    )
    UPGRADING = (
        "Upgrading",
        "The members are being brought to another version of etcd, one after the other.",
        "Wait; status.upgrade shows the path. Until all run it, spec.version can be put back.",
    )
    DOWNGRADING = (
        "Downgrading",
        "The members are being brought to an older minor version by etcd's own downgrade.",
        "Wait; status.upgrade shows the path. Until all run it, spec.version can be put back.",
    )
    VOLUME_RESIZING = (
        "VolumeResizing",
        "The members' volumes are being made larger, while the members run.",
        "Wait. Where the message asks for a restart: annotate it with etcd.etcd.io/restart.",
    )
    VOLUME_MIGRATION = (
        "VolumeMigration",
        "A member moves to a new volume, of the class and size that spec.storage names.",
        "Wait; status.plan says how far it got.",
    )
    WAITING_FOR_WINDOW = (
        "WaitingForWindow",
        "An edit that restarts healthy members waits for a maintenance window.",
        "Wait for the moment in status.plan.notBefore, or change spec.maintenanceWindows.",
    )
    VOLUMES_DIFFER = (
        "VolumesDiffer",
        "Some volumes have another class than spec.storage names, or are larger; they stay.",
        "To move the members to new volumes, set spec.storage.migrationPolicy to Replace.",
    )
    OPERATOR_CHANGES = (
        "OperatorChanges",
        "This version of the operator would make the members' pods otherwise than they are.",
        "Set spec.acceptOperatorChanges to true, or have a maintenance window.",
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
    NOT_CONFIRMED = (
        "NotConfirmed",
        "A field asks for something dangerous, and the annotation that confirms it is not there.",
        "Set the annotation that the message names, or take the field back.",
    )
    TEMPLATE_REFUSED = (
        "TemplateRefused",
        "The API server refuses the objects made from this spec.",
        "Correct the field in the server's message; often it is in spec.podTemplate.",
    )
    NOT_ALLOWED = (
        "NotAllowed",
        "The operator lacks a permission that the next step needs.",
        "Grant what the message names, as the shipped install.yaml does.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An object with a name that the cluster needs exists and belongs to something else.",
        "Delete or rename the object that the message names, or give the cluster another name.",
    )
    LEFTOVER_VOLUMES = (
        "LeftoverVolumes",
        "Volume claims of an earlier cluster have the names that this one needs.",
        "Set spec.storage.existingVolumes to Adopt or Discard, or give the cluster another name.",
    )
    STATUS_LOST = (
        "StatusLost",
        "Volumes of this very cluster exist, but its status records no bootstrap.",
        "Set spec.storage.existingVolumes to Adopt: it goes on from what the claims record.",
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
        "The API server refuses to create the pods of members, or of a backup.",
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
        "Keep the other members running: the member is replaced by a new one.",
    )
    VOLUME_LOST = (
        "VolumeLost",
        "A member's volume claim is gone or lost its volume.",
        "Keep the other members running: the member is replaced by a new one.",
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

    # --- why a member is replaced
    NODE_LOST = (
        "NodeLost",
        "A member's node is gone, out of service, or silent.",
        "Wait: the node comes back, or the member is replaced after recovery.nodeLossSeconds.",
    )
    DATA_ERROR = (
        "DataError",
        "A member's process ends because it cannot read its own data.",
        "Wait: the member is replaced. Look at the disk of its node.",
    )
    MEMBER_REMOVED = (
        "MemberRemoved",
        "A member was taken off etcd's list, but not by the operator.",
        "Wait: the member is replaced. To have fewer members, lower spec.size.",
    )
    REPLACEMENT_REQUESTED = (
        "ReplacementRequested",
        "The annotation etcd.etcd.io/replace asks for a new member in the place of this one.",
        "Wait; the annotation is taken off when the replacement begins.",
    )

    # --- membership that cannot go on
    MEMBER_WITHDRAWN = (
        "MemberWithdrawn",
        "A new member did not become a voter in time and was taken back.",
        "Correct what kept it from starting; a change of the spec tries again at once.",
    )
    REPLACEMENT_LIMIT = (
        "ReplacementLimit",
        "Two members were replaced within the hour, and one more is lost: new ones are no cure.",
        "Find out why; to replace this one too, annotate its pod etcd.etcd.io/replace=true.",
    )
    UNKNOWN_MEMBER = (
        "UnknownMember",
        "etcd lists a member that is none of the operator's: membership stays as it is.",
        "Remove it with `etcdctl member remove` and the ID in the message.",
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
        "Keep the other members running: the member that the message names is replaced.",
    )
    UPGRADE_FIRST = (
        "UpgradeFirst",
        "This etcd version can lose promotions of members: size changes wait.",
        "Upgrade to 3.5.20 or newer first.",
    )
    PROBE_FAILED = (
        "ProbeFailed",
        "A pod with the new image does not report the version that was asked for.",
        "Correct spec.version or spec.repository; no member was touched.",
    )
    NOT_SAVED = (
        "NotSaved",
        "The backup that is to be taken before another version, or before the deletion, failed.",
        "Put right what the message quotes and delete that EtcdBackup, or go on without one.",
    )
    VERSION_REFUSED = (
        "VersionRefused",
        "The members cannot go from the version they run to the one that spec.version names.",
        "Set spec.version to what the message names.",
    )
    VOLUME_REFUSED = (
        "VolumeRefused",
        "The members' volumes cannot have the size or the class that spec.storage names.",
        "Do what the message says, or set the field back; the volumes are as they were.",
    )
    HASHES_DIFFER = (
        "HashesDiffer",
        "Members give different hashes of the same data: no version is changed on such a cluster.",
        "Find out which member is wrong, and have it replaced (annotation etcd.etcd.io/replace).",
    )
    ROLLOUT_BLOCKED = (
        "RolloutBlocked",
        "A member did not become healthy on the new template: the roll has stopped.",
        "Correct the spec or take it back; the roll goes on by itself.",
    )
    CERTIFICATES_PENDING = (
        "CertificatesPending",
        "A certificate is being made, for the first time or anew.",
        "Wait; the message says which and why.",
    )
    CERT_MANAGER_MISSING = (
        "CertManagerMissing",
        "spec.security.tls.issuerRef is set, and Kubernetes has no Certificates of cert-manager.",
        "Install cert-manager, or take issuerRef out; looked for every few seconds.",
    )
    CERTIFICATE_SECRET_MISSING = (
        "CertificateSecretMissing",
        "A Secret that spec.security.tls names does not exist.",
        "Make the Secret that the message names, with what it says; looked for every few seconds.",
    )
    CERTIFICATE_REFUSED = (
        "CertificateRefused",
        "A certificate of yours can't be used; members that run keep the one that they have.",
        "Correct the Secret as the message says; it is looked at again every few seconds.",
    )
    CERTIFICATE_EXPIRING = (
        "CertificateExpiring",
        "A certificate of yours, or an authority above it, ends soon and was not renewed.",
        "Renew it in the Secret that the message names, by the same authority.",
    )
    AUTHORITY_LOST = (
        "CertificateAuthorityLost",
        "The Secret of a certificate authority is missing or altered: nothing can be renewed.",
        "Restore the Secret that the message names from a backup, before the certificates expire.",
    )
    AUTHORITY_EXPIRING = (
        "CertificateAuthorityExpiring",
        "A certificate authority comes to its end, and no certificate can outlive it.",
        "The operator replaces it long before; see in status.plan what keeps it from doing so.",
    )
    ROTATING_AUTHORITY = (
        "RotatingAuthority",
        "A certificate authority is being replaced by the next one, in steps that cut nobody off.",
        "Wait; the message says how far it is. status.authorities.rotation has it in full.",
    )
    SWITCHING_TLS = (
        "SwitchingTLS",
        "TLS is being switched on or off, in steps that cut nobody off before it is over.",
        "Have clients use status.clientEndpoints; the message says until when the old one serves.",
    )
    AUTH_PENDING = (
        "AuthPending",
        "Users and roles are being changed, or authentication is being switched on or off.",
        "Wait; status.plan says what comes next.",
    )
    AUTH_REFUSED = (
        "AuthRefused",
        "etcd did not carry out a change of users and roles; it is tried again.",
        "Read the message, which is etcd's own.",
    )
    CREDENTIALS_MISSING = (
        "CredentialsMissing",
        "A Secret that a user's password should be in is missing or can't be used.",
        "Make or correct the Secret that the message names.",
    )
    ACCESS_DENIED = (
        "AccessDenied",
        "etcd asks who is calling, and the operator is not root: it can do nothing.",
        "Switch it off (`etcdctl auth disable` as root), and use spec.security.auth instead.",
    )
    # --- backups
    BACKUP_COMPLETED = (
        "BackupCompleted",
        "The backup is in the store, whole and checked.",
        "None.",
    )
    BACKUP_RUNNING = (
        "BackupRunning",
        "A Job takes the backup.",
        "Wait; when it lasts, `kubectl logs` of the Job in status.job.",
    )
    BACKUP_FAILED = (
        "BackupFailed",
        "The backup was not taken; what was uploaded of it is no backup.",
        "Do what the message says, then edit the spec, or make another EtcdBackup.",
    )
    BACKUP_VERIFIED = (
        "BackupVerified",
        "The backup was restored into an etcd of its own, which served what had been saved.",
        "None.",
    )
    BACKUP_VERIFYING = (
        "BackupVerifying",
        "A Job restores the backup into an etcd of its own, and compares.",
        "Wait; when it lasts, `kubectl logs --all-containers` of the Job that the message names.",
    )
    VERIFICATION_FAILED = (
        "VerificationFailed",
        "The backup could not be restored, or has other data than were saved.",
        "Take another backup now, and find out what became of this one: the message has the part.",
    )
    VERIFICATION_NOT_DONE = (
        "VerificationNotDone",
        "Whether the backup can be restored is not known: it could not be tried out.",
        "Do what the message says, then annotate the EtcdBackup with etcd.etcd.io/verify=again.",
    )
    SNAPSHOT_FAILED = (
        "SnapshotFailed",
        "No member gave its data: the message has etcd's words.",
        "Look at the conditions of the EtcdCluster; the backup is tried again a few times.",
    )
    STORE_FORBIDDEN = (
        "StoreForbidden",
        "The store does not accept the credentials, or they lack a right.",
        "Correct the Secret that the spec names, or the rights in the store, and edit the spec.",
    )
    STORE_MISSING = (
        "StoreMissing",
        "There is no such bucket, container or folder.",
        "Make it, or correct its name in the spec.",
    )
    STORE_FULL = "StoreFull", "The store has no space left, or a quota is used up.", "Make room."
    STORE_UNAVAILABLE = (
        "StoreUnavailable",
        "The store did not answer, or answered that it can't at the moment.",
        "Check the endpoint and the network; the backup is tried again a few times.",
    )
    STORE_REFUSED = (
        "StoreRefused",
        "The store refused, for a reason that is in its own words in the message.",
        "Correct what the message names.",
    )
    CLUSTER_NOT_FOUND = (
        "ClusterNotFound",
        "The EtcdCluster that spec.clusterName names is not there.",
        "Correct spec.clusterName, or create the cluster: the backup then goes on.",
    )
    NO_MEMBER_RUNS = (
        "NoMemberRuns",
        "The EtcdCluster has no member that could be saved: it forms, or sleeps.",
        "Wait, or set spec.size of the EtcdCluster: the backup then goes on.",
    )
    OPERATOR_IMAGE_UNKNOWN = (
        "OperatorImageUnknown",
        "Backups are taken and restored by pods with the operator's image, which it does not know.",
        "Start the operator with --image, or OPERATOR_IMAGE in its environment.",
    )
    SCHEDULED = "Scheduled", "Backups are taken at the times of the schedule.", "None."
    SUSPENDED = (
        "Suspended",
        "spec.suspend is true: the schedule makes no backups.",
        "Set spec.suspend to false when you are done.",
    )
    CLOCK_BEHIND = (
        "ClockBehind",
        "Backups were made for times that, by the operator's clock, are still to come.",
        "Correct the clock; if it was ahead once, make another EtcdBackup with the schedule.",
    )
    ARCHIVING = "Archiving", "Changes are kept as they come.", "None."
    ARCHIVER_STARTING = (
        "ArchiverStarting",
        "The pod that keeps the changes is being made, or has just begun.",
        "Wait; when it lasts, look at the pods of the Deployment in status.archive.name.",
    )
    ARCHIVER_SILENT = (
        "ArchiverSilent",
        "The pod that keeps the changes does not say how far it is.",
        "Read its log; a NetworkPolicy has to let the operator in to port 8080 of it.",
    )
    ARCHIVER_FAILING = (
        "ArchiverFailing",
        "Changes can't be kept at the moment, in the words of etcd or of the store.",
        "Correct what the message names; it is tried again all the time.",
    )
    BASE_NEEDED = (
        "BaseNeeded",
        "Changes can't be kept before there is a backup that they go on from.",
        "Wait: one is made at once, and when it fails another one some minutes later.",
    )
    BACKUP_EXPIRED = (
        "BackupExpired",
        "The backup is beyond the retention policy of its schedule: its data are deleted.",
        "Wait; where the message has the store's words, mend that: it is tried again every day.",
    )
    EDITED_TOO_LATE = (
        "EditedTooLate",
        "The spec was changed after the backup was taken: it is as it was.",
        "Make another EtcdBackup, or take the edit back.",
    )
    # --- restores
    RESTORE_REFUSED = (
        "RestoreRefused",
        "The cluster can't be given a backup's data as it is just now: nothing was changed.",
        "Do what the message says, then ask again: edit the EtcdRestore, or make another.",
    )
    RESTORE_WITHDRAWN = (
        "RestoreWithdrawn",
        "The annotation that asked for a backup's data is gone, or asks for another one's.",
        "None.",
    )
    PREPARING_DATA = (
        "PreparingData",
        "A backup's data are prepared on a volume of their own; the members serve as before.",
        "Wait; status.restore and status.nextEpoch say how far it is.",
    )
    OLD_DATA_UNUSABLE = (
        "OldDataUnusable",
        "The data that the cluster had before a restore can't be put back as it is just now.",
        "Do what the message says, or set oldData to Keep.",
    )
    BACKUP_NOT_FOUND = (
        "BackupNotFound",
        "There is no backup where it is looked for: nothing is restored.",
        "Correct the name or the path; see which backups there are with `kubectl get etcdbackup`.",
    )
    BACKUP_UNREADABLE = (
        "BackupUnreadable",
        "What says what the backup is made of is damaged, or was written by a later release.",
        "Do what the message says, or restore another backup.",
    )
    BACKUP_INCOMPLETE = (
        "BackupIncomplete",
        "An object of the backup is missing in the store: nothing is restored.",
        "Bring the object that the message names back, or restore another backup.",
    )
    BACKUP_DAMAGED = (
        "BackupDamaged",
        "The backup has other bytes than were written: nothing is restored.",
        "Bring the object that the message names back, or restore another backup.",
    )
    TARGET_NOT_RESTORABLE = (
        "TargetNotRestorable",
        "The revision or time that is asked for is in no backup, and not reached by changes.",
        "Ask for one that can be restored: the message names the nearest ones.",
    )
    CHANGES_DAMAGED = (
        "ChangesDamaged",
        "The changes after the backup are not as they were written: nothing is restored.",
        "Bring the object that the message names back, or ask for a revision or time before it.",
    )
    ENCRYPTION_KEY_MISSING = (
        "EncryptionKeyMissing",
        "The backup is encrypted, and its key was not given.",
        "Name the Secret with the key that the message names.",
    )
    ENCRYPTION_KEY_REFUSED = (
        "EncryptionKeyRefused",
        "The Secret has no key of a backup, or one that does not open this backup.",
        "Correct the Secret as the message says.",
    )
    BACKUP_TOO_NEW = (
        "BackupTooNew",
        "The backup was taken from a newer minor version of etcd: data can't go back.",
        "Set spec.version to at least the version that the message names.",
    )
    VOLUME_TOO_SMALL = (
        "VolumeTooSmall",
        "The volume has no space for the backup and the data made of it.",
        "Set spec.storage.size to at least what the message says.",
    )
    TARGET_NOT_EMPTY = (
        "TargetNotEmpty",
        "The volume has data of etcd already, which a restore never overwrites.",
        "Restore into a new cluster, or delete the claim that the message is about yourself.",
    )
    RESTORE_FAILED = (
        "RestoreFailed",
        "The backup could not be made into data of a member.",
        "Read the message; where it can pass it is tried again.",
    )
    AUTH_RESTORED = (
        "AuthRestored",
        "The backup has etcd ask who is calling, and the spec has it ask nobody.",
        "Set spec.security.auth.enabled to true; it can be switched off once the cluster runs.",
    )
    EXAMINING_BACKUP = (
        "ExaminingBackup",
        "A Job reads the whole backup and checks it, before anything is changed.",
        "Wait; when it lasts, `kubectl logs` of the Job in status.job.",
    )
    RESTORING = (
        "Restoring",
        "The EtcdCluster is being given the backup's data.",
        "Wait; the message is the cluster's own, and status.percent says how far it is.",
    )
    RESTORE_COMPLETED = (
        "RestoreCompleted",
        "The cluster serves the backup's data, with all its members.",
        "None.",
    )
    PUT_BACK = (
        "OldDataPutBack",
        "The cluster has the data again that it had before the restore, as spec.oldData asked.",
        "None.",
    )
    BACKUP_NOT_COMPLETED = (
        "BackupNotCompleted",
        "The EtcdBackup that spec.backupName names is not in the store.",
        "Wait while it is taken; else name another.",
    )
    BACKUP_NOT_SHARED = (
        "BackupNotShared",
        "The EtcdBackup is in another namespace, which does not allow this one to restore it.",
        "Annotate the EtcdBackup as the message says, or make the EtcdRestore in its namespace.",
    )
    TARGET_EXISTS = (
        "TargetExists",
        "An EtcdCluster of that name exists already: it was left as it is.",
        "Name another in spec.clusterName, or set spec.restoreType to Replace.",
    )
    TARGET_GONE = (
        "TargetGone",
        "The EtcdCluster was deleted before its data was restored.",
        "Edit the spec, or make another EtcdRestore, to begin again.",
    )
    TEMPLATE_NEEDED = (
        "ClusterTemplateNeeded",
        "Nothing says what the new EtcdCluster should be like.",
        "Set spec.clusterTemplate.",
    )
    RESTORE_OVERTAKEN = (
        "RestoreOvertaken",
        "Another EtcdRestore asked the cluster for its backup: this one does not.",
        "Wait for the end of the other, then edit the spec to begin again.",
    )
    UNKNOWN = (
        "Unknown",
        "It has not been possible to find out yet.",
        "Wait; when it lasts, look at the operator's log.",
    )


_BY_VALUE: Final = {reason.value: reason for reason in Reason}


def reason_of(text: str) -> Reason:
    """The reason that a status names; UNKNOWN for one that only another version knows."""
    return _BY_VALUE.get(text, Reason.UNKNOWN)
