"""What the operator tells the pods that restore or examine a backup, and what they tell it back.

As for backups (`controllers.backup.order`, which has the store's place, the names of credentials
and the exit codes): the order is an argument, the answer the container's termination message, both
JSON, both without a secret. A restore's pod takes three steps on the seed member's volume, in this
order, each in a container of its own:

    fetch     `agent restore fetch`                 the backup → restore/snapshot.db, proven whole
    restore   `etcdutl` with `etcdutl_arguments`    → restore/data
    agent     `agent restore finish`                checked → data, with restored.json beside it

With a target, a revision or a time after the backup, `fetch` brings the changes up to there as
well, and `agent` has an etcd of the seed's version beside it (`controllers.restore.private_etcd`):
it replays them into restore/data, ends that etcd, and goes on as above.

Pure.
"""

from typing import Final, TypeVar

from pydantic import Field, ValidationError

from api.labels import DATA_MOUNT_PATH
from api.v1alpha1.common import Flag, Integer, Model, Text, Time
from api.v1alpha1.restore_source import target_words
from controllers.backup.order import Failed, Place

FETCH_CONTAINER: Final = "fetch"
RESTORE_CONTAINER: Final = "restore"
FINISH_CONTAINER: Final = "agent"

# `fetch` finds that an earlier pod has finished this very order: its message is that pod's answer.
# The other exit codes are the ones of backups: TRY_AGAIN, USAGE, GIVE_UP.
ALREADY_DONE: Final = 4

WORK_PATH: Final = f"{DATA_MOUNT_PATH}/restore"
SNAPSHOT_PATH: Final = f"{WORK_PATH}/snapshot.db"
RESTORED_DATA_PATH: Final = f"{WORK_PATH}/data"
# Below the volume's root: the certificate of the etcd that is replayed into.
REPLAY_TLS_FOLDER: Final = "restore/tls"

# Kubelet keeps 4096 bytes of a termination message.
_MOST_NOTES: Final = 5
_LONGEST_NOTE: Final = 300

_Answer = TypeVar("_Answer", bound=Model)


class _Wanted(Place):
    """Up to where: at most one of them. Without, the backup that `folder` names, and else the state
    at this revision, or this time, of the line of history that it is of.
    """

    revision: Integer | None = Field(default=None, ge=1, lt=1 << 63)
    point_in_time: Time | None = None

    @property
    def target(self) -> str:
        """In words; empty for the backup itself."""
        return target_words(self.revision, self.point_in_time)


class RestoreOrder(_Wanted):
    """Make the seed member's data directory of a backup.

    token: etcd's initial-cluster-token of the new epoch, by which an order knows its own work.
    folder: the backup's in the store, `<cluster ID>-<epoch>/<backup>`. member, peer_url: of the
    seed. etcd_version: the one it will run (`3.6.16`). bump_revision: by how much revisions jump
    ahead; what was readable before the jump is then marked as compacted. 0: not at all. encrypted:
    whether the environment has ENCRYPTION_KEY. skip_hash_check: take parts of the backup whose
    sha256 is wrong; changes have to be right all the same.
    """

    token: Text
    folder: Text
    member: Text
    peer_url: Text = Field(alias="peerURL")
    etcd_version: Text
    bump_revision: Integer = Field(default=0, ge=0, lt=1 << 62)
    encrypted: Flag = False
    skip_hash_check: Flag = False


class ExamineOrder(_Wanted):
    """Read all of a backup, with the changes up to the target, and say whether it can be restored.

    folder, etcd_version, encrypted, skip_hash_check: as above; without a version any will do.
    volume_size: bytes of the volume that it is for, where that is known.
    """

    folder: Text
    etcd_version: Text | None = None
    volume_size: Integer | None = Field(default=None, ge=1)
    encrypted: Flag = False
    skip_hash_check: Flag = False


class _OfBackup(Model):
    """What the manifest says. Sizes in bytes, versions as `3.6.16`.

    folder: the order's. base: where the backup is that is restored: with a target it may be another
    one of that line of history. source_*: whose data it is: etcd's cluster ID in hexadecimal, and
    the EtcdCluster at the time. keys: None where the member could not tell. notes: what to know
    about it, for people.
    """

    folder: Text
    base: Text = ""
    source_cluster_id: Text = Field(alias="sourceClusterID")
    source_epoch: Integer
    source_namespace: Text
    source_name: Text
    etcd_version: Text
    started_at: Time
    completed_at: Time
    revision: Integer
    compact_revision: Integer
    keys: Integer | None = None
    database_size: Integer
    backup_size: Integer
    key_id: Text = Field(default="", alias="keyID")
    notes: tuple[Text, ...] = ()


class Examined(_OfBackup):
    """The backup is whole, and fits. needed_size: bytes that a volume needs to restore it."""

    needed_size: Integer


class Replayed(Model):
    """The changes after the backup.

    revision: where they ended, as the saved cluster counted. time: of the last one, by the clock of
    who kept it; None where there was none. revisions, changes: how many. keys: how many there are
    now.
    """

    revision: Integer
    time: Time | None = None
    revisions: Integer
    changes: Integer
    keys: Integer


class Restored(_OfBackup):
    """The data directory is in its place. token, target: the order's. replayed: with a target.

    restored_revision: where the seed begins, the jump included. restored_compact_revision: what is
    older can't be read or watched. restored_size: bytes of the seed's database. auth_enabled: etcd
    will ask who is calling, by the users and passwords of the backup. alarms: those that were
    raised when the backup was taken, `NOSPACE <member ID>`: that member is gone, the alarm isn't.
    """

    token: Text
    target: Text = ""
    replayed: Replayed | None = None
    restored_revision: Integer
    restored_compact_revision: Integer
    restored_size: Integer
    auth_enabled: Flag
    alarms: tuple[Text, ...] = ()


def etcdutl_arguments(order: RestoreOrder) -> list[str]:
    """What `etcdutl` of the seed's image is called with, between `fetch` and `finish`."""
    jump = ["--bump-revision", str(order.bump_revision), "--mark-compacted"]
    return [
        *("snapshot", "restore", SNAPSHOT_PATH),
        *("--data-dir", RESTORED_DATA_PATH),
        *("--name", order.member),
        *("--initial-cluster", f"{order.member}={order.peer_url}"),
        *("--initial-cluster-token", order.token),
        *("--initial-advertise-peer-urls", order.peer_url),
        # etcd knows the one only together with the other.
        *(jump if order.bump_revision else []),
        *(["--skip-hash-check"] if order.skip_hash_check else []),
    ]


def short_notes(notes: tuple[str, ...]) -> tuple[str, ...]:
    """As many as kubelet has space for; the log has all of them."""
    shown = tuple(note[:_LONGEST_NOTE] for note in notes[:_MOST_NOTES])
    left = len(notes) - len(shown)
    return (*shown, f"and {left} more, see the pod's log") if left else shown


def read_restored(text: str) -> Restored | Failed | None:
    """What `fetch` (with ALREADY_DONE) or `finish` says; None when it is nothing of ours."""
    return _read(text, Restored)


def read_examined(text: str) -> Examined | Failed | None:
    """What `agent examine` says; None when it is nothing of ours."""
    return _read(text, Examined)


def _read(text: str, kind: type[_Answer]) -> _Answer | Failed | None:
    for each in (kind, Failed):
        try:
            return each.model_validate_json(text)
        except ValidationError:
            continue
    return None
