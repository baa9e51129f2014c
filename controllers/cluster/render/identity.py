"""The names and addresses that make up a cluster, from what is recorded of it.

Pure.  Peer URLs are what membership is matched by, so they are made in this one place and only from
recorded values: a changed flag or spec must never change the URL of a member that exists.
"""

from dataclasses import dataclass

from api.labels import FIRST_EPOCH, client_service_name, peer_service_name, pod_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus

CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a cluster is: nothing here changes while it lives, but that its data may begin anew: then
    token and epoch are others.
    """

    namespace: str
    name: str
    uid: str
    token: str
    cluster_domain: str
    scheme: str = "http"
    epoch: int = FIRST_EPOCH

    @property
    def has_tls(self) -> bool:
        """Whether members and clients speak TLS."""
        return self.scheme == "https"

    def host(self, ordinal: int) -> str:
        """The fully qualified name of a member's pod, which is also its TLS name."""
        service = f"{peer_service_name(self.name)}.{self.namespace}.svc.{self.cluster_domain}"
        return f"{pod_name(self.name, ordinal)}.{service}"

    def peer_url(self, ordinal: int) -> str:
        return f"{self.scheme}://{self.host(ordinal)}:{PEER_PORT}"

    def client_url(self, ordinal: int) -> str:
        return f"{self.scheme}://{self.host(ordinal)}:{CLIENT_PORT}"

    def client_endpoint(self) -> str:
        """The URL that clients use: the Service over all ready voters."""
        service = f"{client_service_name(self.name)}.{self.namespace}.svc.{self.cluster_domain}"
        return f"{self.scheme}://{service}:{CLIENT_PORT}"


def scheme_of(spec: ClusterSpec) -> str:
    """How the URLs of a cluster begin that is made from this spec."""
    return "https" if spec.security.tls.enabled else "http"


def identity_of(namespace: str, name: str, uid: str, bootstrap: BootstrapStatus) -> Identity:
    """The identity that a recorded bootstrap gives."""
    return Identity(
        namespace=namespace,
        name=name,
        uid=uid,
        token=bootstrap.token,
        cluster_domain=bootstrap.cluster_domain,
        scheme=bootstrap.scheme,
        epoch=bootstrap.epoch,
    )
