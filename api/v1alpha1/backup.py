"""EtcdBackup: what to save of a cluster, when, and where to."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from api.schedule import check_cron, expand_cron
from api.v1alpha1.backup_stores import GCS, S3, Azure, Local
from api.v1alpha1.common import (
    FREE_FORM,
    INT32,
    INT64,
    MAX_SUBDOMAIN_LENGTH,
    Conditions,
    Duration,
    Flag,
    Integer,
    Json,
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
from api.v1alpha1.maintenance import TimeZone

# Five fields of numbers, names, ranges and steps, or one of cron's own words.
SCHEDULE_PATTERN: Final = (
    r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)"
    r"|[0-9A-Za-z*?/,-]+( +[0-9A-Za-z*?/,-]+){4})$"
)
MAX_SCHEDULE_LENGTH: Final = 128
_LONGEST_S: Final = 366 * 86400
_MOST_PERIODS: Final = 10_000
MAX_WINDOWS: Final = 32
# <cluster ID>-<epoch>/<backup>
_MAX_FOLDER_LENGTH: Final = 16 + 1 + 10 + 1 + MAX_SUBDOMAIN_LENGTH


def _check_due(text: str) -> str:
    check_cron(expand_cron(text))
    return text


Schedule = Annotated[
    Text,
    Field(max_length=MAX_SCHEDULE_LENGTH),
    AfterValidator(
        matching(SCHEDULE_PATTERN, "must be a cron expression of five fields, such as 0 2 * * *")
    ),
    AfterValidator(_check_due),
    text_schema(or_empty(SCHEDULE_PATTERN), MAX_SCHEDULE_LENGTH),
]
Periods = Annotated[Integer | None, Field(ge=0, le=_MOST_PERIODS)]
OptionalSchedule = Annotated[Schedule | None, BeforeValidator(empty_is_absent)]


def _kept(periods: str) -> str:
    return (
        f"Of how many of the newest {periods} that have a good backup the last one is kept, by the"
        " clock of spec.timeZone, beyond maxBackups and maxAge. Without those two, what none of the"
        " three keeps goes. 0 or unset: none."
    )


class RetentionPolicy(Model):
    """Which backups of a schedule are kept; the newest good one always is."""

    max_backups: Integer | None = Field(
        default=None, ge=0, le=100_000, description="How many are kept at most; 0 or unset: all."
    )
    max_age: OptionalDuration = Field(
        default=None, description="How long one is kept: 30d or 12h. Unset: for ever."
    )
    keep_hourly: Periods = Field(default=None, description=_kept("hours"))
    keep_daily: Periods = Field(default=None, description=_kept("days"))
    keep_weekly: Periods = Field(default=None, description=_kept("weeks (Monday to Sunday)"))


class Encryption(Model):
    """With which key the backup is encrypted before it leaves the pod."""

    key_secret: ObjectName = Field(
        description="The name of a Secret in the same namespace. Its entry key has 32 bytes in"
        " base64 (openssl rand -base64 32); with several lines, the first is for new backups, and"
        " all are for reading."
    )


class Continuous(Model):
    """The changes between two backups, kept as they come."""

    enabled: Flag = Field(
        default=False,
        description="Whether changes are kept. It takes a schedule: its backups are what the"
        " changes go on from. One is made at once where none goes on from what is there.",
    )
    flush_interval: Duration = Field(
        default="20s",
        description="How long changes wait at most until they are in the store: what is lost when"
        " the cluster is lost. From 1s to 10m.",
    )
    max_bytes: Integer = Field(
        default=10 * 2**20,
        ge=64 * 2**10,
        le=64 * 2**20,
        description="How many bytes of changes go to the store without waiting any longer.",
        json_schema_extra=INT32,
    )


class Verify(Model):
    """A backup restored into a throw-away etcd, and compared with what was saved."""

    enabled: Flag = Field(default=False, description="Whether backups are verified.")
    schedule: OptionalSchedule = Field(
        default=None,
        description="A cron expression, by the clock of spec.timeZone: then the newest good backup"
        " of spec.schedule is verified. Unset: each backup, as soon as it is completed.",
    )


class Verification(Model):
    """What came of the last verification of a backup."""

    result: Literal["Passed", "Failed", "Unknown"] = Field(
        description="Passed: it was restored, and is what was saved. Failed: it can't be restored,"
        " or has other data. Unknown: it could not be tried out."
    )
    time: Time = Field(description="When.")
    reason: Text = Field(default="", description="Why, in one word.")
    message: Text = Field(default="", description="What was compared, or went wrong.")
    request: Text = Field(
        default="",
        description="What asked for it: completion, or the value of the annotation"
        " etcd.etcd.io/verify.",
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
    s3: S3 | None = Field(default=None, description="Where to, with storageType S3.")
    gcs: GCS | None = Field(default=None, description="Where to, with storageType GCS.")
    azure: Azure | None = Field(default=None, description="Where to, with storageType Azure.")
    local: Local | None = Field(default=None, description="Where to, with storageType Local.")
    service_account_name: OptionalObjectName = Field(
        default=None,
        description="The service account of the pod that takes the backup: with an identity that"
        " the cloud gives it, no keys are needed. Its token for the API server is not mounted.",
    )
    compression: Flag = Field(default=False, description="Whether the backup is compressed.")
    encryption: Encryption | None = Field(
        default=None,
        description="How the backup is encrypted (AES-256-GCM). Unset: by the store alone, if it"
        " does.",
    )
    continuous: Continuous | None = Field(
        default=None,
        description="Whether the changes between two backups are kept as well, by a pod of its own,"
        " so that any state in between can be restored.",
    )
    verify: Verify | None = Field(
        default=None,
        description="Whether backups are tried out, and when. One that is completed already is by"
        " annotating it: etcd.etcd.io/verify=<any new text>.",
    )
    schedule: OptionalSchedule = Field(
        default=None,
        description="A cron expression: 0 2 * * *. Each time is an EtcdBackup of its own. A time"
        " that the zone's clock skips is when it jumps; one that it shows twice is the first,"
        " unless the hour is an asterisk. Unset: once, now.",
    )
    time_zone: TimeZone = Field(
        default="UTC", description="The IANA name of the schedule's time zone: Europe/Berlin."
    )
    suspend: Flag = Field(
        default=False,
        description="Whether the schedule makes no backups for now. The last time that passed"
        " meanwhile is made up for afterwards.",
    )
    starting_deadline_seconds: Integer | None = Field(
        default=None,
        ge=1,
        le=_LONGEST_S,
        description="How late a backup of the schedule may start, because the operator was down or"
        " another backup still ran. Unset: the last one that was missed is always made up for.",
    )
    concurrency_policy: Literal["Forbid", "Replace", "Allow"] = Field(
        default="Forbid",
        description="What becomes of a time of the schedule while an earlier backup of it is not"
        " finished: it waits (Forbid), the earlier one is deleted (Replace), or both run (Allow),"
        " once the earlier one has begun.",
    )
    retention_policy: RetentionPolicy = Field(
        default_factory=RetentionPolicy,
        description="Which backups of the schedule are kept. Unset: all.",
    )


class Window(Model):
    """A time of which every state can be restored: a backup, and all changes after it."""

    start_time: Time = Field(description="The time of its first state.")
    end_time: Time = Field(description="Up to which time all changes are in the store.")
    start_revision: Integer = Field(
        description="The revision of its first state.", json_schema_extra=INT64
    )
    end_revision: Integer = Field(
        description="The last revision whose changes are in the store.", json_schema_extra=INT64
    )
    base: Text = Field(
        description="The backup that the first state is in: its folder in the store.",
        max_length=_MAX_FOLDER_LENGTH,
    )


class ArchiveStatus(Model):
    """How far the changes are kept. What came after is lost with the cluster."""

    name: Text = Field(default="", description="The Deployment that keeps them.", max_length=63)
    revision: Integer | None = Field(
        default=None,
        description="Up to which revision all changes are in the store.",
        json_schema_extra=INT64,
    )
    time: Time | None = Field(
        default=None, description="Up to which time all changes are in the store."
    )
    cluster_revision: Integer | None = Field(
        default=None, description="Where the cluster was then.", json_schema_extra=INT64
    )
    lag_seconds: Integer | None = Field(
        default=None,
        description="How many seconds of changes would have been lost with the cluster when this"
        " was written: while all is well that is once a minute. Metrics tell it as it is.",
        json_schema_extra=INT64,
    )


class BackupStatus(Model):
    """The observed state of an EtcdBackup."""

    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that this status is about.",
        json_schema_extra=INT64,
    )
    phase: Text = Field(
        default="",
        description="A summary in one word: Pending, Running, Completed or Failed; with a schedule"
        " Scheduled or Suspended.",
    )
    conditions: Conditions = Field(default=(), description="The observations.")
    job: Text = Field(default="", description="The Job that takes the backup.", max_length=63)
    backup_size: Integer | None = Field(
        default=None, description="Bytes of the backup in the store.", json_schema_extra=INT64
    )
    start_time: Time | None = Field(default=None, description="When the backup started.")
    completion_time: Time | None = Field(default=None, description="When it was completed.")
    storage_path: Text = Field(
        default="",
        description="Where in the store the backup is; until it is completed, where it will be.",
    )
    member: Text = Field(default="", description="The member that was saved.")
    database_size: Integer | None = Field(
        default=None, description="Bytes of the member's database.", json_schema_extra=INT64
    )
    sha256: Text = Field(default="", description="The database's SHA-256, in hexadecimal.")
    etcd_version: Text = Field(default="", description="The etcd version of the saved member.")
    etcd_revision: Integer | None = Field(
        default=None, description="The revision that was saved.", json_schema_extra=INT64
    )
    keys: Integer | None = Field(
        default=None,
        description="How many keys there are at that revision, where the member could tell.",
        json_schema_extra=INT64,
    )
    encryption_key_id: Text = Field(
        default="",
        alias="encryptionKeyID",
        description="Which key the backup is encrypted with: what the key's text gives, and"
        " nothing of it.",
        max_length=63,
    )
    cluster_spec: Json | None = Field(
        default=None,
        description="The spec of the cluster that was saved, as it was then: what a restore makes"
        " the new cluster of, unless it names another.",
        json_schema_extra=FREE_FORM,
    )
    verified: Verification | None = Field(
        default=None, description="What came of the last verification."
    )
    last_verification_time: Time | None = Field(
        default=None,
        description="The last time of verify.schedule that a backup was picked for.",
    )
    last_schedule_time: Time | None = Field(
        default=None, description="The last time of the schedule that a backup was made for."
    )
    last_successful_time: Time | None = Field(
        default=None, description="When the last backup of the schedule was completed."
    )
    next_schedule_time: Time | None = Field(
        default=None, description="The time of the schedule that comes next."
    )
    windows: Annotated[tuple[Window, ...], Field(max_length=MAX_WINDOWS)] = Field(
        default=(),
        description="The times of which every state can be restored, the oldest first; a new one"
        " begins where changes were missed. The newest of them.",
    )
    archive: ArchiveStatus | None = Field(
        default=None, description="How far the changes are kept, with continuous.enabled."
    )
    active: Integer = Field(
        default=0,
        description="How many backups of the schedule are not finished.",
        json_schema_extra=INT32,
    )


class EtcdBackup(Model):
    """A backup of an EtcdCluster, once or on a schedule."""

    spec: BackupSpec = Field(description="What to save, when, and where to.")
    status: BackupStatus = Field(
        default_factory=BackupStatus, description="What happened; written by the operator."
    )
