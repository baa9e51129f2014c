"""A pod → a channel to the etcd in it.

How a pod is reached is a `Dialer`'s business: by its IP (`DirectDialer`), or some other way that
has to be taken down with the channel. Used by `etcd.pool`; nothing here waits or sends.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import grpc.aio

if TYPE_CHECKING:
    from etcd.tls import ClientTLS

CLIENT_PORT: Final = 2379
# How long a closing channel lets calls in flight finish.
GRACE_S: Final = 0.5

# gRPC's options, in milliseconds where they are times. The backoff options make a member that is
# back noticed within a second (gRPC's own: 4.6 s after an outage of 20 s).
# `min_reconnect_backoff_ms` is in truth the time a connection attempt may take: at 500 ms a busy
# member that needs longer for its handshake is never reached, however often it is tried (tried
# with a handshake of 1.5 s); 3000 ms also outlasts one lost SYN.
# Pings (a dead peer ends a stream) only while a call is on, as etcd punishes pings of idle channels
# and any more often than every 5 s (`--grpc-keepalive-min-time`).
# `lookahead_bytes` is how far a member may send ahead of who reads a stream.
OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.lookahead_bytes", 1 << 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The etcd of one pod.

    cluster: key of the cluster it belongs to, `<namespace>/<name>`. address: the pod's IP, v4 or v6
    without brackets. fqdn: `<pod>.<cluster>-peer.<namespace>.svc.<domain>`, which is gRPC's
    authority and the name checked in the certificate. Raises ValueError for an address that is no
    IP: a name could be resolved to another pod.
    """

    cluster: str
    namespace: str
    pod: str
    pod_uid: str
    address: str
    fqdn: str
    port: int = CLIENT_PORT

    def __post_init__(self) -> None:
        ipaddress.ip_address(self.address)

    @property
    def target(self) -> str:
        """GRPC's name for the address: `ipv4:10.0.0.1:2379`, `ipv6:[fd00::1]:2379`."""
        return target_of(self.address, self.port)


def target_of(address: str, port: int) -> str:
    """An IP literal and a port as gRPC's target, which no resolver touches. Raises ValueError."""
    ip = ipaddress.ip_address(address)
    return f"ipv6:[{ip}]:{port}" if ip.version == 6 else f"ipv4:{ip}:{port}"


class Connection(Protocol):
    """A dialled pod: its channel, and how to let go of it and of whatever carries it."""

    @property
    def channel(self) -> grpc.aio.Channel: ...

    @property
    def obstacle(self) -> str:
        """What bars the way at present, in words for people; empty when nothing is known."""
        ...

    async def close(self) -> None:
        """Ends the channel; calls still on it fail with UnavailableError(CLOSED). Never raises."""


class Dialer(Protocol):
    """A way to reach pods. Opening sends nothing: the first call connects."""

    def dial(self, endpoint: Endpoint, tls: ClientTLS | None) -> Connection: ...


class DirectDialer:
    """Reaches pods by their IP: needs a network where pods are routable."""

    def dial(self, endpoint: Endpoint, tls: ClientTLS | None) -> Connection:
        return DirectConnection(open_channel(endpoint.target, fqdn=endpoint.fqdn, tls=tls))


class DirectConnection:
    """A channel and nothing else to close."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    @property
    def channel(self) -> grpc.aio.Channel:
        return self._channel

    @property
    def obstacle(self) -> str:
        return ""

    async def close(self) -> None:
        await self._channel.close(GRACE_S)


def open_channel(target: str, *, fqdn: str, tls: ClientTLS | None) -> grpc.aio.Channel:
    """A lazy channel to `target` that speaks to it as `fqdn`; plain text where `tls` is None."""
    options = [*OPTIONS, ("grpc.default_authority", fqdn)]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    options.append(("grpc.ssl_target_name_override", fqdn))
    return grpc.aio.secure_channel(target, tls.credentials(), options=options)
