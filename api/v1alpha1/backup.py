"""EtcdBackup: what to save of a cluster, when, and where to."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from api.v1alpha1.common import (
    INT64,
    Conditions,
    Flag,
    Integer,
    Model,
    ObjectName,
    OptionalDuration,
    OptionalObjectName,
    Text,
    Time,
    empty_is_absent,
    matching,
    or_empty,
    text_schema,
)

# Five fields of numbers, names, ranges and steps, or one of cron's own words. What the fields may
# contain is left to whoever computes the next time.
SCHEDULE_PATTERN: Final = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)"
    r"|[0-9A-Za-z*?/,-]+( +[0-9A-Za-z*?/,-]+){4})$"
)
MAX_SCHEDULE_LENGTH: Final = 128
MAX_PATH_LENGTH: Final = 1024

Schedule = Annotated[
    Text,
    Field(max_length=MAX_SCHEDULE_LENGTH),
    AfterValidator(
        matching(SCHEDULE_PATTERN, "must be a cron expression of five fields, such as 0 2 * * *")
    ),
    text_schema(or_empty(SCHEDULE_PATTERN), MAX_SCHEDULE_LENGTH),
]
OptionalSchedule = Annotated[Schedule | None, BeforeValidator(empty_is_absent)]


class S3(Model):
    """A bucket in S3, or in a store that speaks its protocol."""

    bucket: Text = Field(description="The bucket's name.", max_length=MAX_PATH_LENGTH)
    region: Text = Field(default="", description="The region: us-west-2.", max_length=64)
    endpoint: Text = Field(
        default="", description="The store's URL, when it is not Amazon's.", max_length=2048
    )
    access_key_secret: OptionalObjectName = Field(
        default=None, description="The name of the Secret with the access key."
    )
    secret_key_secret: OptionalObjectName = Field(
        default=None, description="The name of the Secret with the secret key."
    )
    path: Text = Field(
        default="", description="The path inside the bucket.", max_length=MAX_PATH_LENGTH
    )


class RetentionPolicy(Model):
    """Which backups are kept."""

    max_backups: Integer | None = Field(
        default=None, ge=0, le=100_000, description="How many are kept at most; 0 or unset: all."
    )
    max_age: OptionalDuration = Field(
        default=None, description="How long one is kept: 30d or 12h. Unset: for ever."
    )


class BackupSpec(Model):
    """What to save, when, and where to."""

    cluster_name: ObjectName = Field(description="The EtcdCluster to save.")
    cluster_namespace: OptionalObjectName = Field(
        default=None, description="Its namespace; unset, the backup's own."
    )
    storage_type: Literal["S3", "GCS", "Azure", "Local"] = Field(
        description="The kind of store that the backup goes to."
    )
    schedule: OptionalSchedule = Field(
        default=None, description="A cron expression: 0 2 * * *. Unset: once, now."
    )
    s3: S3 | None = Field(default=None, description="Where to, with storageType S3.")
    retention_policy: RetentionPolicy = Field(
        default_factory=RetentionPolicy, description="Which backups are kept."
    )
    compression: Flag = Field(default=False, description="Whether the backup is compressed.")


class BackupStatus(Model):
    """The observed state of an EtcdBackup."""

    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that this status is about.",
        json_schema_extra=INT64,
    )
    phase: Text = Field(
        default="", description="A summary in one word: Running, Completed or Failed."
    )
    conditions: Conditions = Field(default=(), description="The observations.")
    backup_size: Integer | None = Field(
        default=None, description="Bytes of the backup.", json_schema_extra=INT64
    )
    start_time: Time | None = Field(default=None, description="When the backup started.")
    completion_time: Time | None = Field(default=None, description="When it was completed.")
    storage_path: Text = Field(default="", description="Where in the store the backup is.")
    etcd_version: Text = Field(default="", description="The etcd version of the saved member.")
    etcd_revision: Integer | None = Field(
        default=None, description="The revision that was saved.", json_schema_extra=INT64
    )


class EtcdBackup(Model):
    """A backup of an EtcdCluster, once or on a schedule."""

    spec: BackupSpec = Field(description="What to save, when, and where to.")
    status: BackupStatus = Field(
        default_factory=BackupStatus, description="What happened; written by the operator."
    )
