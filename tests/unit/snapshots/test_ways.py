"""Which backup and which changes lead to a revision or a time, or why none do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.changes.history import (
    Base,
    Chain,
    read_bases,
    way_to_revision,
    way_to_time,
    windows_of,
)
from snapshots.changes.layout import ChainFolder
from snapshots.changes.segment import Header
from snapshots.errors import NotRestorableError
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.unit.snapshots.backups import FOLDER
from tests.unit.snapshots.stored import store_backup

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(second):
    return NOON + timedelta(seconds=second)


def base(revision, *, completed=None):
    when = revision if completed is None else completed
    return Base(path=f"c-1/at-{revision}", revision=revision, completed=at(when))


def chain(first, last, *, until=None, log="c-1/changes-nightly"):
    header = Header(
        cluster="c",
        epoch=1,
        chain=first,
        number=3,
        first_revision=first,
        last_revision=last,
        complete_until=at(last if until is None else until),
        previous="0" * 64,
        compression="none",
        encryption=None,
        body_size=1,
        body_sha256="0" * 64,
    )
    return Chain(folder=ChainFolder(log=log, first_revision=first), last=header, sha256="0" * 64)


moments = st.integers(min_value=1, max_value=40)
bases_of_a_line = st.lists(st.builds(base, moments, completed=moments), max_size=4)
chains_of_a_line = st.lists(
    st.tuples(moments, moments, moments).map(
        lambda drawn: chain(min(drawn[:2]), max(drawn[:2]), until=drawn[2])
    ),
    max_size=3,
)


def reaches(found, to):
    """Whether the chain has every revision after the base."""
    first, last = to.folder.first_revision, to.last.last_revision
    return first <= found.revision + 1 and found.revision <= last


@given(bases_of_a_line, chains_of_a_line, moments)
@example([base(5), base(9)], [chain(6, 8)], 9)
def test_a_revision_is_reached_by_the_shortest_way_or_refused(bases, chains, revision):
    ways = [(one, None) for one in bases if one.revision == revision]
    ways += [
        (one, to)
        for one in bases
        for to in chains
        if one.revision < revision <= to.last.last_revision and reaches(one, to)
    ]
    if not ways:
        with pytest.raises(NotRestorableError, match=f"revision {revision} can't be restored"):
            way_to_revision(bases, chains, revision)
        return

    way = way_to_revision(bases, chains, revision)

    assert (way.base, way.chain) in ways
    assert way.base.revision == max(one.revision for one, _ in ways)
    assert (way.revision, way.time) == (revision, None)


@given(bases_of_a_line, chains_of_a_line, moments)
def test_a_time_is_reached_from_a_backup_before_it_by_changes_beyond_it(bases, chains, moment):
    ways = [
        (one, to)
        for one in bases
        for to in chains
        if one.completed <= at(moment) <= to.last.complete_until and reaches(one, to)
    ]
    if not ways:
        with pytest.raises(NotRestorableError, match="can't be restored"):
            way_to_time(bases, chains, at(moment))
        return

    way = way_to_time(bases, chains, at(moment))

    assert (way.base, way.chain) in ways
    assert way.base.revision == max(one.revision for one, _ in ways)
    assert (way.revision, way.time) == (None, at(moment))


@given(bases_of_a_line, chains_of_a_line, moments)
def test_a_refusal_names_only_revisions_that_can_be_restored(bases, chains, revision):
    try:
        way_to_revision(bases, chains, revision)
    except NotRestorableError as refusal:
        _, named = str(refusal).split("can't be restored")
        for each in re.findall(r"revision (\d+)", named):
            way_to_revision(bases, chains, int(each))


@given(bases_of_a_line, chains_of_a_line, moments)
def test_a_refusal_names_only_times_that_can_be_restored(bases, chains, moment):
    try:
        way_to_time(bases, chains, at(moment))
    except NotRestorableError as refusal:
        for each in re.findall(r"\d{4}-\S+Z", str(refusal)):
            way_to_time(bases, chains, datetime.fromisoformat(each))


@given(bases_of_a_line, chains_of_a_line)
def test_every_revision_of_a_window_can_be_restored(bases, chains):
    for window in windows_of(bases, chains):
        for revision in range(window.start_revision, window.end_revision + 1):
            way_to_revision(bases, chains, revision)


HISTORY = ([base(10), base(30)], [chain(11, 20), chain(31, 40)])


@pytest.mark.parametrize(
    ("revision", "words"),
    [
        (9, "it is before all that can be, which begins with revision 10"),
        (25, "it is in a gap, after revision 20 and before revision 30, which both can be"),
        (41, "it is after all that can be, which ends with revision 40"),
    ],
)
def test_a_refused_revision_is_told_its_neighbours(revision, words):
    with pytest.raises(NotRestorableError, match=re.escape(words)):
        way_to_revision(*HISTORY, revision)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (9, "it is before all that can be, which begins with 2026-03-01T12:00:10Z"),
        (25, "after 2026-03-01T12:00:20Z and before 2026-03-01T12:00:30Z"),
        (41, "it is after all that can be, which ends with 2026-03-01T12:00:40Z"),
    ],
)
def test_a_refused_time_is_told_its_neighbours(moment, words):
    with pytest.raises(NotRestorableError, match=re.escape(words)):
        way_to_time(*HISTORY, at(moment))


def test_times_that_are_told_are_inside_of_their_window():
    history = [base(10, completed=10.2)], [chain(11, 20, until=20.9)]

    with pytest.raises(NotRestorableError, match="begins with 2026-03-01T12:00:11Z"):
        way_to_time(*history, at(10.1))
    with pytest.raises(NotRestorableError, match="ends with 2026-03-01T12:00:20Z"):
        way_to_time(*history, at(21))
    way_to_time(*history, at(11))
    way_to_time(*history, at(20))


def test_without_changes_the_backups_are_named():
    with pytest.raises(NotRestorableError, match="only backups, which are at revisions 10, 30"):
        way_to_time([base(10), base(30)], [], at(20))


def test_without_a_backup_nothing_is_promised():
    with pytest.raises(NotRestorableError, match="there is no backup to go on from"):
        way_to_time([], [chain(1, 5)], at(2))
    with pytest.raises(NotRestorableError, match="there is no backup to go on from"):
        way_to_revision([], [chain(1, 5)], 2)


async def test_all_backups_of_a_line_are_bases_but_the_unreadable(tmp_path):
    manifest = store_backup(tmp_path)
    (tmp_path / "c-1/spoiled").mkdir()
    (tmp_path / "c-1/spoiled/manifest.json").write_text("{")

    found = await read_bases(open_store(LocalLocation(folder=tmp_path), WorkloadIdentity()), "c-1")

    revision, completed = manifest.content.revision, manifest.completed_at
    assert found == (Base(path=FOLDER.path, revision=revision, completed=completed),)
