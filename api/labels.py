"""Every name that this operator gives: labels, annotations, objects of a cluster, finalizer, field
managers.

Pure functions of the cluster's name, so that a name never has to be looked up, and no two
clusters' objects can have the same one: `metadata.name` may not end in one of `RESERVED_SUFFIXES`.
"""

import re
from typing import Final, NamedTuple

GROUP: Final = "etcd.etcd.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

MANAGED_BY: Final = "etcd-operator"

# --- labels
NAME_LABEL: Final = "app.kubernetes.io/name"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
# On everything of a cluster, and on its volume claims above all: the name alone cannot tell a
# cluster from an earlier one of the same name.
CLUSTER_UID_LABEL: Final = f"{GROUP}/cluster-uid"
# On the Job of an EtcdBackup and its pods.
BACKUP_UID_LABEL: Final = f"{GROUP}/backup-uid"
# The component of what keeps the changes between backups.
ARCHIVER_COMPONENT: Final = "archiver"
# On the Job of an EtcdRestore and its pods, and on the EtcdCluster that it made.
RESTORE_UID_LABEL: Final = f"{GROUP}/restore-uid"
# On an EtcdBackup that a schedule made: the uid of the one with the schedule.
SCHEDULE_UID_LABEL: Final = f"{GROUP}/schedule-uid"
# On a PersistentVolume that is kept: whose data it holds.
MEMBER_LABEL: Final = f"{GROUP}/member"

# What a podTemplate or a service may not set: selectors and the finding of volumes depend on it.
RESERVED_LABELS: Final = frozenset({NAME_LABEL, INSTANCE_LABEL, COMPONENT_LABEL, MANAGED_BY_LABEL})

# --- annotations
# The hash of the object as it was last applied: tells fields that are no longer wanted.
APPLIED_HASH_ANNOTATION: Final = f"{GROUP}/applied-hash"
# Asks for a member's replacement: on a pod "true", on the EtcdCluster the pods' names.
REPLACE_ANNOTATION: Final = f"{GROUP}/replace"
# Asks for a restart of every member, one after the other: a new value is a new request.
RESTART_ANNOTATION: Final = f"{GROUP}/restart"
# Confirms that an EtcdCluster may be deleted together with its data: its own name.
CONFIRM_DELETION_ANNOTATION: Final = f"{GROUP}/confirm-deletion"
# Confirms that a backup may be restored although its hash is wrong: the EtcdRestore's own name.
CONFIRM_SKIP_HASH_CHECK_ANNOTATION: Final = f"{GROUP}/confirm-skip-hash-check"
# On an EtcdCluster that such an EtcdRestore made: with the value "true", the same.
SKIP_HASH_CHECK_ANNOTATION: Final = f"{GROUP}/skip-hash-check"
# Names a version that the cluster may go to although no backup could be taken before.
UNSAVED_ANNOTATION: Final = f"{GROUP}/upgrade-without-backup"
# Asks for another certificate authority: client, peer or all. Taken away when it is recorded.
ROTATE_ANNOTATION: Final = f"{GROUP}/rotate-authority"
# On a pod and its template: changes with anything in the template but the members' resources.
TEMPLATE_HASH_ANNOTATION: Final = f"{GROUP}/template-hash"
# On a pod: the revision of the template whose resources it was given in place, or could not be.
RESIZED_ANNOTATION: Final = f"{GROUP}/resized"
NOT_RESIZED_ANNOTATION: Final = f"{GROUP}/not-resized"
# On a pod: the ID of the member whose file is closed. Kubelet looks at its files anew for it.
CLOSED_ANNOTATION: Final = f"{GROUP}/closed"
# On a pod: the certificate that it is to show. Kubelet looks at its files anew for it.
SHOW_ANNOTATION: Final = f"{GROUP}/certificate"
# On volume claims: which cluster their data belongs to, so that a later one can adopt it.
MEMBERSHIP_ANNOTATION: Final = f"{GROUP}/membership"

# On an EtcdBackup that a schedule made: for which time.
SCHEDULED_AT_ANNOTATION: Final = f"{GROUP}/scheduled-at"
# On the Job of an EtcdBackup: where in the store it puts the backup.
STORAGE_PATH_ANNOTATION: Final = f"{GROUP}/storage-path"
# On an EtcdBackup: with the value "true", delete it, and before that what it has in the store.
EXPIRED_ANNOTATION: Final = f"{GROUP}/expired"
# On an EtcdBackup: another value than before asks for its verification.
VERIFY_ANNOTATION: Final = f"{GROUP}/verify"
# On an EtcdBackup: the namespaces that may restore it besides its own, with commas between them.
ALLOW_RESTORE_ANNOTATION: Final = f"{GROUP}/allow-restore-from-namespaces"
# On an EtcdCluster that an EtcdRestore made: which of its attempts.
RESTORE_ATTEMPT_ANNOTATION: Final = f"{GROUP}/restore-attempt"
# On the pod that restores: the uid of the volume claim that it was made for.
CLAIM_ANNOTATION: Final = f"{GROUP}/claim"
# On an EtcdCluster: asks it to begin anew from a backup (v1alpha1/restore_request.py).
RESTORE_ANNOTATION: Final = f"{GROUP}/restore"
# On an EtcdCluster: what becomes of the data that it had before: Keep, Discard or PutBack.
OLD_DATA_ANNOTATION: Final = f"{GROUP}/restore-old-data"

# --- finalizer and field managers
FINALIZER: Final = f"{GROUP}/cleanup"
FIELD_MANAGER: Final = "etcd-operator"

# --- names of a cluster's objects
# The first of the epochs that status.bootstrap.epoch counts.
FIRST_EPOCH: Final = 1
# Leaves 18 characters for what Kubernetes and we append: a pod's label holds the StatefulSet's
# name, a dash and a revision's hash in 63 characters.
MAX_CLUSTER_NAME_LENGTH: Final = 45
CLUSTER_NAME_PATTERN: Final = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
RESERVED_SUFFIXES: Final = ("-peer", "-ca", "-tls", "-config", "-probe")

# --- names inside a member's pod
ETCD_CONTAINER: Final = "etcd"
# Of the first epoch; `data_volume_name` has the others'.
DATA_VOLUME: Final = "data"
CONFIG_VOLUME: Final = "config"
DATA_MOUNT_PATH: Final = "/var/lib/etcd"
CONFIG_MOUNT_PATH: Final = "/etc/etcd"
# With TLS: one volume and one folder for each Secret.
TLS_MOUNT_PATH: Final = "/etc/etcd-tls"
SERVER_TLS_VOLUME: Final = "etcd-server-tls"
PEER_TLS_VOLUME: Final = "etcd-peer-tls"
CLIENT_TLS_VOLUME: Final = "etcd-client-tls"

_DATA_VOLUME: Final = re.compile(rf"{DATA_VOLUME}(?:-(?P<epoch>[2-9]|[1-9][0-9]{{1,8}}))?")


class ClaimPlace(NamedTuple):
    """Whose volume a claim is: in which epoch of the cluster's data, of which member."""

    epoch: int
    ordinal: int


def is_reserved_key(key: str) -> bool:
    """Say whether a label or annotation is ours to set: the recommended four, and our own
    prefix.
    """
    return key in RESERVED_LABELS or key.startswith(f"{GROUP}/")


def selector_labels(cluster: str) -> dict[str, str]:
    """Return the labels that select exactly the members' pods of one cluster in its namespace.

    With managed-by, because charts of etcd give their pods the same name and instance.
    """
    return {NAME_LABEL: "etcd", INSTANCE_LABEL: cluster, MANAGED_BY_LABEL: MANAGED_BY}


def backup_labels(cluster: str) -> dict[str, str]:
    """Return the labels of the pods that take backups of one cluster in its namespace."""
    return {NAME_LABEL: "etcd-backup", INSTANCE_LABEL: cluster, MANAGED_BY_LABEL: MANAGED_BY}


def archiver_labels(cluster: str, backup_uid: str) -> dict[str, str]:
    """Return the labels of the pod that keeps the changes for one EtcdBackup: where backups may
    call the members, it may.
    """
    return {
        **backup_labels(cluster),
        COMPONENT_LABEL: ARCHIVER_COMPONENT,
        BACKUP_UID_LABEL: backup_uid,
    }


def restore_labels(cluster: str) -> dict[str, str]:
    """Return the labels of the pods that examine backups for one cluster in its namespace."""
    return {NAME_LABEL: "etcd-restore", INSTANCE_LABEL: cluster, MANAGED_BY_LABEL: MANAGED_BY}


def object_labels(cluster: str, cluster_uid: str) -> dict[str, str]:
    """Return the labels that every object of the cluster carries."""
    return {
        **selector_labels(cluster),
        COMPONENT_LABEL: "etcd",
        CLUSTER_UID_LABEL: cluster_uid,
    }


def pod_selector(cluster: str) -> str:
    """Return the selector of the members' pods as text, in the form of `status.selector`."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector_labels(cluster).items()))


def stateful_set_name(cluster: str) -> str:
    return cluster


def client_service_name(cluster: str) -> str:
    return cluster


def peer_service_name(cluster: str) -> str:
    return f"{cluster}-peer"


def config_map_name(cluster: str) -> str:
    return f"{cluster}-config"


def disruption_budget_name(cluster: str) -> str:
    return cluster


def network_policy_name(cluster: str) -> str:
    """Return the name of the NetworkPolicy; not the cluster's own, which users give to theirs."""
    return f"{cluster}-members"


def probe_name(cluster: str) -> str:
    """Return the name of the pod that tries out another image before a member runs it."""
    return f"{cluster}-probe"


def probe_labels(cluster: str, cluster_uid: str) -> dict[str, str]:
    """Return the labels of that pod: no selector of the members' finds it, and our caches do."""
    return {**object_labels(cluster, cluster_uid), NAME_LABEL: "etcd-probe"}


def restore_pod_name(cluster: str, epoch: int) -> str:
    """Return the name of the pod that makes the first member's data of a backup.

    The epoch comes first: a name that ends in a number is a member's, of some cluster.
    """
    return f"{cluster}-{epoch}-restore"


def restore_pod_labels(cluster: str, cluster_uid: str) -> dict[str, str]:
    """Return the labels of that pod: no selector of the members' finds it, and our caches do."""
    return {**object_labels(cluster, cluster_uid), NAME_LABEL: "etcd-restore"}


def restore_pod_epoch(cluster: str, name: str) -> int | None:
    """Return the epoch of such a pod, or None when the name is not one of this cluster's."""
    before, suffix, after = name.rpartition("-restore")
    return pod_ordinal(cluster, before) if suffix and not after else None


def client_ca_secret_name(cluster: str) -> str:
    """Return the name of the Secret with the CA of servers and clients, and its key."""
    return f"{cluster}-ca"


def peer_ca_secret_name(cluster: str) -> str:
    """Return the name of the Secret with the CA that only members have certificates of."""
    return f"{cluster}-peer-ca"


def server_secret_name(cluster: str) -> str:
    return f"{cluster}-server-tls"


def peer_secret_name(cluster: str) -> str:
    return f"{cluster}-peer-tls"


def client_secret_name(cluster: str) -> str:
    """Return the name of the Secret that applications mount."""
    return f"{cluster}-client-tls"


def issued_server_name(cluster: str) -> str:
    """Return the name of cert-manager's Certificate for servers, and of its Secret."""
    return f"{cluster}-server-issued"


def issued_client_name(cluster: str) -> str:
    """Return the name of cert-manager's Certificate for clients, and of its Secret."""
    return f"{cluster}-client-issued"


def operator_secret_name(cluster: str) -> str:
    """Return the name of the Secret that the operator calls etcd with."""
    return f"{cluster}-operator-tls"


def pod_name(cluster: str, ordinal: int) -> str:
    """Return the name of a member's pod, which is also the member's name in etcd."""
    return f"{cluster}-{ordinal}"


def data_volume_name(epoch: int) -> str:
    """Return what the members' data volume and its claim template are called: `data`, and in a
    later epoch `data-2`, so that the volumes of the one before stay what they are.
    """
    return DATA_VOLUME if epoch == FIRST_EPOCH else f"{DATA_VOLUME}-{epoch}"


def is_data_volume_name(name: str) -> bool:
    """Say whether some epoch's data volume is called so."""
    return _DATA_VOLUME.fullmatch(name) is not None


def volume_claim_name(cluster: str, ordinal: int, epoch: int) -> str:
    """Return the claim's name: a StatefulSet joins the template's name and the pod's with a
    dash.
    """
    return f"{data_volume_name(epoch)}-{pod_name(cluster, ordinal)}"


def claim_place(cluster: str, name: str) -> ClaimPlace | None:
    """Return whose claim it is by its name, or None when the name is none of this cluster's.

    Unambiguous: the name of a cluster does not begin with a digit.
    """
    volume, dash, member = name.rpartition(f"-{cluster}-")
    found, ordinal = _DATA_VOLUME.fullmatch(volume), pod_ordinal(cluster, f"{cluster}-{member}")
    if not dash or found is None or ordinal is None:
        return None
    return ClaimPlace(int(found["epoch"] or FIRST_EPOCH), ordinal)


def pod_ordinal(cluster: str, name: str) -> int | None:
    """Return the ordinal of a member's pod, or None when the name is not one of this cluster's."""
    prefix, _, ordinal = name.rpartition("-")
    is_canonical = ordinal.isascii() and ordinal.isdigit() and str(int(ordinal)) == ordinal
    return int(ordinal) if prefix == cluster and is_canonical else None
