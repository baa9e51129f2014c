"""What can be restored of a line of history, and by which way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.changes.history import Window, read_chains, way_to_revision, way_to_time, windows_of
from snapshots.changes.layout import LogFolder
from snapshots.errors import NotRestorableError, SegmentInvalidError, StoreUnavailableError
from tests.unit.snapshots.backups import Dying
from tests.unit.snapshots.changes.chains import (
    KEY,
    LOG,
    NOON,
    at,
    base,
    chain,
    place,
    stored,
    write,
    written,
)

# ---------------------------------------------------------------- what a store has


async def test_chain_is_read_as_far_as_its_last_segment(store):
    folder = await stored(store, written(3, 2, 1, key=KEY))

    (found,) = await read_chains(store, LOG.path)

    assert found.folder == folder
    assert found.segments == 3
    assert (found.last.first_revision, found.last.last_revision) == (10, 10)


async def test_all_chains_of_a_line_are_found_in_the_order_of_their_revisions(store):
    other = LogFolder(cluster_id=0xC, epoch=1, name="hourly")
    await stored(store, written(1, first=300), first=300)
    await stored(store, written(1), first=5)
    await stored(store, written(1, first=7), first=7, log=other)

    found = await read_chains(store, LOG.line)

    assert [each.folder for each in found] == [LOG.chain(5), LOG.chain(300), other.chain(7)]
    assert len(await read_chains(store, LOG.path)) == 2


async def test_what_is_no_segment_is_left_alone(store):
    await store.put("c-1/daily-1/manifest.json", b"{}")
    await store.put(f"{LOG.path}/notes", b"mine")

    assert await read_chains(store, LOG.line) == ()


async def test_last_segment_that_is_none_is_named(store):
    folder = await stored(store, [*written(1), b"nothing"])

    with pytest.raises(SegmentInvalidError, match=f"{folder.segment(1)}: it does not begin as"):
        await read_chains(store, LOG.path)


@pytest.mark.parametrize(
    ("changed", "holds"),
    [
        ({"cluster": "d"}, "segment 0 of chain 5 of d-1"),
        ({"epoch": 2}, "segment 0 of chain 5 of c-2"),
        ({"chain": 4, "first_revision": 4}, "segment 0 of chain 4 of c-1"),
        ({"number": 1, "previous": "0" * 64}, "segment 1 of chain 5 of c-1"),
    ],
    ids=str,
)
async def test_last_segment_of_another_place_is_not_gone_on_from(store, changed, holds):
    folder = await stored(store, [write(place(**changed), [])[0]])

    with pytest.raises(SegmentInvalidError, match=f"{folder.segment(0)} holds {holds}"):
        await read_chains(store, LOG.path)


async def test_store_that_does_not_answer_is_no_empty_log(store):
    await stored(store, written(1))

    with pytest.raises(StoreUnavailableError):
        await read_chains(Dying(store, 0), LOG.path)


# ---------------------------------------------------------------- windows


def test_window_begins_with_the_first_backup_that_the_chain_goes_on_from():
    bases = [base(12, completed=12, path="c"), base(3, path="a"), base(7, completed=7, path="b")]

    assert windows_of(bases, [chain(5, 20)]) == (
        Window(
            start_revision=7,
            end_revision=20,
            start_time=at(7),
            end_time=at(20),
            base="b",
        ),
    )


@pytest.mark.parametrize("revision", [4, 5, 20])
def test_backup_between_the_chains_ends_is_a_base(revision):
    """Of the revision right before the chain nothing is missing; of its last, nothing is needed."""
    (found,) = windows_of([base(revision)], [chain(5, 20)])

    assert (found.start_revision, found.end_revision) == (revision, 20)


@pytest.mark.parametrize("revision", [3, 21])
def test_backup_with_a_gap_before_or_behind_the_chain_is_none(revision):
    assert windows_of([base(revision)], [chain(5, 20)]) == ()


def test_chains_with_a_gap_between_them_are_two_windows():
    bases = [base(4), base(29, completed=29, path="later")]

    found = windows_of(bases, [chain(30, 40), chain(5, 20)])

    assert [(w.start_revision, w.end_revision, w.base) for w in found] == [
        (4, 20, "c-1/daily-1"),
        (29, 40, "later"),
    ]


def test_window_of_a_backup_that_is_newer_than_what_etcd_was_asked_for_has_no_time_yet():
    backup, log = base(20, completed=99), chain(5, 20)

    (found,) = windows_of([backup], [log])

    assert found.start_time == found.end_time == at(99)
    with pytest.raises(NotRestorableError):
        way_to_time([backup], [log], at(99))


# ---------------------------------------------------------------- ways


def test_way_begins_at_the_newest_backup_before_the_revision():
    bases = [base(4), base(9, path="near"), base(15, path="beyond")]

    way = way_to_revision(bases, [chain(5, 20)], 12)

    assert (way.base.path, way.chain, way.revision, way.time) == ("near", chain(5, 20), 12, None)


def test_backup_of_the_very_revision_needs_no_changes():
    way = way_to_revision([base(4), base(9, path="same")], [chain(5, 20)], 9)

    assert (way.base.path, way.chain) == ("same", None)


def test_backup_behind_a_gap_gives_way_to_an_older_one_with_changes():
    bases = [base(4), base(22, path="gap")]

    assert way_to_revision(bases, [chain(5, 20), chain(5, 30)], 25).base.path == "gap"
    assert way_to_revision(bases, [chain(5, 20)], 20).base.path == "c-1/daily-1"
    with pytest.raises(NotRestorableError):
        way_to_revision(bases, [chain(5, 20)], 25)


@pytest.mark.parametrize("revision", [3, 21])
def test_revision_right_outside_is_refused(revision):
    with pytest.raises(NotRestorableError, match=f"revision {revision} can't be restored"):
        way_to_revision([base(4)], [chain(5, 20)], revision)


def test_time_between_two_ends_is_reached_from_the_newest_backup_before_it():
    bases = [base(4), base(9, completed=9, path="near"), base(15, completed=15, path="beyond")]

    way = way_to_time(bases, [chain(5, 20)], at(12))

    assert (way.base.path, way.chain, way.revision, way.time) == (
        "near",
        chain(5, 20),
        None,
        at(12),
    )


@pytest.mark.parametrize("seconds", [0, 20])
def test_both_ends_of_the_time_can_be_restored(seconds):
    assert way_to_time([base(4)], [chain(5, 20)], at(seconds)).time == at(seconds)


@pytest.mark.parametrize(
    "past", [timedelta(microseconds=-1), timedelta(seconds=20, microseconds=1)]
)
def test_time_right_outside_is_refused(past):
    with pytest.raises(NotRestorableError, match=r"2026-03-01T1.* can't be restored"):
        way_to_time([base(4)], [chain(5, 20)], NOON + past)


def test_backup_alone_is_no_state_of_a_later_time():
    """What happened between the two nobody knows."""
    with pytest.raises(NotRestorableError):
        way_to_time([base(4)], [], at(1))


# ---------------------------------------------------------------- any bases and chains
bases = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 30)).map(
        lambda drawn: base(drawn[0], completed=drawn[1], path=f"c-1/{drawn[0]}")
    ),
    max_size=4,
)
# Made once: a segment is written for each.
CHAINS = {
    (first, last): chain(first, last) for first in range(1, 31, 3) for last in range(first, 31, 4)
}
chains = st.lists(st.sampled_from(sorted(CHAINS)).map(CHAINS.__getitem__), max_size=3)


@given(bases=bases, chains=chains, revision=st.integers(1, 32))
def test_revision_is_reached_exactly_when_nothing_is_missing(bases, chains, revision):
    """Beside a model that walks revision by revision."""
    reachable = {each.revision for each in bases}
    for each in bases:
        for log in chains:
            if log.folder.first_revision - 1 <= each.revision <= log.last.last_revision:
                reachable |= set(range(each.revision, log.last.last_revision + 1))

    try:
        way = way_to_revision(bases, chains, revision)
    except NotRestorableError:
        assert revision not in reachable
        return
    assert revision in reachable
    assert way.base in bases
    if way.chain is None:
        assert way.base.revision == revision
    else:
        assert way.chain.folder.first_revision - 1 <= way.base.revision < revision
        assert way.chain.last.last_revision >= revision


@given(bases=bases, chains=chains, seconds=st.integers(0, 32))
def test_every_revision_and_time_of_a_window_can_be_restored(bases, chains, seconds):
    for window in windows_of(bases, chains):
        for revision in (window.start_revision, window.end_revision):
            way_to_revision(bases, chains, revision)
        known = window.start_time < window.end_time
        if known and window.start_time <= at(seconds) <= window.end_time:
            assert way_to_time(bases, chains, at(seconds)).base.completed <= at(seconds)
