"""Members of a cluster: list, add, remove, update, promote (service `etcdserverpb.Cluster`).

Called by the reconcilers' observe and act. It decides nothing: which member may go is the plan's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd import rpc
from etcd.ids import ClusterID, MemberID
from etcd.proto import cluster_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etcd.proto import header_pb2
    from etcd.transport import Transport

# Longer than etcd's own 7 s (5 s + twice the election timeout), so that its verdict arrives and not
# our deadline, which would leave open whether the change was made.
CHANGE_TIMEOUT_S = 8.0
READ_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of the member list. A member that never started has no name and no client URLs."""

    id: MemberID
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def is_started(self) -> bool:
        """Has it published itself once? It may be down now."""
        return bool(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberList:
    """The members in the order of etcd's answer (by ID), and who gave it.

    revision: as the header has it; this service leaves it 0.
    """

    cluster_id: ClusterID
    responder_id: MemberID
    raft_term: int
    revision: int
    members: tuple[Member, ...]

    def by_peer_url(self, url: str) -> Member | None:
        """The member with that peer URL: the way to find one that never started."""
        return next((m for m in self.members if url in m.peer_urls), None)

    def by_id(self, member_id: MemberID) -> Member | None:
        return next((m for m in self.members if m.id == member_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAdded:
    """The new member, with the ID that its process must report, and the list after the change."""

    member: Member
    after: MemberList


class ClusterClient:
    """The member list and its changes, through one member."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def member_list(
        self, *, linearizable: bool = True, timeout_s: float = READ_TIMEOUT_S
    ) -> MemberList:
        """The members of the cluster.

        linearizable (the default here, unlike on the wire): the quorum has agreed; to decide by.
        False: the member's own, possibly stale view, which needs no quorum; to diagnose by.
        Retry-safe. Raises LearnerUnsupportedError through a learner; without quorum
        RequestTimedOutError or NoLeaderError. The flag exists since etcd 3.5. With authentication
        on it needs a user, of whatever role, since 3.5.29 and 3.6.10; none before.
        """
        request = cluster_pb2.MemberListRequest(linearizable=linearizable)
        answer = await self._transport.unary(rpc.MEMBER_LIST, request, timeout_s=timeout_s)
        return _member_list(answer.header, answer.members)

    async def member_add(
        self,
        *,
        peer_urls: Sequence[str],
        is_learner: bool = True,
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> MemberAdded:
        """Adds a member, a learner unless told otherwise, and returns its ID.

        Through the quorum. Not retry-safe: where `maybe_applied`, list and look for the peer URL.
        Raises PeerURLExistsError (MemberExistsError within the same second, of which the ID is
        made), TooManyLearnersError, UnhealthyClusterError (members not all connected for 5 s, also
        right after an election), NotEnoughStartedError,
        BadMemberURLsError. A voter added to a cluster of one takes its quorum away until the new
        process runs. Learners since 3.4.
        """
        request = cluster_pb2.MemberAddRequest(peer_urls=peer_urls, is_learner=is_learner)
        answer = await self._transport.unary(rpc.MEMBER_ADD, request, timeout_s=timeout_s)
        return MemberAdded(
            member=_member(answer.member), after=_member_list(answer.header, answer.members)
        )

    async def member_remove(
        self, member_id: MemberID, *, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> MemberList:
        """Removes a member for ever: its ID can never come back. Returns the list afterwards.

        Through the quorum. Repeating it raises MemberNotFoundError, which is as good as done.
        Raises UnhealthyClusterError or NotEnoughStartedError where the rest would lose quorum.
        """
        request = cluster_pb2.MemberRemoveRequest(id=member_id)
        answer = await self._transport.unary(rpc.MEMBER_REMOVE, request, timeout_s=timeout_s)
        return _member_list(answer.header, answer.members)

    async def member_update(
        self,
        member_id: MemberID,
        *,
        peer_urls: Sequence[str],
        timeout_s: float = CHANGE_TIMEOUT_S,
    ) -> MemberList:
        """Gives a member other peer URLs. Returns the list afterwards.

        Through the quorum; repeating the same call is harmless. Raises MemberNotFoundError,
        PeerURLExistsError. Not for a learner before 3.5.31 and 3.6.12: it became a voter that
        could not be promoted any more.
        """
        request = cluster_pb2.MemberUpdateRequest(id=member_id, peer_urls=peer_urls)
        answer = await self._transport.unary(rpc.MEMBER_UPDATE, request, timeout_s=timeout_s)
        return _member_list(answer.header, answer.members)

    async def member_promote(
        self, member_id: MemberID, *, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> MemberList:
        """Makes a learner a voter. Returns the list afterwards.

        Through the quorum, by way of any voter (a follower asks the leader). Repeating it raises
        NotALearnerError, which is as good as done. Raises LearnerNotReadyError below 90 % of the
        leader's log or when the learner never started (since 3.5.7), MemberNotFoundError.
        With authentication on a follower can't pass it on before 3.5.28 and 3.6.6.
        """
        request = cluster_pb2.MemberPromoteRequest(id=member_id)
        answer = await self._transport.unary(rpc.MEMBER_PROMOTE, request, timeout_s=timeout_s)
        return _member_list(answer.header, answer.members)


def _member(message: cluster_pb2.Member) -> Member:
    return Member(
        id=MemberID(message.id),
        name=message.name,
        peer_urls=tuple(message.peer_urls),
        client_urls=tuple(message.client_urls),
        is_learner=message.is_learner,
    )


def _member_list(
    header: header_pb2.ResponseHeader, members: Iterable[cluster_pb2.Member]
) -> MemberList:
    return MemberList(
        cluster_id=ClusterID(header.cluster_id),
        responder_id=MemberID(header.member_id),
        raft_term=header.raft_term,
        revision=header.revision,
        members=tuple(_member(m) for m in members),
    )
