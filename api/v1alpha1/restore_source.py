"""From which backup, and up to where, data are restored: the part that an EtcdCluster's bootstrap
and an EtcdRestore have in common.
"""

from datetime import UTC, datetime
from typing import Final, Literal

from pydantic import ConfigDict, Field

from api.v1alpha1.backup import Encryption
from api.v1alpha1.backup_stores import GCS, S3, Azure, Local, Path
from api.v1alpha1.common import (
    INT64,
    Integer,
    Model,
    OptionalObjectName,
    Time,
    cel,
)

ONE_SOURCE_MESSAGE: Final = "must name either a backup (backupName) or a store, and not both"
ONE_TARGET_MESSAGE: Final = "must name at most one of revision and pointInTime"
# Far beyond what any cluster reaches, and far from the end of etcd's numbers.
MAX_BUMP: Final = 1 << 60

# RFC 3339 with nanoseconds and an offset.
MAX_TIME_LENGTH: Final = 64


class StoreSource(Model):
    """A backup straight from its store: its EtcdBackup, and its cluster, may be long gone."""

    storage_type: Literal["S3", "GCS", "Azure", "Local"] = Field(
        description="The kind of store that the backup is in."
    )
    s3: S3 | None = Field(default=None, description="Where, with storageType S3.")
    gcs: GCS | None = Field(default=None, description="Where, with storageType GCS.")
    azure: Azure | None = Field(default=None, description="Where, with storageType Azure.")
    local: Local | None = Field(default=None, description="Where, with storageType Local.")
    service_account_name: OptionalObjectName = Field(
        default=None,
        description="The service account of the pod that fetches the backup: with an identity that"
        " the cloud gives it, no keys are needed. Its token for the API server is not mounted.",
    )
    path: Path = Field(
        description="The backup's folder below the store's own path: `<cluster ID>-<epoch>/<name>`,"
        " what stands at the end of an EtcdBackup's status.storagePath.",
    )
    encryption: Encryption | None = Field(
        default=None, description="The key that the backup was encrypted with."
    )


class RestoreSource(Model):
    """Which backup is restored, and up to where."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(has(self.backupName) && self.backupName != '') != has(self.store)",
            ONE_SOURCE_MESSAGE,
        )
    )

    backup_name: OptionalObjectName = Field(
        default=None, description="The EtcdBackup to restore. It has to be completed."
    )
    backup_namespace: OptionalObjectName = Field(
        default=None,
        description="The namespace of that EtcdBackup, where it is another one: the EtcdBackup has"
        " to allow it by the annotation etcd.etcd.io/allow-restore-from-namespaces, which lists"
        " namespaces, or is an asterisk. Secrets and service accounts of the same names are then"
        " needed in the namespace that is restored into.",
    )
    store: StoreSource | None = Field(
        default=None, description="The backup in its store, instead of an EtcdBackup."
    )
    revision: Integer | None = Field(
        default=None,
        ge=1,
        description="Up to exactly this revision, by the changes that were kept after a backup: the"
        " last backup before it is restored, whichever one of its cluster's history is named."
        " Unset, the backup as it is.",
        json_schema_extra=INT64,
    )
    point_in_time: Time | None = Field(
        default=None,
        description="Up to the state at this time, to the second, in the same way. Unset, the"
        " backup as it is.",
        json_schema_extra={"maxLength": MAX_TIME_LENGTH},
    )
    bump_revision: Integer | None = Field(
        default=None,
        ge=0,
        le=MAX_BUMP,
        description="How far revisions jump ahead, so that whoever watched the former cluster sees"
        " that it is another one, instead of revisions that go back. Unset: not at all for a new"
        " cluster, 1000000000 where one is replaced.",
        json_schema_extra=INT64,
    )

    @property
    def target(self) -> str:
        """What is asked for beyond the backup itself, in words; empty for nothing."""
        return target_words(self.revision, self.point_in_time)


def target_words(revision: int | None, point_in_time: datetime | None) -> str:
    """A revision, or a time; empty for neither."""
    if revision is not None:
        return f"revision {revision}"
    return "" if point_in_time is None else f"{point_in_time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Bootstrap(Model):
    """What a new cluster begins from."""

    restore_from: RestoreSource | None = Field(
        default=None,
        description="The backup that the cluster's data are made of; unset, it begins empty. Read"
        " when the cluster is first made, and never again: it can't be changed afterwards, but"
        " left out.",
    )
