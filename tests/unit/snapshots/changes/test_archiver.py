"""When changes are stored, what is told of them before, and where the archiver goes on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.errors import CompactedError, UnavailableError
from snapshots.changes import archiver
from snapshots.changes.archiver import HEARTBEAT, ArchiveRequest, Progress, archive
from snapshots.changes.history import read_chains
from snapshots.changes.segment import read_segment
from snapshots.errors import (
    BaseNeededError,
    FencedError,
    SegmentInvalidError,
    StoreFullError,
    StoreUnavailableError,
    WrongSourceError,
)
from tests.unit.snapshots.backups import Dying, Wrapped
from tests.unit.snapshots.changes.chains import (
    KEY,
    LOG,
    NOON,
    Memory,
    at,
    base,
    place,
    stored,
    write,
    written,
)
from tests.unit.snapshots.changes.scripted import (
    ScriptedEtcd,
    batch,
    event,
    header,
    progress,
    revisions,
)

FLUSH = 10
REQUEST = ArchiveRequest(
    log=LOG,
    cluster="c",
    flush_interval=timedelta(seconds=FLUSH),
    max_bytes=1000,
    compress=False,
    key=None,
)
BASE = base(4, path="c-1/one")
DAY = HEARTBEAT.total_seconds()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(archiver, "_STORE_RETRY_S", 0)


async def keep(etcd, store, *, bases=(BASE,), told=None, request=REQUEST):
    """Returns what it tells of itself at its end."""
    told = told or Progress()
    await archive(etcd, store, request, bases=bases, stop=etcd.stop, progress=told, now=etcd.now)
    return told


def segments(store, keys=()):
    """Chain, number and revisions of all that is stored, in the order of their names."""
    found = []
    for _, data in sorted(store.objects.items()):
        head, _, body = read_segment(data, keys)
        found.append((head.chain, head.number, [each.revision for each in body.revisions]))
    return found


def headers(store):
    return [read_segment(data, ())[0] for _, data in sorted(store.objects.items())]


def bodies(store):
    return [read_segment(data, ())[2] for _, data in sorted(store.objects.items())]


def numbers(store):
    """The revisions of each segment."""
    return [found for _, _, found in segments(store)]


class Seen:
    """Notes, in the middle of a script, what is stored by then."""

    def __init__(self, store):
        self.store = store
        self.found = []

    def __call__(self):
        self.found.append(numbers(self.store))


# ---------------------------------------------------------------- when


@pytest.mark.parametrize(("seconds", "expected"), [(FLUSH - 0.001, []), (FLUSH, [[5]])])
async def test_change_is_stored_when_it_is_as_old_as_it_may_be(seconds, expected):
    store = Memory()
    look = Seen(store)

    await keep(ScriptedEtcd([revisions(5), seconds, look]), store)

    assert look.found == [expected]


async def test_later_changes_do_not_put_off_the_first_one():
    store = Memory()
    look = Seen(store)

    await keep(ScriptedEtcd([revisions(5), 6, revisions(6), 4, look, 6, look, 4, look]), store)

    assert look.found == [[[5, 6]]] * 3


async def test_as_many_bytes_as_wanted_are_stored_at_once():
    """Whatever their age; a batch of etcd's is not torn apart for it."""
    store = Memory()
    look = Seen(store)
    large = bytes(400)
    script = [
        batch(event(5, value=large)),
        batch(event(6, value=large)),
        look,
        batch(event(7, value=large), event(8, value=large)),
        look,
    ]

    await keep(ScriptedEtcd(script), store)

    assert look.found == [[], [[5, 6, 7, 8]]]


async def test_many_small_changes_count_as_more_than_their_bytes():
    store = Memory()
    look = Seen(store)

    await keep(ScriptedEtcd([batch(*(event(n, value=b"") for n in range(5, 45))), look]), store)

    assert look.found == [[[*range(5, 45)]]]


async def test_revision_in_pieces_is_stored_as_one():
    """However large it is, and however long it takes."""
    store = Memory()
    look = Seen(store)
    parts = [batch(event(5, b"%d" % n, value=bytes(900)), fragment=n < 2) for n in range(3)]

    await keep(ScriptedEtcd([parts[0], FLUSH, look, parts[1], look, parts[2], look]), store)

    assert look.found == [[], [], [[5]]]
    assert [change.key for change in bodies(store)[0].revisions[0].changes] == [b"0", b"1", b"2"]


async def test_pieces_of_several_revisions_are_put_together_by_revision():
    store = Memory()
    parts = [
        batch(event(5), event(6, b"a"), fragment=True),
        batch(event(6, b"b"), event(7)),
    ]

    await keep(ScriptedEtcd(parts), store)

    assert numbers(store) == [[5, 6, 7]]


async def test_revisions_are_stored_before_all_pieces_of_what_etcd_sends_at_once_are_there():
    """After an absence etcd sends a thousand revisions at once: more than fit into memory."""
    store = Memory()
    look = Seen(store)
    parts = [batch(event(number, value=bytes(900)), fragment=True) for number in (5, 6, 7)]

    await keep(ScriptedEtcd([*parts, look, revisions(8), FLUSH]), store)

    assert look.found == [[[5, 6]]]
    assert numbers(store) == [[5, 6], [7, 8]]


async def test_unfinished_revision_is_not_stored_at_the_end():
    store = Memory()

    await keep(ScriptedEtcd([revisions(5), batch(event(6, b"a"), fragment=True)]), store)

    assert numbers(store) == [[5]]


async def test_what_has_come_is_stored_at_the_end():
    store = Memory()

    told = await keep(ScriptedEtcd([revisions(5, 7)]), store)

    assert numbers(store) == [[5, 6, 7]]
    assert (told.revision, told.seen, told.unstored_since) == (7, 7, None)


async def test_what_etcd_had_told_when_it_failed_is_stored():
    store = Memory()
    etcd = ScriptedEtcd([revisions(5), UnavailableError("gone")])

    with pytest.raises(UnavailableError):
        await keep(etcd, store)

    assert numbers(store) == [[5]]


@given(
    script=st.lists(
        st.one_of(
            st.integers(1, 3).map(lambda count: ("revisions", count)),
            st.sampled_from([0.5, 3, 12]).map(lambda seconds: ("seconds", seconds)),
            st.just(("progress", 0)),
        ),
        max_size=25,
    )
)
async def test_whatever_comes_nothing_is_missing_and_nothing_is_late(script):
    store, etcd, last = Memory(), ScriptedEtcd(), 4
    told = Progress()
    stored_by = []

    def look():
        oldest = told.unstored_since
        stored_by.append(oldest is None or etcd.time - oldest <= timedelta(seconds=FLUSH))

    for kind, much in script:
        if kind == "revisions":
            etcd.script.append(revisions(last + 1, last + much))
            last += much
        else:
            etcd.script.append(much if kind == "seconds" else progress(last))
        etcd.script.append(look)

    await keep(etcd, store, told=told)

    assert [n for found in numbers(store) for n in found] == [*range(5, last + 1)]
    assert all(stored_by)
    for before, after in zip(headers(store), headers(store)[1:], strict=False):
        assert after.complete_until >= before.complete_until
    assert told.revision == (last if store.objects else None)


# ---------------------------------------------------------------- when nothing happens


async def test_first_segment_says_that_the_chain_is_there():
    store = Memory()
    look = Seen(store)

    await keep(ScriptedEtcd([1, look, progress(4), look], newest=4), store)

    assert look.found == [[], [[]]]
    (head,) = headers(store)
    assert (head.chain, head.first_revision, head.last_revision) == (5, 5, 4)


async def test_idle_log_grows_by_one_segment_at_each_heartbeat():
    store = Memory()
    look = Seen(store)
    script = [progress(4), DAY - 1, progress(4), look, 1, look, 1, 1, progress(4), look]

    told = await keep(ScriptedEtcd(script, newest=4), store)

    assert look.found == [[[]], [[], []], [[], []]]
    first, second = headers(store)
    assert second.complete_until > first.complete_until == NOON
    assert told.revision == 4


async def test_time_without_loss_moves_on_between_heartbeats():
    """What is told as safe needs no segment: nothing would be lost."""
    store, told = Memory(), Progress()
    seen = []
    script = [progress(4), 5, progress(4), lambda: seen.append((told.safe, told.complete_until))]

    await keep(ScriptedEtcd(script, newest=4), store, told=told)

    assert seen == [(at(5), at(0))]


async def test_change_that_waits_would_be_lost_whatever_etcd_says():
    store, told = Memory(), Progress()
    seen = []

    def look():
        seen.append(told.safe)

    script = [revisions(5), 3, progress(5), look, FLUSH, look]
    await keep(ScriptedEtcd(script), store, told=told)

    assert seen == [None, at(0)]


async def test_etcd_is_asked_every_few_seconds():
    etcd = ScriptedEtcd([0.5] * 12, newest=4)

    await keep(etcd, Memory())

    assert etcd.asked == [at(0), at(2), at(4), at(6)]


async def test_complete_until_is_when_etcd_was_asked_first():
    """It leaves out answers while a watch is behind: which question is answered nobody knows."""
    store = Memory()
    etcd = ScriptedEtcd([3, 3, progress(4)], newest=4)

    await keep(etcd, store)

    assert etcd.asked == [at(0), at(3), at(6)]
    assert headers(store)[0].complete_until == at(0)


async def test_member_that_is_behind_its_cluster_completes_nothing():
    """Cut off from the others it would say for ever that nothing has happened."""
    store = Memory()

    told = await keep(ScriptedEtcd([progress(4), 3, progress(4)], newest=9), store)

    assert store.objects == {}
    assert told.safe is None


async def test_progress_beyond_what_came_completes_nothing():
    store = Memory()

    told = await keep(ScriptedEtcd([progress(6)], newest=6), store)

    assert (store.objects, told.safe) == ({}, None)


async def test_progress_within_a_revision_in_pieces_completes_nothing():
    store = Memory()
    script = [batch(event(5), fragment=True), progress(4), batch(event(5, b"b")), FLUSH]

    await keep(ScriptedEtcd(script), store)

    assert numbers(store) == [[5]]
    assert headers(store)[0].complete_until == at(0)


async def test_complete_until_is_never_before_a_change_that_is_kept():
    store = Memory()

    await keep(ScriptedEtcd([progress(4), 5, revisions(5)], newest=4), store)

    assert [head.complete_until for head in headers(store)] == [at(0), at(5)]
    assert bodies(store)[1].revisions[0].received_ms == int(at(5).timestamp() * 1000)


async def test_clock_that_is_put_back_does_not_put_back_what_is_complete():
    store = Memory()
    script = [5, revisions(5), FLUSH, -3600, revisions(6), FLUSH, progress(6)]

    await keep(ScriptedEtcd(script), store)

    assert [head.complete_until for head in headers(store)] == [at(5)] * 2


# ---------------------------------------------------------------- the store


async def test_nothing_is_told_to_be_kept_before_it_is_stored():
    store, told = Memory(), Progress()
    seen = []
    script = [
        revisions(5),
        lambda: seen.append((told.revision, told.seen, told.unstored_since)),
        FLUSH,
        lambda: seen.append((told.revision, told.seen, told.unstored_since)),
    ]

    await keep(ScriptedEtcd(script), store, told=told)

    assert seen == [(None, 5, NOON), (5, 5, None)]


class Away(Wrapped):
    """Does not answer for so many times."""

    def __init__(self, store, times, told):
        super().__init__(store)
        self.times = times
        self.told = told
        self.troubles = []

    async def before(self, operation, path):
        if operation == "create":
            self.troubles.append(self.told.trouble)
            self.times -= 1
            if self.times >= 0:
                raise StoreUnavailableError("away", operation=operation, where=path)


async def test_store_that_is_away_is_waited_for_and_told():
    store, told = Memory(), Progress()
    away = Away(store, 3, told)

    await keep(ScriptedEtcd([revisions(5), FLUSH, revisions(6), FLUSH]), away, told=told)

    assert numbers(store) == [[5], [6]]
    assert [str(each or "") for each in away.troubles[1:4]] == [
        f"create {LOG.chain(5).segment(0)}: away"
    ] * 3
    assert told.trouble is None


async def test_store_that_is_away_at_the_end_is_an_error():
    told = Progress()

    with pytest.raises(StoreUnavailableError):
        await keep(ScriptedEtcd([revisions(5)]), Away(Memory(), 10**6, told), told=told)

    assert told.revision is None
    assert told.unstored_since == NOON


async def test_store_that_refuses_is_not_asked_again():
    class Full(Wrapped):
        async def before(self, operation, path):
            if operation == "create":
                raise StoreFullError("full", operation=operation, where=path)

    with pytest.raises(StoreFullError):
        await keep(ScriptedEtcd([revisions(5), FLUSH, revisions(6)]), Full(Memory()))


async def test_segment_whose_answer_was_lost_is_known_again():
    store = Memory()

    class Lossy(Wrapped):
        lost = False

        async def after(self, operation, path):
            if operation == "create" and not self.lost:
                self.lost = True
                raise StoreUnavailableError("no answer", operation=operation, where=path)

    await keep(ScriptedEtcd([revisions(5), FLUSH, revisions(6)]), Lossy(store))

    assert numbers(store) == [[5], [6]]


async def test_archiver_that_finds_its_place_taken_ends():
    store = Memory()
    other = written(1)[0]
    path = LOG.chain(5).segment(0)
    etcd = ScriptedEtcd([lambda: store.objects.update({path: other}), revisions(5), FLUSH])

    with pytest.raises(FencedError, match=f"{path} was written by another archiver"):
        await keep(etcd, store)

    assert store.objects == {path: other}


async def test_place_that_is_taken_by_something_else_is_told():
    store = Memory()
    path = LOG.chain(5).segment(0)
    etcd = ScriptedEtcd([lambda: store.objects.update({path: b"?"}), revisions(5), FLUSH])

    with pytest.raises(SegmentInvalidError):
        await keep(etcd, store)


async def test_segments_are_compressed_and_encrypted_as_wanted():
    store = Memory()

    await keep(
        ScriptedEtcd([revisions(5)]), store, request=replace(REQUEST, compress=True, key=KEY)
    )

    assert segments(store, [KEY]) == [(5, 0, [5])]
    ((_, data),) = store.objects.items()
    head, _, _ = read_segment(data, [KEY])
    assert (head.compression, head.encryption) == ("zstd", KEY.id)


# ---------------------------------------------------------------- leases


async def test_leases_of_the_changes_are_kept_with_their_times():
    store = Memory()
    changes = [event(5, b"a", lease=7), event(5, b"b", lease=8), event(5, b"c")]

    await keep(ScriptedEtcd([batch(*changes)], ttls={7: 60}), store)

    assert bodies(store)[0].leases == {7: 60, 8: 0}


async def test_lease_of_which_the_last_segment_told_is_not_asked_for_again():
    etcd = ScriptedEtcd(
        [batch(event(n, lease=lease)) for n, lease in [(5, 7)]]
        + [FLUSH, batch(event(6, lease=7), event(7, lease=8)), FLUSH]
        + [batch(event(8, lease=8)), FLUSH, batch(event(9, lease=7))],
        ttls={7: 60, 8: 90},
    )
    store = Memory()

    await keep(etcd, store)

    assert [body.leases for body in bodies(store)] == [{7: 60}, {7: 60, 8: 90}, {8: 90}, {7: 60}]
    assert etcd.asked_leases == [7, 8, 7]


async def test_changes_are_kept_also_where_their_leases_can_not_be_asked_for():
    store = Memory()
    etcd = ScriptedEtcd([batch(event(5, lease=7))], lease_failure=UnavailableError("gone"))

    await keep(etcd, store)

    assert bodies(store)[0].leases == {7: 0}


# ---------------------------------------------------------------- where it begins


async def test_chain_begins_behind_the_newest_backup():
    store = Memory()
    etcd = ScriptedEtcd([revisions(9)])

    told = await keep(etcd, store, bases=(BASE, base(8)))

    assert segments(store) == [(9, 0, [9])]
    assert told.chain == 9
    (watched,) = etcd.watched
    assert (watched.key, watched.range_end, watched.start_revision) == (b"\0", b"\0", 8)
    assert watched.fragment


async def test_revision_of_the_backup_itself_is_not_kept():
    """It is watched, because of a watch on the future etcd tells nothing."""
    store = Memory()

    await keep(ScriptedEtcd([revisions(4), revisions(5)]), store)

    assert segments(store) == [(5, 0, [5])]


async def test_log_is_gone_on_with_from_its_last_segment():
    store = Memory()
    await stored(store, written(3, 2))
    etcd = ScriptedEtcd([revisions(9, 11)])

    told = await keep(etcd, store)

    assert segments(store) == [(5, 0, [5, 6, 7]), (5, 1, [8, 9]), (5, 2, [10, 11])]
    assert etcd.watched[0].start_revision == 9
    before, after = headers(store)[1:]
    assert after.follows(before, (await _sha256(store, 1)))
    assert told.chains[LOG.chain(5)].last == after


async def _sha256(store, number):
    return read_segment(await store.get(LOG.chain(5).segment(number)), ())[1]


async def test_what_is_there_is_told_before_anything_comes():
    store, told = Memory(), Progress()
    await stored(store, written(3))

    await keep(ScriptedEtcd(), store, told=told)

    assert (told.revision, told.complete_until, told.seen) == (7, at(7.5), 7)


async def test_newer_backup_begins_no_chain_while_the_old_one_can_go_on():
    store = Memory()
    await stored(store, written(3))

    await keep(ScriptedEtcd([revisions(8, 20)]), store, bases=(BASE, base(15)))

    assert [chain for chain, _, _ in segments(store)] == [5, 5]


def compacted(revision):
    failure = CompactedError("required revision has been compacted", rpc="Watch")
    failure.compact_revision = revision
    return failure


async def test_chain_that_etcd_has_compacted_ends_and_the_newest_backup_begins_another():
    store = Memory()
    await stored(store, written(3))
    etcd = ScriptedEtcd([revisions(16)], opening=[compacted(12)])

    await keep(etcd, store, bases=(BASE, base(10), base(15)))

    assert segments(store) == [(5, 0, [5, 6, 7]), (16, 0, [16])]
    assert len(await read_chains(store, LOG.path)) == 2


async def test_compaction_under_a_watch_that_is_on_ends_the_chain_with_what_came():
    store = Memory()
    etcd = ScriptedEtcd([revisions(5), compacted(30), revisions(41)])

    with pytest.raises(BaseNeededError, match="compacted what comes before revision 30"):
        await keep(etcd, store)

    assert segments(store) == [(5, 0, [5])]


@pytest.mark.parametrize("told", [revisions(7), revisions(5), batch(event(6), event(8))], ids=str)
async def test_revision_that_etcd_leaves_out_or_tells_twice_ends_the_chain(told):
    """Written down, it would be found when it is needed."""
    store = Memory()

    with pytest.raises(BaseNeededError, match=r"after revision [56] etcd told of [578]: changes"):
        await keep(ScriptedEtcd([revisions(5), told, revisions(9)]), store)

    assert numbers(store) in ([[5]], [[5, 6]])


async def test_after_a_lost_change_a_newer_backup_begins_another_chain():
    store = Memory()
    etcd = ScriptedEtcd([revisions(5), revisions(8), revisions(10)])

    await keep(etcd, store, bases=(BASE, base(9)))

    assert segments(store)[-1] == (10, 0, [10])


async def test_without_a_backup_that_is_new_enough_one_is_asked_for():
    store = Memory()
    await stored(store, written(3))
    etcd = ScriptedEtcd(opening=[compacted(12)])

    with pytest.raises(BaseNeededError, match="etcd has compacted what comes before revision 12"):
        await keep(etcd, store, bases=(BASE, base(7)))

    assert len(etcd.watched) == 1


async def test_backup_that_is_compacted_as_well_is_not_enough():
    etcd = ScriptedEtcd(opening=[compacted(12), compacted(20)])
    store = Memory()
    await stored(store, written(3))

    with pytest.raises(BaseNeededError, match="before revision 20"):
        await keep(etcd, store, bases=(base(15),))


async def test_without_any_backup_one_is_asked_for():
    with pytest.raises(BaseNeededError, match="there is no backup yet"):
        await keep(ScriptedEtcd(), Memory(), bases=())


async def test_of_two_chains_the_one_that_reaches_further_is_gone_on_with():
    store = Memory()
    await stored(store, written(3))
    await stored(store, written(2, first=30), first=30)

    await keep(ScriptedEtcd([revisions(32)]), store)

    assert segments(store)[-1] == (30, 1, [32])


async def test_log_of_another_cluster_is_not_gone_on_with():
    store = Memory()
    await stored(store, [write(place(5, cluster="d"))[0]])

    with pytest.raises(SegmentInvalidError, match="of d-1"):
        await keep(ScriptedEtcd([revisions(7)]), store)


async def test_store_that_is_away_at_the_beginning_is_an_error():
    with pytest.raises(StoreUnavailableError):
        await keep(ScriptedEtcd([revisions(5)]), Dying(Memory(), 0))


# ---------------------------------------------------------------- whose changes


async def test_member_of_another_cluster_is_not_listened_to():
    store = Memory()

    with pytest.raises(WrongSourceError, match="of cluster d, and the log of cluster c"):
        await keep(ScriptedEtcd([revisions(5)], cluster_id=0xD), store)

    assert store.objects == {}


async def test_member_that_becomes_another_clusters_is_noticed():
    """Behind the same name, after the cluster was made anew."""
    store = Memory()
    stranger = replace(revisions(6), header=header(6, cluster_id=0xD))

    with pytest.raises(WrongSourceError):
        await keep(ScriptedEtcd([revisions(5), stranger]), store)


async def test_version_whose_watch_loses_changes_is_refused():
    with pytest.raises(WrongSourceError, match=r"upgrade it to 3\.5\.22"):
        await keep(ScriptedEtcd([revisions(5)], version="3.5.7"), Memory())
