"""EtcdRestore: which backup becomes which cluster."""

from typing import Literal

from pydantic import Field

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.common import (
    INT32,
    INT64,
    Conditions,
    Flag,
    Integer,
    Model,
    ObjectName,
    Text,
    Time,
)
from api.v1alpha1.restore_source import RestoreSource


class RestoreSpec(RestoreSource):
    """Which backup becomes which cluster."""

    cluster_name: ObjectName = Field(description="The EtcdCluster to make or to replace.")
    cluster_template: ClusterSpec | None = Field(
        default=None,
        description="The spec of the new cluster, with restoreType New. Unset: the one that the"
        " EtcdBackup has recorded.",
    )
    restore_type: Literal["New", "Replace"] = Field(
        default="New",
        description="New makes another cluster; Replace gives an existing one the backup's data.",
    )
    old_data: Literal["Keep", "Discard", "PutBack"] = Field(
        default="Keep",
        description="What becomes of the data that the cluster had before, with restoreType"
        " Replace: its volumes are kept, deleted, or put back in their place. Can be changed"
        " afterwards.",
    )
    data_dir: Text = Field(
        default="",
        description="Where the data lies in the pod. Only the operator's own place is accepted.",
        max_length=4096,
    )
    wal_dir: Text = Field(
        default="",
        description="Where the log lies in the pod. Only the operator's own place is accepted.",
        max_length=4096,
    )
    skip_hash_check: Flag = Field(
        default=False,
        description="Whether a backup is restored although its hash is wrong: what is damaged is"
        " served then. The annotation etcd.etcd.io/confirm-skip-hash-check has to confirm it, by"
        " the EtcdRestore's own name.",
    )

    @property
    def source(self) -> RestoreSource:
        """What the cluster begins from."""
        fields = {name: getattr(self, name) for name in RestoreSource.model_fields}
        return RestoreSource(**fields)


class RestoreStatus(Model):
    """The observed state of an EtcdRestore."""

    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that this status is about.",
        json_schema_extra=INT64,
    )
    phase: Text = Field(
        default="",
        description="A summary in one word: Pending, Examining, Running, Completed, PutBack or"
        " Failed.",
    )
    percent: Integer | None = Field(
        default=None,
        description="How much of the way is done, by its steps: 10 the backup is examined, 20 the"
        " cluster has taken it up, 60 its first member's volume is filled, 80 that member serves,"
        " 100 all members do.",
        json_schema_extra=INT32,
    )
    conditions: Conditions = Field(default=(), description="The observations.")
    attempt: Text = Field(
        default="",
        description="Which state of the spec is carried out; an edit after a failure is another"
        " attempt.",
        max_length=64,
    )
    job: Text = Field(default="", description="The Job that examines the backup.", max_length=63)
    start_time: Time | None = Field(default=None, description="When the restore started.")
    completion_time: Time | None = Field(default=None, description="When it was completed.")
    storage_path: Text = Field(default="", description="Where the backup is that is restored.")
    base: Text = Field(
        default="",
        description="The backup that is restored, by its folder in the store: with a revision or a"
        " time asked for, the last one before it.",
    )
    etcd_version: Text = Field(
        default="", description="The etcd version that the backup was taken from."
    )
    etcd_revision: Integer | None = Field(
        default=None, description="The revision of the backup.", json_schema_extra=INT64
    )
    keys: Integer | None = Field(
        default=None,
        description="How many keys there are in the backup, where that is known.",
        json_schema_extra=INT64,
    )
    backup_size: Integer | None = Field(
        default=None,
        description="Bytes of the backup in the store, all of which were read and checked.",
        json_schema_extra=INT64,
    )
    notes: tuple[Text, ...] = Field(default=(), description="What to know about what is restored.")
    restored_cluster: Text = Field(default="", description="The cluster that was made, or asked.")
    restored_cluster_uid: Text = Field(
        default="",
        alias="restoredClusterUID",
        description="Its uid, as soon as it was seen.",
        max_length=64,
    )
    source_revision: Integer | None = Field(
        default=None,
        description="Where a revision or a time was asked for: the revision of the saved cluster"
        " whose state was restored.",
        json_schema_extra=INT64,
    )
    source_time: Time | None = Field(
        default=None,
        description="When the last change came that was replayed on the backup, if any was.",
    )
    replayed: Integer | None = Field(
        default=None,
        description="How many revisions were replayed on the backup.",
        json_schema_extra=INT64,
    )
    restored_size: Integer | None = Field(
        default=None, description="Bytes of the restored data.", json_schema_extra=INT64
    )


class EtcdRestore(Model):
    """A backup on its way to become a cluster."""

    spec: RestoreSpec = Field(description="Which backup becomes which cluster.")
    status: RestoreStatus = Field(
        default_factory=RestoreStatus, description="What happened; written by the operator."
    )
