"""Which certificates a cluster has, and what has to be in each.

Two authorities: whoever has a certificate of the first is a client, and only members have one of
the second.  A CN takes 64 characters and a pod's full name is longer, so names are in the SANs.
"""

from dataclasses import dataclass
from typing import Final

from api.labels import (
    client_ca_secret_name,
    client_secret_name,
    client_service_name,
    operator_secret_name,
    peer_ca_secret_name,
    peer_secret_name,
    peer_service_name,
    server_secret_name,
)
from api.v1alpha1.auth import ROOT
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.render.tls import PEER_COMMON_NAME

_LOOPBACK: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What one certificate says of its owner."""

    common_name: str
    names: tuple[str, ...] = ()  # DNS names, sorted
    addresses: tuple[str, ...] = ()  # IPs, as they are written canonically
    serves: bool = False  # EKU serverAuth
    calls: bool = False  # EKU clientAuth


def secret_name(cluster: str, role: Role) -> str:
    """The Secret of a role."""
    match role:
        case Role.CLIENT_CA:
            return client_ca_secret_name(cluster)
        case Role.PEER_CA:
            return peer_ca_secret_name(cluster)
        case Role.SERVER:
            return server_secret_name(cluster)
        case Role.PEER:
            return peer_secret_name(cluster)
        case Role.CLIENT:
            return client_secret_name(cluster)
        case Role.OPERATOR:
            return operator_secret_name(cluster)


def authority_name(cluster: str, role: Role) -> str:
    """The CN of an authority: two clusters' look different in a browser of certificates."""
    return f"{cluster} {'client' if role is Role.CLIENT_CA else 'peer'} CA"


def subject_of(who: Holder, role: Role) -> Subject:
    """The certificate in tls.crt of a leaf's Secret."""
    if role is Role.CLIENT:
        return Subject(common_name="etcd-client", calls=True)
    if role is Role.OPERATOR:  # to etcd, a caller's CN is the name of its user
        return Subject(common_name=ROOT, calls=True)
    services = [peer_service_name(who.name)]
    if role is Role.SERVER:
        services.append(client_service_name(who.name))
    more = (who.more_names, who.more_addresses) if role is Role.SERVER else ((), ())
    names = {"localhost", *_pod_names(who), *more[0]}
    for service in services:
        names.update(_forms(service, who))
    return Subject(
        common_name=PEER_COMMON_NAME if role is Role.PEER else "etcd-server",
        names=tuple(sorted(names)),
        addresses=tuple(sorted({*_LOOPBACK, *more[1]})),
        serves=True,
        # etcd's JSON gateway calls its own listener with the server's certificate.
        calls=role is Role.SERVER,
    )


def needed_of(who: Holder, role: Role) -> Subject:
    """The least that a certificate of the user's has to say; its own names are its own affair.

    Clients reach the cluster by the Service, the operator and the members each pod by its full
    name.  Etcd 3.5 looks whether a caller's address is that of a name in its certificate, and by
    the peers' Service it is.
    """
    if role in {Role.CLIENT, Role.OPERATOR}:
        return Subject(common_name="", calls=True)
    peers = _forms(peer_service_name(who.name), who)[-1]
    names = [f"*.{peers}", peers]
    addresses: tuple[str, ...] = ()
    if role is Role.SERVER:
        names = [_forms(client_service_name(who.name), who)[-1], f"*.{peers}", *who.more_names]
        addresses = who.more_addresses
    return Subject(common_name="", names=tuple(names), addresses=addresses, serves=True, calls=True)


def caller_of(role: Role) -> Subject | None:
    """The second certificate of the same key, with which a member calls the others.

    It has no SAN: where there is one, a listener wants the caller's address to resolve to it, and
    releases of 3.5 can't be told otherwise in a file (client/pkg/transport/listener_tls.go).
    """
    return Subject(common_name=PEER_COMMON_NAME, calls=True) if role is Role.PEER else None


def _pod_names(who: Holder) -> tuple[str, ...]:
    return tuple(f"*.{name}" for name in _forms(peer_service_name(who.name), who))


def _forms(service: str, who: Holder) -> tuple[str, ...]:
    """A Service's name as it can be written, from within its namespace to in full."""
    in_namespace = f"{service}.{who.namespace}"
    return (
        service,
        in_namespace,
        f"{in_namespace}.svc",
        f"{in_namespace}.svc.{who.cluster_domain}",
    )
