"""What the operator tells the pod that takes a backup, and what that pod tells it afterwards.

The order is an argument of the pod's command, the answer its termination message: both JSON, both
without a secret. Shared by rendering, the reading of pods, and the command itself. Pure.
"""

from typing import Final

from pydantic import Field, ValidationError

from api.reasons import Reason, reason_of
from api.v1alpha1.backup_stores import GCS, S3, Azure, Local
from api.v1alpha1.common import Flag, Integer, Model, Text, Time

# Kubelet keeps 4096 bytes of a termination message.
_LONGEST_WORDS: Final = 2000

# The command's exit codes: its Job tries again after the first, and gives up at once after the
# second. 2 is what the command line says of arguments that it doesn't know.
TRY_AGAIN: Final = 1
GIVE_UP: Final = 3
USAGE: Final = 2

# Where things are in the pod, and under which names its environment has the credentials.
VOLUME_PATH: Final = "/backup"
TLS_PATH: Final = "/etc/etcd-tls/client"
MESSAGE_PATH: Final = "/dev/termination-log"
S3_ACCESS_KEY: Final = "BACKUP_S3_ACCESS_KEY"
S3_SECRET_KEY: Final = "BACKUP_S3_SECRET_KEY"  # noqa: S105 - a name
GCS_KEY: Final = "BACKUP_GCS_KEY"
AZURE_KEY: Final = "BACKUP_AZURE_KEY"
# Keys in the form of `snapshots.keys`, from this entry of the Secret that the spec names.
ENCRYPTION_KEY: Final = "BACKUP_ENCRYPTION_KEY"
ENCRYPTION_KEY_ENTRY: Final = "key"


class MemberAddress(Model):
    """A member that may be asked. id: etcd's, hexadecimal; empty when it is not known."""

    name: Text
    id: Text = ""
    host: Text
    port: Integer


class Place(Model):
    """The store: of the four exactly one is there."""

    s3: S3 | None = None
    gcs: GCS | None = None
    azure: Azure | None = None
    local: Local | None = None


class Removal(Place):
    """Delete a backup from the store. folder: its path there, `<cluster ID>-<epoch>/<backup>`."""

    folder: Text


class Order(Place):
    """Take a snapshot of the first of these members that answers, and store it.

    backup: the name of its folder in the store. cluster_id: etcd's, hexadecimal; a member of
    another cluster is not believed. encrypted: whether the environment has ENCRYPTION_KEY.
    """

    namespace: Text
    cluster: Text
    cluster_uid: Text
    cluster_id: Text = Field(alias="clusterID")
    epoch: Integer
    backup: Text
    members: tuple[MemberAddress, ...]
    tls: Flag
    compression: Flag
    encrypted: Flag = False


class Saved(Model):
    """The backup is in the store, and this is what is in it. Sizes in bytes.

    key_id: of the key that it is encrypted with; empty for none.
    """

    started_at: Time
    completed_at: Time
    storage_path: Text
    backup_size: Integer
    database_size: Integer
    sha256: Text
    member: Text
    etcd_version: Text
    etcd_revision: Integer
    keys: Integer | None = None
    key_id: Text = Field(default="", alias="keyID")


class Proven(Model):
    """The backup was restored, and etcd served what had been saved.

    etcd_version: of that etcd. keys, kv_hash: None where the manifest has none to compare with.
    """

    proven_at: Time
    etcd_version: Text
    etcd_revision: Integer
    keys: Integer | None = None
    kv_hash: Integer | None = None


class Failed(Model):
    """No backup, for that reason, in the words of whoever refused."""

    failed: Text
    message: Text

    @property
    def reason(self) -> Reason:
        return reason_of(self.failed)


def failed(reason: Reason, message: str) -> Failed:
    """The answer, short enough for kubelet."""
    return Failed(failed=reason.value, message=message[:_LONGEST_WORDS])


def read_answer(text: str) -> Saved | Proven | Failed | None:
    """What a termination message says; None when it is none of ours."""
    for kind in (Saved, Proven, Failed):
        try:
            return kind.model_validate_json(text)
        except ValidationError:
            continue
    return None
