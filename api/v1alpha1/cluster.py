"""EtcdCluster: what a user may ask of a cluster, and the defaults.

Read by every room above; the CRD, `kubectl explain` and docs/reference/api.md are generated from
it. Validation that neither a schema nor CEL can state is in api/validation.py.
"""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from api.quantity import parse_quantity
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.common import (
    FREE_FORM,
    INT32,
    INT64,
    MAX_SUBDOMAIN_LENGTH,
    SUBDOMAIN_PATTERN,
    Flag,
    Integer,
    Json,
    Labels,
    Model,
    OptionalObjectName,
    PositiveQuantity,
    Resources,
    Text,
    cel,
    empty_is_absent,
    matching,
    nested,
    number_or_text_schema,
    or_empty,
    text_schema,
)
from api.version import (
    MAX_VERSION_LENGTH,
    VERSION_PATTERN,
    EtcdVersion,
    normal_version,
    parse_version,
)

SIZES: Final = (0, 1, 3, 5, 7, 9)
DEFAULT_VERSION: Final = "v3.5.21"
DEFAULT_REPOSITORY: Final = "quay.io/coreos/etcd"
DEFAULT_VOLUME_SIZE: Final = parse_quantity("10Gi")

# etcd's own defaults, needed where only one of the two is set (etcd server/embed/config.go).
DEFAULT_HEARTBEAT_MS: Final = 100
DEFAULT_ELECTION_MS: Final = 1000
LONGEST_ELECTION_MS: Final = 50000
MAX_EXTRA_OPTIONS: Final = 128
MAX_OPTION_LENGTH: Final = 4096

SIZE_MESSAGE: Final = (
    "must be 0, 1, 3, 5, 7 or 9: an even number of voters tolerates no more failures than one fewer"
)
ELECTION_MESSAGE: Final = (
    "must be at least 5 times heartbeatInterval (when unset, they are 1000 and 100 milliseconds)"
)
REVISION_RETENTION_MESSAGE: Final = "must be a whole number of revisions when mode is revision"

# A reference to an image without tag and digest (github.com/distribution/reference), the host's
# part in a simpler form.
REPOSITORY_PATTERN: Final = (
    r"^((\[[0-9a-fA-F:]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$"
)
MAX_REPOSITORY_LENGTH: Final = 255
RETENTION_PATTERN: Final = r"^([0-9]+|(([0-9]+(\.[0-9]+)?)(ns|us|µs|ms|s|m|h))+)$"
MAX_RETENTION_LENGTH: Final = 32

Version = Annotated[
    Text, AfterValidator(normal_version), text_schema(VERSION_PATTERN, MAX_VERSION_LENGTH)
]
Repository = Annotated[
    Text,
    Field(max_length=MAX_REPOSITORY_LENGTH),
    AfterValidator(
        matching(
            REPOSITORY_PATTERN,
            "must be an image without tag and digest, such as quay.io/coreos/etcd",
        )
    ),
    text_schema(REPOSITORY_PATTERN, MAX_REPOSITORY_LENGTH),
]
# The empty text is a class of its own: "no class", which switches off dynamic provisioning.
StorageClassName = Annotated[
    Text,
    Field(max_length=MAX_SUBDOMAIN_LENGTH),
    AfterValidator(matching(or_empty(SUBDOMAIN_PATTERN), "must be the name of a StorageClass")),
    text_schema(or_empty(SUBDOMAIN_PATTERN), MAX_SUBDOMAIN_LENGTH),
]


def _check_size(size: int) -> int:
    if size not in SIZES:
        raise ValueError(SIZE_MESSAGE)
    return size


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


Size = Annotated[
    Integer,
    AfterValidator(_check_size),
    WithJsonSchema(
        {
            "type": "integer",
            "format": "int32",
            "minimum": SIZES[0],
            "maximum": SIZES[-1],
            **cel(f"self in {list(SIZES)}", SIZE_MESSAGE),
        }
    ),
]
OptionText = Annotated[
    Text,
    BeforeValidator(_number_as_text),
    Field(max_length=MAX_OPTION_LENGTH),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": MAX_OPTION_LENGTH}),
]
ClusterDomain = Annotated[
    Text,
    Field(max_length=MAX_SUBDOMAIN_LENGTH),
    AfterValidator(matching(or_empty(SUBDOMAIN_PATTERN), "must be a domain such as cluster.local")),
    text_schema(or_empty(SUBDOMAIN_PATTERN), MAX_SUBDOMAIN_LENGTH),
]
OptionalClusterDomain = Annotated[ClusterDomain | None, BeforeValidator(empty_is_absent)]


class ObjectMeta(Model):
    """Labels and annotations for objects made from a template."""

    labels: Labels = Field(
        default={},
        description="Labels to add. The operator's own (app.kubernetes.io/name, instance,"
        " component and managed-by, and etcd.etcd.io/...) are refused.",
    )
    annotations: Labels = Field(
        default={}, description="Annotations to add. Those under etcd.etcd.io/ are refused."
    )


class VolumeClaimTemplate(Model):
    """What the members' volume claims get beyond size and class."""

    metadata: ObjectMeta = Field(
        default_factory=ObjectMeta, description="Labels and annotations of the claims."
    )
    spec: Json = Field(
        default={},
        description="A PersistentVolumeClaim's spec. A size or class in it must agree with"
        " storage.size and storage.storageClassName where these are set; a volume name, a data"
        " source and block mode are refused.",
        json_schema_extra=FREE_FORM,
    )


class Storage(Model):
    """Where the members keep their data, and what becomes of it."""

    size: PositiveQuantity = Field(
        default=DEFAULT_VOLUME_SIZE,
        description="The size of each member's volume: 10Gi.",
        json_schema_extra={"default": DEFAULT_VOLUME_SIZE.text},
    )
    storage_class_name: StorageClassName | None = Field(
        default=None,
        description='The class of the volumes; unset, the default class. "" switches dynamic'
        " provisioning off.",
    )
    volume_claim_template: VolumeClaimTemplate | None = Field(
        default=None, description="Further settings of the volume claims."
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        default="Retain",
        description="What becomes of the volume claims when the EtcdCluster is deleted: Retain"
        " keeps them, Delete deletes them and the data with them.",
    )


class TLS(Model):
    """Encryption between clients and members, and among the members."""

    enabled: Flag = Field(
        default=False,
        description="Whether the cluster speaks TLS. This version of the operator accepts false"
        " only.",
    )
    auto_tls: Flag | None = Field(
        default=None,
        alias="autoTLS",
        description="Whether the operator makes the certificates.",
    )
    client_tls_enabled: Flag | None = Field(
        default=None,
        alias="clientTLSEnabled",
        description="Whether clients have to speak TLS; unset, as `enabled` says.",
    )
    peer_tls_enabled: Flag | None = Field(
        default=None,
        alias="peerTLSEnabled",
        description="Whether members speak TLS among themselves; unset, as `enabled` says.",
    )
    certificate_secret: OptionalObjectName = Field(
        default=None, description="The name of the Secret with the members' certificate and key."
    )
    ca_secret: OptionalObjectName = Field(
        default=None, description="The name of the Secret with the certificate authority."
    )


class Security(Model):
    """How the cluster is protected."""

    tls: TLS = nested(TLS, "Encryption.")


class ResourceRequirements(Model):
    """Computing resources of one member."""

    requests: Resources = Field(
        default={}, description="What a node must have free for a member: cpu, memory, ..."
    )
    limits: Resources = Field(default={}, description="What a member may use at most.")


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


class PodTemplate(Model):
    """Changes to the members' pods."""

    metadata: ObjectMeta = Field(
        default_factory=ObjectMeta, description="Labels and annotations of the pods."
    )
    spec: Json = Field(
        default={},
        description="A PodSpec, merged strategically over the operator's own: lists of containers,"
        " volumes, environment variables and the like are merged by name. Image, command, args,"
        " ports and the data mounts of the container etcd are the operator's, and `$patch`"
        " directives are refused.",
        json_schema_extra=FREE_FORM,
    )


class Service(Model):
    """The Service that clients use."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Who can reach the Service, as Kubernetes' own `type`."
    )
    labels: Labels = Field(default={}, description="Labels to add to the Service.")
    annotations: Labels = Field(
        default={}, description="Annotations to add to the Service, as cloud providers read them."
    )


class ClusterSpec(Model):
    """The desired state of an EtcdCluster."""

    size: Size = Field(
        default=3,
        description="How many members vote: 1, 3, 5, 7 or 9. 0 stops the cluster and keeps its"
        " data. Even numbers are refused: they tolerate no more failures than one fewer.",
    )
    version: Version = Field(
        default=DEFAULT_VERSION,
        description="The version of etcd, with or without the v: v3.5.21. 3.5, 3.6 and 3.7 are"
        " supported.",
    )
    repository: Repository = Field(
        default=DEFAULT_REPOSITORY,
        description="The image, without a tag: the version is the tag, with its v.",
    )
    storage: Storage = nested(Storage, "Where the members keep their data.")
    security: Security = nested(Security, "How the cluster is protected.")
    resources: ResourceRequirements = Field(
        default_factory=ResourceRequirements, description="Computing resources of each member."
    )
    options: EtcdOptions = Field(
        default_factory=EtcdOptions, description="Settings of etcd itself."
    )
    pod_template: PodTemplate = Field(
        default_factory=PodTemplate, description="Changes to the members' pods."
    )
    paused: Flag = Field(
        default=False,
        description="While true, the operator observes and changes nothing.",
    )
    service: Service = nested(Service, "The Service that clients use.")
    cluster_domain: OptionalClusterDomain = Field(
        default=None,
        description="The DNS domain of the Kubernetes cluster: cluster.local. Unset, the operator"
        " finds it out.",
    )

    @property
    def etcd_version(self) -> EtcdVersion:
        """`version`, parsed."""
        return parse_version(self.version)


class EtcdCluster(Model):
    """An etcd cluster: its members, their data, and how clients reach them."""

    spec: ClusterSpec = nested(ClusterSpec, "What the cluster should be.")
    status: ClusterStatus = Field(
        default_factory=ClusterStatus, description="What the cluster is; written by the operator."
    )
