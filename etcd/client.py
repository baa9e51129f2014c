"""One member's gRPC interface, by service.

    client.cluster       member list and its changes      etcd.cluster
    client.maintenance   status, alarms, snapshots, ...   etcd.maintenance
    client.kv            keys                             etcd.kv, etcd.kv_types
    client.watch         changes to keys                  etcd.watch
    client.lease         leases                           etcd.lease
    client.auth          users, roles, tokens             etcd.auth
    client.health        gRPC's health service            etcd.health

A client talks to exactly one member, because an operator must know whom it asked. It never retries
and never falls back to another member. Every call has a deadline in seconds (`timeout_s`) and
raises `etcd.errors.EtcdError` only. Get one from `etcd.pool.ChannelPool`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etcd.auth import AuthClient
from etcd.cluster import ClusterClient
from etcd.health import HealthClient
from etcd.kv import KVClient
from etcd.lease import LeaseClient
from etcd.maintenance import MaintenanceClient
from etcd.watch import WatchClient

if TYPE_CHECKING:
    from etcd.transport import Transport


class EtcdClient:
    """All services of the member behind `transport`. Owns nothing: the pool closes the channel."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.cluster = ClusterClient(transport)
        self.maintenance = MaintenanceClient(transport)
        self.kv = KVClient(transport)
        self.watch = WatchClient(transport)
        self.lease = LeaseClient(transport)
        self.auth = AuthClient(transport)
        self.health = HealthClient(transport)

    def with_token(self, token: str) -> EtcdClient:
        """The same member, calling as the owner of `token` (see `auth.authenticate`)."""
        return EtcdClient(self._transport.with_token(token))
