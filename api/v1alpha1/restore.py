"""EtcdRestore: which backup becomes which cluster."""

from typing import Literal

from pydantic import Field

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.common import (
    INT64,
    Conditions,
    Flag,
    Integer,
    Model,
    ObjectName,
    OptionalObjectName,
    Text,
    Time,
)


class RestoreSpec(Model):
    """Which backup becomes which cluster."""

    backup_name: ObjectName = Field(description="The EtcdBackup to restore from.")
    backup_namespace: OptionalObjectName = Field(
        default=None, description="Its namespace; unset, the restore's own."
    )
    cluster_name: ObjectName = Field(description="The EtcdCluster to make or to replace.")
    cluster_template: ClusterSpec | None = Field(
        default=None, description="The spec of the new cluster, with restoreType New."
    )
    restore_type: Literal["New", "Replace"] = Field(
        default="New",
        description="New makes another cluster; Replace takes the place of an existing one.",
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
        default=False, description="Whether a backup is restored although its hash is wrong."
    )


class RestoreStatus(Model):
    """The observed state of an EtcdRestore."""

    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that this status is about.",
        json_schema_extra=INT64,
    )
    phase: Text = Field(
        default="", description="A summary in one word: Running, Completed or Failed."
    )
    conditions: Conditions = Field(default=(), description="The observations.")
    start_time: Time | None = Field(default=None, description="When the restore started.")
    completion_time: Time | None = Field(default=None, description="When it was completed.")
    restored_cluster: Text = Field(default="", description="The cluster that was restored.")
    restored_size: Integer | None = Field(
        default=None, description="Bytes of the restored data.", json_schema_extra=INT64
    )


class EtcdRestore(Model):
    """A backup on its way to become a cluster."""

    spec: RestoreSpec = Field(description="Which backup becomes which cluster.")
    status: RestoreStatus = Field(
        default_factory=RestoreStatus, description="What happened; written by the operator."
    )
