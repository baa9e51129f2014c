"""The state and upkeep of one member: service `etcdserverpb.Maintenance`.

Status, defragmentation, hashes and snapshots concern the member that is asked, not the cluster.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd import rpc
from etcd.header import Header, header_of
from etcd.ids import ClusterID, MemberID
from etcd.proto import maintenance_pb2 as pb
from etcd.snapshot_stream import SnapshotChunk, verified

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from etcd.transport import Transport

READ_TIMEOUT_S = 3.0
CHANGE_TIMEOUT_S = 8.0
# A defragmentation of 187 MB took 2.3 s on two cores; the member serves nothing meanwhile.
DEFRAGMENT_TIMEOUT_S = 120.0
SNAPSHOT_TIMEOUT_S = 3600.0
SNAPSHOT_IDLE_S = 30.0


class AlarmKind(enum.Enum):
    """NOSPACE: the quota is used up. CORRUPT: members disagree about the data."""

    NOSPACE = "NOSPACE"
    CORRUPT = "CORRUPT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One raised alarm. member_id: who raised it; 0 for a CORRUPT where no majority hash exists."""

    member_id: MemberID
    kind: AlarmKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Downgrade:
    """A downgrade that is on. target_version: `3.5.0`."""

    target_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What one member says of itself. Sizes in bytes.

    leader: None where it knows none. errors: alarms as text and `etcdserver: no leader`.
    storage_version, db_size_quota: empty and 0 before 3.6 (the quota is reliable from 3.6.6 on).
    downgrade: None where none is on, and always before 3.6.
    """

    member_id: MemberID
    cluster_id: ClusterID
    version: str
    db_size: int
    db_size_in_use: int
    leader: MemberID | None
    raft_index: int
    raft_applied_index: int
    raft_term: int
    revision: int
    errors: tuple[str, ...]
    is_learner: bool
    storage_version: str
    db_size_quota: int
    downgrade: Downgrade | None

    @property
    def is_leader(self) -> bool:
        return self.leader == self.member_id


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueHash:
    """Hash of all keys up to a revision; comparable between members at equal compact_revision only.

    hash_revision: the revision that was hashed; 0 before 3.6, which does not tell.
    """

    header: Header
    hash: int
    compact_revision: int
    hash_revision: int


class MaintenanceClient:
    """The upkeep of the member at the other end."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def status(self, *, timeout_s: float = READ_TIMEOUT_S) -> Status:
        """The member's own state.

        Local, not linearizable: answers without quorum and from a learner. Retry-safe. With
        authentication on it needs a user, of whatever role, since 3.5.32 and 3.6.12; none before.
        """
        answer = await self._transport.unary(rpc.STATUS, pb.StatusRequest(), timeout_s=timeout_s)
        return _status(answer)

    async def alarms(self, *, timeout_s: float = READ_TIMEOUT_S) -> tuple[Alarm, ...]:
        """All raised alarms.

        From the member's applied state. Retry-safe. Raises LearnerUnsupportedError.
        """
        return await self._alarm(pb.AlarmRequest(action=pb.AlarmRequest.GET), timeout_s)

    async def disarm(
        self, alarm: Alarm, *, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> tuple[Alarm, ...]:
        """Takes one alarm back; the answer names it, or is empty where no such alarm was raised.

        The ID must be the alarm's own: for another one etcd does nothing and says nothing.
        Through the quorum; repeating it is harmless.
        """
        request = pb.AlarmRequest(
            action=pb.AlarmRequest.DEACTIVATE,
            member_id=alarm.member_id,
            alarm=alarm.kind.value,
        )
        return await self._alarm(request, timeout_s)

    async def raise_alarm(
        self, alarm: Alarm, *, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> tuple[Alarm, ...]:
        """Raises an alarm in a member's name: fences the cluster's writes.

        Through the quorum; repeating it is harmless.
        """
        request = pb.AlarmRequest(
            action=pb.AlarmRequest.ACTIVATE,
            member_id=alarm.member_id,
            alarm=alarm.kind.value,
        )
        return await self._alarm(request, timeout_s)

    async def defragment(self, *, timeout_s: float = DEFRAGMENT_TIMEOUT_S) -> None:
        """Rewrites the member's database file without holes.

        The member serves neither reads nor writes until it is done, also after our deadline. Needs
        up to db_size_in_use of free disk. One member at a time, the leader last, never while
        another one is down or learning. Retry-safe, but each time costs the outage. Raises
        LearnerUnsupportedError. Unsafe before 3.5.6 (crash) and 3.5.23/3.6.5 (applied snapshot).
        """
        await self._transport.unary(rpc.DEFRAGMENT, pb.DefragmentRequest(), timeout_s=timeout_s)

    async def hash_kv(
        self, *, revision: int = 0, timeout_s: float = CHANGE_TIMEOUT_S
    ) -> KeyValueHash:
        """The member's hash of all keys up to `revision` (0: its newest).

        Local. Retry-safe. Equal data hash equally in 3.5, 3.6 and 3.7. Raises
        LearnerUnsupportedError, CompactedError, FutureRevisionError.
        """
        request = pb.HashKVRequest(revision=revision)
        answer = await self._transport.unary(rpc.HASH_KV, request, timeout_s=timeout_s)
        return KeyValueHash(
            header=header_of(answer.header),
            hash=answer.hash,
            compact_revision=answer.compact_revision,
            hash_revision=answer.hash_revision,
        )

    def snapshot(
        self, *, timeout_s: float = SNAPSHOT_TIMEOUT_S, idle_s: float = SNAPSHOT_IDLE_S
    ) -> AsyncGenerator[SnapshotChunk]:
        """The member's database in chunks of 32 KiB; the last one is the 32-byte sha256 trailer.

        All chunks in order make a file that `etcdutl snapshot restore` takes. The iterator ends
        only after the trailer matched; else it raises SnapshotDamagedError. Local: needs no quorum,
        also from a learner, and a lagging member gives an old state. Start again from the
        beginning after an error. A slow reader makes the database file grow under writes. Wrap it
        in `contextlib.aclosing` where you may leave early.
        """
        answers = self._transport.stream(
            rpc.SNAPSHOT, pb.SnapshotRequest(), timeout_s=timeout_s, idle_s=idle_s
        )
        return verified(answers)

    async def move_leader(self, target: MemberID, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Hands leadership from the member that is asked to `target`.

        Raises NotLeaderError anywhere but at the leader, BadTransfereeError for a learner or a
        stranger. Where `maybe_applied`, ask for the leader before repeating it. Since 3.3.
        """
        request = pb.MoveLeaderRequest(target_id=target)
        await self._transport.unary(rpc.MOVE_LEADER, request, timeout_s=timeout_s)

    async def downgrade_validate(self, target: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Asks whether the cluster could go down to `target` (`3.5` or `3.5.0`); changes nothing.

        Retry-safe. Raises DowngradeTargetError (only one minor down), DowngradeInProgressError.
        """
        await self._downgrade(pb.DowngradeRequest.VALIDATE, target, timeout_s)

    async def downgrade_enable(self, target: str, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Starts the downgrade: members rewrite their storage for `target` within seconds.

        Through the quorum. Repeating it raises DowngradeInProgressError, which is as good as done,
        and DowngradeTargetError once the cluster's version is the target: look at Status first.
        Nothing moves while any member is away, be it a learner that never started. No new member
        can join before the end. Wait for every member's storage_version before the first older
        binary. From 3.6 on.
        """
        await self._downgrade(pb.DowngradeRequest.ENABLE, target, timeout_s)

    async def downgrade_cancel(self, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Calls the downgrade off. Where there is none: NoDowngradeJobError (3.5), or nothing.

        With no member lower, the versions are back up within seconds, and bar the older binary;
        else the cluster stays mixed until the last lower member is upgraded. Ask a member from 3.6
        on: 3.5 does it, but doesn't answer (RequestTimedOutError after 7 s).
        """
        await self._downgrade(pb.DowngradeRequest.CANCEL, "", timeout_s)

    async def _downgrade(
        self, action: pb.DowngradeRequest.DowngradeAction, target: str, timeout_s: float
    ) -> None:
        request = pb.DowngradeRequest(action=action, version=target)
        await self._transport.unary(rpc.DOWNGRADE, request, timeout_s=timeout_s)

    async def _alarm(self, request: pb.AlarmRequest, timeout_s: float) -> tuple[Alarm, ...]:
        answer = await self._transport.unary(rpc.ALARM, request, timeout_s=timeout_s)
        return tuple(
            Alarm(member_id=MemberID(a.member_id), kind=AlarmKind(pb.AlarmType.Name(a.alarm)))
            for a in answer.alarms
            if a.alarm != pb.NONE
        )


def _status(answer: pb.StatusResponse) -> Status:
    downgrade = answer.downgrade_info
    return Status(
        member_id=MemberID(answer.header.member_id),
        cluster_id=ClusterID(answer.header.cluster_id),
        version=answer.version,
        db_size=answer.db_size,
        db_size_in_use=answer.db_size_in_use,
        leader=MemberID(answer.leader) if answer.leader else None,
        raft_index=answer.raft_index,
        raft_applied_index=answer.raft_applied_index,
        raft_term=answer.raft_term,
        revision=answer.header.revision,
        errors=tuple(answer.errors),
        is_learner=answer.is_learner,
        storage_version=answer.storage_version,
        db_size_quota=answer.db_size_quota,
        downgrade=(
            Downgrade(target_version=downgrade.target_version) if downgrade.enabled else None
        ),
    )
