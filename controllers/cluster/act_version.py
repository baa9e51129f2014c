"""Carries out the steps that a change of version asks of etcd: hashes, and its own downgrade.

Called by `act_etcd`, which turns what etcd refuses for now into `NotYet`.  A hash is asked of every
voter at one revision and counts only where all have compacted up to the same one.
"""

import asyncio
import contextlib
from typing import Final

from api.reasons import Reason
from api.v1alpha1.cluster_status import DataHash
from controllers.cluster.outcome import Done, Hashed, NotYet, Outcome, Rejected
from controllers.cluster.plan.steps import NudgeLearner
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
)
from etcd.client import EtcdClient
from etcd.errors import CompactedError, DowngradeInProgressError, NoDowngradeJobError
from etcd.ids import MemberID
from etcd.maintenance import Alarm, AlarmKind, KeyValueHash

# A gigabyte takes about two seconds; a member serves meanwhile.
_HASH_TIMEOUT_S: Final = 30.0

# Of one step, so that its reconcile is soon over; ten thousand took 4 s on two cores.
_ENTRIES: Final = 2000
_AT_ONCE: Final = 64
# Nobody has this ID, so no such alarm was ever raised, and taking it back does nothing.
_NO_ALARM: Final = Alarm(member_id=MemberID(0), kind=AlarmKind.NOSPACE)

VersionStep = CompareHashes | AdvanceLog | NudgeLearner | EnableDowngrade | CancelDowngrade


async def perform_on_version(
    step: VersionStep, voters: dict[str, EtcdClient], leader: EtcdClient, *, timeout_s: float
) -> Outcome:
    """Take the step. Raises EtcdError: also of a member that has not come to the revision."""
    match step:
        case CompareHashes(known=known):
            return await _compare_hashes(known, voters, leader)
        case NudgeLearner(name=name):
            await _advance_log(1, leader, timeout_s)
            return NotYet(message=f"{name} has not answered yet")
        case AdvanceLog(missing=missing):
            await _advance_log(min(missing, _ENTRIES), leader, timeout_s)
        case EnableDowngrade(target=target):
            # VALIDATE says in words what is wrong.  One in progress is one to this target: the
            # planner looks at the target before it asks.
            with contextlib.suppress(DowngradeInProgressError):
                await leader.maintenance.downgrade_validate(target, timeout_s=timeout_s)
                await leader.maintenance.downgrade_enable(target, timeout_s=timeout_s)
        case CancelDowngrade():
            with contextlib.suppress(NoDowngradeJobError):
                await leader.maintenance.downgrade_cancel(timeout_s=timeout_s)
    return Done()


async def _advance_log(entries: int, leader: EtcdClient, timeout_s: float) -> None:
    """With the first that fails all end: what is missing then is looked at anew."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        async with slots:
            await leader.maintenance.disarm(_NO_ALARM, timeout_s=timeout_s)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(entries):
                group.create_task(one())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def _compare_hashes(
    known: DataHash | None, voters: dict[str, EtcdClient], leader: EtcdClient
) -> Outcome:
    """All voters at one revision, that of the known hash where it can still be had."""
    if known is not None:
        again = _held_against(known, await _compare(voters, known.revision))
        if again is not None:
            return again
    now = await leader.maintenance.status()
    return await _compare(voters, now.revision)


def _held_against(known: DataHash, again: Hashed | NotYet | Rejected) -> Hashed | Rejected | None:
    """None where the old revision can't be had any more as it was: data was compacted since."""
    if not isinstance(again, Hashed):
        return again if isinstance(again, Rejected) else None
    if again.hash.compact_revision != known.compact_revision:
        return None
    if again.hash.hash == known.hash:
        return again
    return Rejected(
        reason=Reason.HASHES_DIFFER,
        message=f"At revision {known.revision} all members have the hash {again.hash.hash}, and it"
        f" was {known.hash} before the change of version",
    )


async def _compare(voters: dict[str, EtcdClient], revision: int) -> Hashed | NotYet | Rejected:
    calls = [
        client.maintenance.hash_kv(revision=revision, timeout_s=_HASH_TIMEOUT_S)
        for client in voters.values()
    ]
    try:
        answers = await asyncio.gather(*calls)
    except CompactedError:
        return NotYet(message=f"revision {revision} was compacted meanwhile; asking again")
    return _judged(dict(zip(voters, answers, strict=True)), revision)


def _judged(answers: dict[str, KeyValueHash], revision: int) -> Hashed | NotYet | Rejected:
    compacted = {answer.compact_revision for answer in answers.values()}
    if len(compacted) > 1:
        return NotYet(message="members are compacting just now; asking for their hashes again")
    hashes = {answer.hash for answer in answers.values()}
    if len(hashes) > 1:
        said = ", ".join(f"{name} {answer.hash}" for name, answer in sorted(answers.items()))
        return Rejected(
            reason=Reason.HASHES_DIFFER,
            message=f"The members' data differs at revision {revision}: {said}",
        )
    (compact_revision,), (value,) = compacted, hashes
    return Hashed(hash=DataHash(revision=revision, compact_revision=compact_revision, hash=value))
