"""The options of etcd that an EtcdCluster can set: some by fields of their own, the rest by name.

Part of the spec in api/v1alpha1/cluster.py. Which flags an etcd version knows is for the room that
knows etcd.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.v1alpha1.common import (
    INT32,
    INT64,
    Integer,
    Model,
    PositiveQuantity,
    Text,
    cel,
    matching,
    number_or_text_schema,
)

# etcd's own defaults, needed where only one of the two is set (etcd server/embed/config.go).
DEFAULT_HEARTBEAT_MS: Final = 100
DEFAULT_ELECTION_MS: Final = 1000
LONGEST_ELECTION_MS: Final = 50000
MAX_EXTRA_OPTIONS: Final = 128
MAX_OPTION_LENGTH: Final = 4096

ELECTION_MESSAGE: Final = (
    "must be at least 5 times heartbeatInterval (when unset, they are 1000 and 100 milliseconds)"
)
REVISION_RETENTION_MESSAGE: Final = "must be a whole number of revisions when mode is revision"
RETENTION_PATTERN: Final = r"^([0-9]+|(([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h))+)$"
MAX_RETENTION_LENGTH: Final = 32


def _number_as_text(value: object) -> object:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


Retention = Annotated[
    Text,
    BeforeValidator(_number_as_text),
    Field(max_length=MAX_RETENTION_LENGTH),
    AfterValidator(
        matching(
            RETENTION_PATTERN, "must be a duration such as 1h, or a number of hours or revisions"
        )
    ),
    number_or_text_schema(RETENTION_PATTERN, MAX_RETENTION_LENGTH, minimum=0),
]
OptionText = Annotated[
    Text,
    BeforeValidator(_number_as_text),
    Field(max_length=MAX_OPTION_LENGTH),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": MAX_OPTION_LENGTH}),
]


class AutoCompaction(Model):
    """Which old revisions etcd drops by itself."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "self.mode != 'revision' || !has(self.retention)"
            " || string(self.retention).matches('^[0-9]+$')",
            REVISION_RETENTION_MESSAGE,
            field="retention",
        )
    )

    mode: Literal["periodic", "revision"] = Field(
        default="periodic",
        description="periodic keeps the revisions of the last `retention`; revision keeps the last"
        " `retention` revisions.",
    )
    retention: Retention | None = Field(
        default=None,
        description="With mode periodic a duration (1h) or a number of hours; with mode revision"
        " a number of revisions. 0 or unset: nothing is compacted.",
    )


class EtcdOptions(Model):
    """Settings of etcd itself; what is unset is etcd's own default."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(has(self.electionTimeout) ? self.electionTimeout : 1000)"
            " >= 5 * (has(self.heartbeatInterval) ? self.heartbeatInterval : 100)",
            ELECTION_MESSAGE,
            field="electionTimeout",
        )
    )

    quota_backend_bytes: PositiveQuantity | None = Field(
        default=None,
        description="The size at which a member's database accepts no more writes, in bytes or as"
        " a quantity: 8Gi. etcd's default is 2Gi.",
    )
    auto_compaction: AutoCompaction | None = Field(
        default=None, description="Which old revisions etcd drops by itself."
    )
    snapshot_count: Integer | None = Field(
        default=None,
        ge=1,
        le=10**9,
        description="After how many transactions a member writes a raft snapshot to disk.",
        json_schema_extra=INT64,
    )
    heartbeat_interval: Integer | None = Field(
        default=None,
        ge=1,
        le=LONGEST_ELECTION_MS,
        description="Milliseconds between a leader's heartbeats; 100 by default.",
        json_schema_extra=INT32,
    )
    election_timeout: Integer | None = Field(
        default=None,
        ge=1,
        le=LONGEST_ELECTION_MS,
        description="Milliseconds without a heartbeat before a follower calls an election; 1000 by"
        " default. At least 5 times heartbeatInterval.",
        json_schema_extra=INT32,
    )
    extra: Annotated[dict[Text, OptionText], Field(max_length=MAX_EXTRA_OPTIONS)] = Field(
        default={},
        description="Further options of etcd: the flag's name without dashes in front, and its"
        ' value as on the command line, quoted: max-txn-ops: "256". Options that the operator'
        " sets itself, or that the etcd version does not know, are refused.",
    )
