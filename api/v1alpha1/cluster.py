"""EtcdCluster: what a user may ask of a cluster, and the defaults.

Read by every room above; the CRD, `kubectl explain` and docs/reference/api.md are generated from
it. Validation that neither a schema nor CEL can state is in api/validation.py.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from api.quantity import parse_quantity
from api.v1alpha1.auth import Auth
from api.v1alpha1.cluster_status import ClusterStatus
from api.v1alpha1.common import (
    FREE_FORM,
    MAX_SUBDOMAIN_LENGTH,
    SUBDOMAIN_PATTERN,
    Duration,
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
    or_empty,
    text_schema,
)
from api.v1alpha1.maintenance import MaintenanceWindows
from api.v1alpha1.network_policy import NetworkPolicy
from api.v1alpha1.options import EtcdOptions
from api.v1alpha1.restore_source import Bootstrap
from api.v1alpha1.tls_fields import (
    DEFAULT_CERTIFICATE_DURATION,
    AlternativeNames,
    IssuerGroup,
    IssuerKind,
    IssuerName,
    OptionalCertificateDuration,
    life_of,
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


SIZE_MESSAGE: Final = (
    "must be 0, 1, 3, 5, 7 or 9: an even number of voters tolerates no more failures than one fewer"
)

# A reference to an image without tag and digest (github.com/distribution/reference), the host's
# part in a simpler form.
REPOSITORY_PATTERN: Final = (
    r"^((\[[0-9a-fA-F:]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$"
)
MAX_REPOSITORY_LENGTH: Final = 255

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
_A_DAY_S: Final = 86_400
BoundedSeconds = Annotated[
    Integer,
    Field(ge=5, le=_A_DAY_S),
    WithJsonSchema({"type": "integer", "format": "int32", "minimum": 5, "maximum": _A_DAY_S}),
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


DeletionPolicy = Literal["Retain", "Delete", "SnapshotThenDelete"]


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
    deletion_policy: DeletionPolicy = Field(
        default="Retain",
        description="What becomes of the volume claims when the EtcdCluster is deleted: Retain"
        " keeps them, Delete deletes them and the data with them; SnapshotThenDelete does that once"
        " a last EtcdBackup like those of a schedule of this cluster is completed, and keeps them"
        " where there is none.",
    )
    removed_member_policy: Literal["Delete", "Keep"] = Field(
        default="Delete",
        description="What becomes of the volume of a member that was removed or replaced: Delete"
        " deletes its claim; Keep also deletes the claim but first sets the PersistentVolume to"
        " Retain and labels it.",
    )
    existing_volumes: Literal["Refuse", "Adopt", "Discard"] = Field(
        default="Refuse",
        description="What to do about volume claims of an earlier cluster under this one's names,"
        " read once, before the cluster first starts: Refuse waits, Adopt goes on with their data,"
        " Discard deletes them.",
    )
    migration_policy: Literal["Refuse", "Replace"] = Field(
        default="Refuse",
        description="What becomes of an edit that existing volumes cannot follow, a new"
        " storageClassName or a smaller size: Refuse refuses it, Replace replaces member after"
        " member with one on a new volume. The old volumes go as removedMemberPolicy says.",
    )


class Recovery(Model):
    """How long the operator waits before it replaces a member, or gives up on a new one."""

    node_loss_seconds: BoundedSeconds = Field(
        default=600,
        description="A member whose node has been silent for this many seconds is replaced on"
        " another node, quorum permitting. One whose node is gone or tainted out-of-service is"
        " replaced as soon as its pod turns out to be tied to that node by its volume.",
    )
    join_deadline_seconds: BoundedSeconds = Field(
        default=600,
        description="A new member that has not become a voter after this many seconds is withdrawn,"
        " and tried again as much later, or as soon as the spec changes.",
    )


class Placement(Model):
    """How members are spread over nodes and zones."""

    spread: Literal["Preferred", "Required"] = Field(
        default="Preferred",
        description="Whether two members may share a node when there is no other: Preferred lets"
        " them, Required leaves the pod pending. Zones are always a preference.",
    )


# What is as `enabled` says, unless it is written.
_FOLLOW: Final = frozenset({"autoTLS", "clientTLSEnabled", "peerTLSEnabled"})


class IssuerReference(Model):
    """An issuer of cert-manager."""

    name: IssuerName = Field(description="The issuer's name.")
    kind: IssuerKind = Field(
        default="Issuer", description="Issuer, ClusterIssuer, or a kind of another group."
    )
    group: IssuerGroup = Field(default="cert-manager.io", description="The API group of that kind.")


class TLS(Model):
    """Encryption between clients and members, and among the members."""

    enabled: Flag | None = Field(
        default=None,
        description="Whether the cluster speaks TLS, with clients and among its members; unset, a"
        " new cluster does, and one that exists keeps what it has.",
    )
    auto_tls: Flag | None = Field(
        default=None,
        alias="autoTLS",
        description="Whether the operator makes the certificates that no field below names a Secret"
        " for; unset, as `enabled` says. With false, certificateSecret or issuerRef is required;"
        " members' certificates for each other are the operator's even then, unless"
        " peerCertificateSecret is set.",
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
        default=None,
        description="The name of a Secret of yours with the certificate that members show to"
        " clients: tls.crt (its own certificate first, then those between it and the authority),"
        " tls.key, and ca.crt unless caSecret is set; all in PEM. It needs the uses serverAuth and"
        " clientAuth, and the names <cluster>.<namespace>.svc.<domain> and"
        " *.<cluster>-peer.<namespace>.svc.<domain>. Unless clientCertificateSecret is set, clients"
        " and the operator use it too.",
    )
    ca_secret: OptionalObjectName = Field(
        default=None,
        description="The name of a Secret of yours whose ca.crt is the authority of"
        " certificateSecret and clientCertificateSecret, or of what issuerRef gives: whoever has a"
        " certificate of it is let in as a client. Also that of peerCertificateSecret, if there is"
        " no ca.crt in it.",
    )
    peer_certificate_secret: OptionalObjectName = Field(
        default=None,
        description="The name of a Secret of yours with the certificate that members show each"
        " other: tls.crt, tls.key and ca.crt. It needs CN=etcd-peer, the uses serverAuth and"
        " clientAuth, and the names <cluster>-peer.<namespace>.svc.<domain> and *. before the"
        " same. Unset, the operator makes it, by an authority of its own.",
    )
    client_certificate_secret: OptionalObjectName = Field(
        default=None,
        description="The name of a Secret of yours with the certificate that the operator and"
        " applications show to members: tls.crt and tls.key, signed by the authority of"
        " certificateSecret, with the use clientAuth. The operator copies it to"
        " <cluster>-client-tls. Needs certificateSecret beside it.",
    )
    operator_certificate_secret: OptionalObjectName = Field(
        default=None,
        description="The name of a Secret of yours with the certificate by which the operator is"
        " root where auth is on: tls.crt and tls.key, signed by the authority of certificateSecret"
        " or issuerRef, with CN=root and the use clientAuth. The operator copies it to"
        " <cluster>-operator-tls, which nobody else should have. Needs one of them beside it.",
    )
    issuer_ref: IssuerReference | None = Field(
        default=None,
        description="An issuer of cert-manager that makes the certificates that members show to"
        " clients, and clients to members: the operator makes the Certificates"
        " <cluster>-server-issued and <cluster>-client-issued, waits for their Secrets, and treats"
        " these as if certificateSecret and clientCertificateSecret named them. Their authority is"
        " the ca.crt in them, or that of caSecret.",
    )
    subject_alt_names: AlternativeNames = Field(
        default=(),
        description="Further DNS names and IP addresses that clients may call the cluster by:"
        " they are put into the servers' certificate, beside the names of Services and pods. A"
        " change restarts nobody.",
    )
    certificate_duration: OptionalCertificateDuration = Field(
        default=None,
        description="How long the certificates that the operator makes are valid, from 5m to"
        " 3650d; unset, 365d. They are renewed after two thirds of it, without a restart. The"
        " authorities' own life is not meant.",
    )
    rotation_grace_period: Duration = Field(
        default="1h",
        description="How long applications have to take up what has changed in"
        " `<cluster>-client-tls` while the clients' authority is replaced: first the next authority"
        " beside the old one, then a certificate of it. Longer where copies of that Secret are made"
        " by hand.",
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_what_follows(cls, data: object) -> object:
        """To write what is followed anyway is the same as to leave it out."""
        if not isinstance(data, Mapping):
            return data
        enabled = data.get("enabled")
        return {
            key: value
            for key, value in data.items()
            if key not in _FOLLOW or enabled is None or value is not enabled
        }

    @property
    def with_clients(self) -> bool:
        """Whether clients are to speak TLS."""
        return bool(self.enabled if self.client_tls_enabled is None else self.client_tls_enabled)

    @property
    def among_members(self) -> bool:
        """Whether members are to speak TLS among themselves."""
        return bool(self.enabled if self.peer_tls_enabled is None else self.peer_tls_enabled)

    @property
    def certificate_life(self) -> timedelta:
        """`certificate_duration`, parsed."""
        text = self.certificate_duration
        return DEFAULT_CERTIFICATE_DURATION if text is None else life_of(text)


class Security(Model):
    """How the cluster is protected."""

    tls: TLS = nested(TLS, "Encryption.")
    network_policy: NetworkPolicy = Field(
        default_factory=NetworkPolicy, description="Who may connect to the members."
    )
    auth: Auth = nested(Auth, "Authentication: users and what they may do.")


class ResourceRequirements(Model):
    """Computing resources of one member."""

    requests: Resources = Field(
        default={}, description="What a node must have free for a member: cpu, memory, ..."
    )
    limits: Resources = Field(default={}, description="What a member may use at most.")


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
    bootstrap: Bootstrap = Field(
        default_factory=Bootstrap, description="What a new cluster begins from."
    )
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
    recovery: Recovery = nested(Recovery, "How long the operator waits before it acts.")
    placement: Placement = nested(Placement, "How members are spread over nodes.")
    paused: Flag = Field(
        default=False,
        description="While true, the operator observes and changes nothing.",
    )
    maintenance_windows: MaintenanceWindows = Field(
        default=(),
        description="When the operator may do what may wait. Without any, nothing waits. Repair"
        " never waits.",
    )
    accept_operator_changes: Flag = Field(
        default=False,
        description="Whether differences that come only from a new version of the operator are"
        " rolled out now. While false, they are shown, and wait for a maintenance window; without"
        " any window, until this is true.",
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
