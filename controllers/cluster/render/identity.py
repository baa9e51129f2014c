"""The names and addresses that make up a cluster, from what is recorded of it.

Pure.  Peer URLs are what membership is matched by, so they are made in this one place and only from
recorded values: a changed flag or spec must never change the URL of a member that exists.  How they
begin says how members are called, not who they are: members are matched by what comes after it.
"""

from dataclasses import dataclass, field

from api.labels import FIRST_EPOCH, client_service_name, peer_service_name, pod_name
from api.v1alpha1.cluster_status import BootstrapStatus, TLSStatus
from controllers.cluster.listeners import Listeners, listeners_of

CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a cluster is: nothing here changes while it lives, but how its members are called, and
    that its data may begin anew: then token and epoch are others.
    """

    namespace: str
    name: str
    uid: str
    token: str
    cluster_domain: str
    listeners: Listeners = field(default_factory=Listeners)
    epoch: int = FIRST_EPOCH

    @property
    def has_certificates(self) -> bool:
        """Whether somebody speaks TLS, or is about to."""
        return self.listeners.has_certificates

    @property
    def serves_tls(self) -> bool:
        """Whether the operator and other clients come by TLS."""
        return self.listeners.client[0] == "https"

    def host(self, ordinal: int) -> str:
        """The fully qualified name of a member's pod, which is also its TLS name."""
        service = f"{peer_service_name(self.name)}.{self.namespace}.svc.{self.cluster_domain}"
        return f"{pod_name(self.name, ordinal)}.{service}"

    def peer_url(self, ordinal: int) -> str:
        """The URL by which a member is called now, the first of them."""
        return self.peer_urls(ordinal)[0]

    def peer_urls(self, ordinal: int) -> tuple[str, ...]:
        """All of them: two while TLS is switched on or off among the members."""
        return tuple(f"{s}://{self.host(ordinal)}:{PEER_PORT}" for s in self.listeners.peer_urls)

    def client_url(self, ordinal: int) -> str:
        return f"{self.listeners.client[0]}://{self.host(ordinal)}:{CLIENT_PORT}"

    def client_endpoints(self) -> tuple[str, ...]:
        """The URLs that clients may use: the Service over all ready voters."""
        service = f"{client_service_name(self.name)}.{self.namespace}.svc.{self.cluster_domain}"
        return tuple(f"{s}://{service}:{CLIENT_PORT}" for s in self.listeners.client)


def address_of(url: str) -> str:
    """Host and port of a URL: who it is, however it is called."""
    return url.partition("://")[2]


def identity_of(
    namespace: str, name: str, uid: str, bootstrap: BootstrapStatus, tls: TLSStatus | None = None
) -> Identity:
    """The identity that a recorded bootstrap gives, and the record of changes of TLS since."""
    return Identity(
        namespace=namespace,
        name=name,
        uid=uid,
        token=bootstrap.token,
        cluster_domain=bootstrap.cluster_domain,
        listeners=listeners_of(bootstrap, tls),
        epoch=bootstrap.epoch,
    )
