"""Leases: service `etcdserverpb.Lease`. Times to live are whole seconds, as etcd has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd import rpc
from etcd.errors import LeaseNotFoundError, TransportCause, UnavailableError
from etcd.ids import LeaseID
from etcd.proto import lease_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etcd.transport import Transport

TIMEOUT_S = 8.0
ANY_ID = LeaseID(0)
_RENEWED_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """ttl_s: what the server chose; at least what its election timeout demands."""

    id: LeaseID
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseInfo:
    """A living lease. ttl_s: what is left; keys: empty unless asked for."""

    id: LeaseID
    ttl_s: int
    granted_ttl_s: int
    keys: tuple[bytes, ...]


class LeaseClient:
    """Leases, through one member (which forwards to the leader)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def grant(
        self, ttl_s: int, *, lease_id: LeaseID = ANY_ID, timeout_s: float = TIMEOUT_S
    ) -> LeaseGranted:
        """Makes a lease. With an ID of our own it is retry-safe: the second time LeaseExistsError.

        Through the quorum; makes no revision. Raises NoSpaceError, CorruptError, BadRequestError
        (a time to live beyond 9,000,000,000 s).
        """
        request = pb.LeaseGrantRequest(ttl=ttl_s, id=lease_id)
        answer = await self._transport.unary(rpc.LEASE_GRANT, request, timeout_s=timeout_s)
        return LeaseGranted(id=LeaseID(answer.id), ttl_s=answer.ttl)

    async def revoke(self, lease_id: LeaseID, *, timeout_s: float = TIMEOUT_S) -> None:
        """Ends a lease and deletes its keys, in one revision.

        Repeating it raises LeaseNotFoundError, which is as good as done.
        """
        await self._transport.unary(
            rpc.LEASE_REVOKE, pb.LeaseRevokeRequest(id=lease_id), timeout_s=timeout_s
        )

    async def keep_alive(self, lease_id: LeaseID, *, timeout_s: float = TIMEOUT_S) -> int:
        """Renews a lease once; returns its time to live in seconds. Retry-safe.

        Raises LeaseNotFoundError when it is gone (trustworthy since 3.5.23 and 3.6.5).
        """
        call = self._transport.duplex(rpc.LEASE_KEEP_ALIVE)
        try:
            answer = await call.exchange(pb.LeaseKeepAliveRequest(id=lease_id), timeout_s=timeout_s)
        finally:
            call.cancel()
        if answer is None:
            raise _stream_ended()
        if answer.ttl <= 0:
            raise LeaseNotFoundError("requested lease not found", rpc="LeaseKeepAlive")
        return answer.ttl

    async def keep_all_alive(
        self, lease_ids: Sequence[LeaseID], *, timeout_s: float = TIMEOUT_S
    ) -> frozenset[LeaseID]:
        """Renews many leases through one stream; returns those that are gone. Retry-safe.

        timeout_s: for each few hundred of them.
        """
        gone: set[LeaseID] = set()
        call = self._transport.duplex(rpc.LEASE_KEEP_ALIVE)
        try:
            for at in range(0, len(lease_ids), _RENEWED_AT_ONCE):
                some = lease_ids[at : at + _RENEWED_AT_ONCE]
                requests = [pb.LeaseKeepAliveRequest(id=lease_id) for lease_id in some]
                answers = await call.exchange_all(requests, timeout_s=timeout_s)
                if len(answers) < len(some):
                    raise _stream_ended()
                gone |= {LeaseID(answer.id) for answer in answers if answer.ttl <= 0}
        finally:
            call.cancel()
        return frozenset(gone)

    async def time_to_live(
        self, lease_id: LeaseID, *, keys: bool = False, timeout_s: float = TIMEOUT_S
    ) -> LeaseInfo:
        """What is left of a lease, as the leader sees it. Retry-safe. Raises LeaseNotFoundError."""
        request = pb.LeaseTimeToLiveRequest(id=lease_id, keys=keys)
        answer = await self._transport.unary(rpc.LEASE_TIME_TO_LIVE, request, timeout_s=timeout_s)
        if answer.ttl < 0:
            raise LeaseNotFoundError("requested lease not found", rpc="LeaseTimeToLive")
        return LeaseInfo(
            id=LeaseID(answer.id),
            ttl_s=answer.ttl,
            granted_ttl_s=answer.granted_ttl,
            keys=tuple(answer.keys),
        )

    async def leases(self, *, timeout_s: float = TIMEOUT_S) -> tuple[LeaseID, ...]:
        """All leases, from the member's own state. Retry-safe. Since 3.3."""
        answer = await self._transport.unary(
            rpc.LEASE_LEASES, pb.LeaseLeasesRequest(), timeout_s=timeout_s
        )
        return tuple(LeaseID(lease.id) for lease in answer.leases)


def _stream_ended() -> UnavailableError:
    return UnavailableError(
        "the server ended the stream", cause=TransportCause.CLOSED, rpc="LeaseKeepAlive"
    )
