"""Each revision becomes one transaction, and whatever becomes of it otherwise is an error."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from etcd.errors import LeaseExistsError, NoSpaceError, UnavailableError
from etcd.kv_types import DeleteRange, Put
from snapshots.changes import replay as replay_module
from snapshots.changes.replay import Replayed, Target, replay
from snapshots.changes.segment import Body
from snapshots.errors import ReplayError, SegmentInvalidError
from tests.unit.snapshots.changes.chains import at, delete, put, revised
from tests.unit.snapshots.changes.scripted import header

BASE = 4


class Copy:
    """Stands for the client of the etcd that is replayed into. stray: revisions of somebody else,
    by how many transactions there were before.
    """

    def __init__(self, *, revision=BASE, leases=(), stray=()):
        self.revision = revision
        self.alive = dict.fromkeys(leases, 600)
        self.stray = set(stray)
        self.written = []
        self.failure = None
        self.gone = frozenset()
        self.kept = asyncio.Event()
        self.kv = SimpleNamespace(txn=self._txn, range=self._range)
        self.lease = SimpleNamespace(
            leases=self._leases, grant=self._grant, keep_all_alive=self._keep
        )
        self.foreign = ()

    async def _txn(self, txn, **_options):
        self.revision += 1 + (len(self.written) in self.stray)
        self.written.append(txn.success)
        # The keeper of the leases gets its turn.
        await asyncio.sleep(0)
        return SimpleNamespace(header=header(self.revision))

    async def _range(self, _range, **_options):
        return SimpleNamespace(header=header(self.revision))

    async def _leases(self):
        return tuple(self.alive)

    async def _grant(self, ttl_s, *, lease_id):
        if lease_id in self.foreign:
            raise LeaseExistsError("lease already exists")
        self.alive[lease_id] = ttl_s

    async def _keep(self, lease_ids):
        self.kept.set()
        if self.failure is not None:
            raise self.failure
        return self.gone & frozenset(lease_ids)


def body(*revisions, leases=None):
    first, last = revisions[0].revision, revisions[-1].revision
    return Body(first=first, last=last, leases=leases or {}, revisions=revisions)


async def each(*bodies):
    for one in bodies:
        yield one


async def run(copy, *bodies, target=None, moved_by=0, base_revision=BASE):
    return await replay(
        copy,
        each(*bodies),
        base_revision=base_revision,
        moved_by=moved_by,
        target=target or Target(),
    )


async def test_each_revision_becomes_one_transaction_of_its_changes():
    copy = Copy()
    several = revised(5, put(b"a", b"1"), delete(b"b"))

    found = await run(copy, body(several, revised(6, delete(b"a"))))

    assert copy.written == [
        (Put(key=b"a", value=b"1"), DeleteRange(key=b"b")),
        (DeleteRange(key=b"a"),),
    ]
    assert found == Replayed(revision=6, revisions=2, changes=3)


async def test_what_the_base_has_already_is_left_out():
    copy = Copy(revision=6)

    found = await run(copy, body(revised(5), revised(6), revised(7)), base_revision=6)

    assert (len(copy.written), found.revision, found.revisions) == (1, 7, 1)


async def test_revisions_are_counted_from_where_the_base_was_moved_to():
    copy = Copy(revision=BASE + 1000)

    found = await run(copy, body(revised(5)), moved_by=1000, target=Target(revision=5))

    assert (copy.revision, found.revision) == (1005, 5)


@pytest.mark.parametrize("revision", [5, 6, 7])
async def test_it_stops_exactly_at_the_revision(revision):
    copy = Copy()
    bodies = body(revised(5), revised(6)), body(revised(7), revised(8))

    found = await run(copy, *bodies, target=Target(revision=revision))

    assert copy.revision == found.revision == revision


@pytest.mark.parametrize(
    ("seconds", "last"), [(4.9, 4), (5, 5), (5.9, 5), (6, 6), (7.5, 7), (100, 8)]
)
async def test_it_stops_before_the_first_change_that_came_later(seconds, last):
    copy = Copy()
    bodies = body(revised(5), revised(6)), body(revised(7), revised(8))

    found = await run(copy, *bodies, target=Target(time=at(seconds)))

    assert copy.revision == found.revision == last


async def test_clock_that_was_put_back_brings_nothing_from_behind_the_target():
    """What came after the first change beyond it is beyond it."""
    copy = Copy()

    await run(copy, body(revised(5), revised(6, seconds=50), revised(7)), target=Target(time=at(9)))

    assert copy.revision == 5


def test_end_of_a_time_is_as_exact_as_what_was_kept():
    target = Target(time=at(5) + timedelta(milliseconds=1))

    assert not target.is_beyond(revised(5, seconds=5.001))
    assert target.is_beyond(revised(5, seconds=5.002))


async def test_base_that_is_the_target_is_left_as_it_is():
    copy = Copy()

    assert await run(copy, target=Target(revision=BASE)) == Replayed(
        revision=BASE, revisions=0, changes=0
    )
    assert copy.written == []


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "bodies",
    [(body(revised(6)),), (body(revised(5)), body(revised(7))), (body(revised(5), revised(7)),)],
    ids=["first", "between segments", "within one"],
)
async def test_gap_is_not_replayed_over(bodies):
    with pytest.raises(ReplayError, match=r"after revision \d comes \d: changes are missing"):
        await run(Copy(), *bodies)


async def test_changes_that_end_before_the_target_are_told():
    with pytest.raises(ReplayError, match="the changes end at revision 5, before 9"):
        await run(Copy(), body(revised(5)), target=Target(revision=9))


@pytest.mark.parametrize("stray", [0, 1])
async def test_revision_of_somebody_else_in_between_is_noticed(stray):
    copy = Copy(stray=[stray])

    with pytest.raises(ReplayError, match=rf"revision {5 + stray} became .* a lease of the backup"):
        await run(copy, body(revised(5), revised(6), revised(7)))

    assert len(copy.written) == stray + 1


async def test_etcd_that_does_not_begin_at_the_base_is_noticed():
    with pytest.raises(ReplayError, match="revision 5 became 8 instead of 5"):
        await run(Copy(revision=7), body(revised(5)))


async def test_failure_of_the_segments_passes():
    async def broken():
        yield body(revised(5))
        raise SegmentInvalidError("it ends within its header")

    with pytest.raises(SegmentInvalidError, match="it ends within its header"):
        await replay(Copy(), broken(), base_revision=BASE, moved_by=0, target=Target())


async def test_failure_of_etcd_passes():
    copy = Copy()

    async def full(*_arguments, **_options):
        raise NoSpaceError("database space exceeded")

    copy.kv = SimpleNamespace(txn=full)

    with pytest.raises(NoSpaceError):
        await run(copy, body(revised(5)))


# ---------------------------------------------------------------- leases


async def test_leases_are_granted_before_their_keys_for_as_long_as_they_were():
    copy = Copy()
    changes = [put(b"a", lease=7), put(b"b", lease=8), put(b"c", lease=7)]

    await run(copy, body(revised(5, *changes), leases={7: 60, 8: 0}))

    # Of the other one nobody knows for how long it had been granted.
    assert copy.alive == {7: 60, 8: 3600}
    assert [each.lease for each in copy.written[0]] == [7, 8, 7]


async def test_lease_of_the_base_stays_as_it_is():
    copy = Copy(leases=[7])

    await run(copy, body(revised(5, put(lease=7)), leases={7: 60}))

    assert copy.alive == {7: 600}


async def test_lease_that_came_meanwhile_is_not_an_error():
    copy = Copy()
    copy.foreign = (7,)

    await run(copy, body(revised(5, put(lease=7)), leases={7: 60}))

    assert copy.revision == 5


async def test_deletion_grants_no_lease():
    copy = Copy()
    gone = revised(5, delete())
    (change,) = gone.changes

    await run(copy, body(gone, leases={}))

    assert (change.lease, copy.alive) == (0, {})


async def test_leases_are_kept_alive_from_the_beginning():
    copy = Copy(leases=[7])

    async def slow():
        await asyncio.wait_for(copy.kept.wait(), 10)
        yield body(revised(5))

    found = await replay(copy, slow(), base_revision=BASE, moved_by=0, target=Target())

    assert found.revision == 5


async def test_lease_that_is_gone_is_granted_anew_for_the_next_key(monkeypatch):
    """Its end was a revision of its own; whatever it deleted shows in the one after."""
    monkeypatch.setattr(replay_module, "_KEPT_ALIVE_EVERY_S", 0)
    copy = Copy(leases=[7])
    copy.gone = frozenset([7])

    async def slow():
        await asyncio.wait_for(copy.kept.wait(), 10)
        await asyncio.sleep(0)
        copy.alive.clear()
        yield body(revised(5, put(lease=7)), leases={7: 60})

    await replay(copy, slow(), base_revision=BASE, moved_by=0, target=Target())

    assert copy.alive == {7: 60}


async def test_etcd_that_is_too_busy_to_keep_leases_alive_is_asked_again(monkeypatch):
    """A large transaction holds it up for longer than it waits; the leases last longer."""
    monkeypatch.setattr(replay_module, "_KEPT_ALIVE_EVERY_S", 0)
    copy = Copy(leases=[7])
    copy.failure = UnavailableError("waiting for the applied index took too long")

    async def slow():
        await asyncio.wait_for(copy.kept.wait(), 10)
        copy.failure = None
        copy.kept.clear()
        await asyncio.wait_for(copy.kept.wait(), 10)
        yield body(revised(5))

    found = await replay(copy, slow(), base_revision=BASE, moved_by=0, target=Target())

    assert found.revision == 5


async def test_lease_that_ends_after_the_last_revision_is_noticed():
    """No transaction comes after it, which would show that its keys are gone."""
    copy = Copy(leases=[7])

    async def slow():
        yield body(revised(5))
        copy.revision += 1

    with pytest.raises(ReplayError, match="revision 5 became 6 instead of 5"):
        await replay(copy, slow(), base_revision=BASE, moved_by=0, target=Target())
