"""One client per pod, opened when first asked for and closed when its pod is gone.

Keyed by (pod uid, address, port): a pod that came back under the same name or with another address
is another one, and gRPC's backoff for the old one must not delay it. The manager owns the pool;
reconcilers take clients from it, say which pods their cluster still has and with which credentials
they are dialled, and close nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from etcd.client import EtcdClient
from etcd.transport import CallObserver, NoObserver, Transport

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from etcd.dialer import Connection, Dialer, Endpoint
    from etcd.tls import ClientTLS

_Key: TypeAlias = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class _Entry:
    cluster: str
    connection: Connection
    client: EtcdClient
    tls: ClientTLS | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """channels: open now, replaced ones included. opened, closed: since the start."""

    channels: int
    opened: int
    closed: int


class ChannelPool:
    """The clients of all clusters' pods. The observer hears of every call on every channel."""

    def __init__(self, dialer: Dialer, *, observer: CallObserver | None = None) -> None:
        self._dialer = dialer
        self._observer = observer or NoObserver()
        self._entries: dict[_Key, _Entry] = {}
        self._replaced: list[_Entry] = []
        self._tls: dict[str, ClientTLS] = {}
        self._opened = 0
        self._closed = 0
        self._shut = False

    def trust(self, cluster: str, tls: ClientTLS | None) -> None:
        """With these credentials the cluster's pods are dialled from now on, None: in plain."""
        if tls is None:
            self._tls.pop(cluster, None)
        else:
            self._tls[cluster] = tls

    def trusts(self, cluster: str) -> bool:
        """Whether there are credentials for the cluster."""
        return cluster in self._tls

    def client(self, endpoint: Endpoint) -> EtcdClient:
        """The client of that pod: the same one until the pod, its address or credentials change.

        Never waits and never fails for the network: the first call connects. With other credentials
        it is a new client; `retain` closes the one it replaced. Raises RuntimeError once closed.
        """
        if self._shut:
            raise RuntimeError("the pool is closed")
        tls = self._tls.get(endpoint.cluster)
        entry = self._entries.get(_key(endpoint))
        if entry is not None and entry.tls == tls:
            return entry.client
        if entry is not None:
            self._replaced.append(entry)
        return self._open(endpoint, tls).client

    def obstacle(self, endpoint: Endpoint) -> str:
        """What bars the way to that pod, in words for people; empty when nothing is known."""
        entry = self._entries.get(_key(endpoint))
        return entry.connection.obstacle if entry is not None else ""

    async def retain(self, cluster: str, endpoints: Collection[Endpoint]) -> None:
        """Closes what the cluster has open beyond `endpoints`.

        Calls still on those channels end with UnavailableError(CLOSED). Cancelled: the rest is
        closed by the next `retain` or by `close`.
        """
        live = {_key(endpoint) for endpoint in endpoints}
        gone = [k for k, e in self._entries.items() if e.cluster == cluster and k not in live]
        self._replaced += [self._entries.pop(key) for key in gone]
        await self._close([entry for entry in self._replaced if entry.cluster == cluster])

    async def forget(self, cluster: str) -> None:
        """The cluster is gone: so are its credentials, and all that it has open."""
        self.trust(cluster, None)
        await self.retain(cluster, ())

    async def close(self) -> None:
        """Closes everything, for good; takes about half a second where calls are still on."""
        self._shut = True
        self._replaced += self._entries.values()
        self._entries.clear()
        await self._close(self._replaced)

    def statistics(self) -> PoolStatistics:
        return PoolStatistics(
            channels=len(self._entries) + len(self._replaced),
            opened=self._opened,
            closed=self._closed,
        )

    def _open(self, endpoint: Endpoint, tls: ClientTLS | None) -> _Entry:
        connection = self._dialer.dial(endpoint, tls)
        client = EtcdClient(Transport(connection.channel, observer=self._observer))
        entry = _Entry(endpoint.cluster, connection, client, tls)
        self._entries[_key(endpoint)] = entry
        self._opened += 1
        return entry

    async def _close(self, entries: Iterable[_Entry]) -> None:
        async with asyncio.TaskGroup() as group:
            for entry in list(entries):
                group.create_task(self._close_one(entry))

    async def _close_one(self, entry: _Entry) -> None:
        await entry.connection.close()
        if entry in self._replaced:
            self._replaced.remove(entry)
            self._closed += 1


def _key(endpoint: Endpoint) -> _Key:
    return endpoint.pod_uid, endpoint.address, endpoint.port
