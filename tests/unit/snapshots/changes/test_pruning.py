"""Changes go once no backup leads to them; what could be restored still can."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.catalog import find_manifest, list_backups
from snapshots.changes.history import Base, Way, read_chains, windows_of
from snapshots.changes.layout import LogFolder, parse_segment_path
from snapshots.changes.pruning import SETTLED, prune
from snapshots.changes.reading import read_changes
from snapshots.errors import ManifestInvalidError, SegmentInvalidError, StoreUnavailableError
from snapshots.layout import BackupFolder
from snapshots.manifest import Cluster, Content, Database, Manifest, Member, Part, write_manifest
from tests.unit.snapshots.backups import Dying
from tests.unit.snapshots.changes.chains import LOG, NOON, Memory, at, stored, written

LINE = "c-1"
LATER = NOON + timedelta(days=30)
ANOTHER = LogFolder(cluster_id=0xC, epoch=1, name="hourly")
# Segments 5-7, 8-9, 10, 11-14.
COUNTS = (3, 2, 1, 4)


def manifest(revision):
    return Manifest(
        cluster=Cluster(id="c", epoch=1, namespace="ns", name="main", uid="uid-1"),
        member=Member(id="1", name="main-0", etcd_version="3.6.16"),
        content=Content(
            revision=revision,
            compact_revision=0,
            raft_index=1,
            raft_term=1,
            storage_version="3.6.0",
            keys=None,
            kv_hash=None,
        ),
        database=Database(size=10, sha256="0" * 64),
        started_at=at(revision),
        completed_at=at(revision),
        compression="none",
        encryption=None,
        attempt="0123456789abcdef",
        parts=(Part(size=42, sha256="0" * 64),),
    )


async def backed_up(store, *revisions):
    """A backup at each of these revisions."""
    for revision in revisions:
        folder = BackupFolder(cluster_id=0xC, epoch=1, name=f"at-{revision}")
        await store.put(folder.manifest, write_manifest(manifest(revision)))


async def left(store, log=LOG):
    """The first revisions of the chains, each with the numbers of its segments."""
    found = {}
    async for one in store.list(LINE):
        place = parse_segment_path(one.path)
        if place is not None and place[0].log == log.path:
            found.setdefault(place[0].first_revision, []).append(place[1])
    return {first: sorted(numbers) for first, numbers in found.items()}


@pytest.mark.parametrize(
    ("bases", "numbers"),
    [
        pytest.param([4], [0, 1, 2, 3], id="the one that the chain began at"),
        pytest.param([6], [0, 1, 2, 3], id="in the first segment"),
        pytest.param([7], [1, 2, 3], id="at its end"),
        pytest.param([10], [3], id="at the end of a later one"),
        pytest.param([12, 9], [2, 3], id="the oldest one counts"),
        pytest.param([3, 12], [3], id="one before the chain leads nowhere"),
        pytest.param([14], [3], id="at the end: the log goes on from there"),
        pytest.param([15], [3], id="after the end: the log goes on from there"),
        pytest.param([], [3], id="none: the log goes on from there"),
    ],
)
async def test_changes_up_to_the_oldest_backup_go(store, bases, numbers):
    await stored(store, written(*COUNTS))
    await backed_up(store, *bases)

    gone = await prune(store, LINE, now=LATER)

    assert await left(store) == {5: numbers}
    assert gone == 4 - len(numbers)
    assert await prune(store, LINE, now=LATER) == 0


async def test_a_chain_that_ended_goes_whole_once_it_leads_nowhere(store):
    await stored(store, written(3, 2), first=5)
    await stored(store, written(2, 2, first=21), first=21)
    await backed_up(store, 20)

    await prune(store, LINE, now=LATER)

    assert await left(store) == {21: [0, 1]}


async def test_a_chain_that_ended_stays_as_long_as_a_backup_leads_to_it(store):
    await stored(store, written(3, 2), first=5)
    await stored(store, written(2, 2, first=21), first=21)
    await backed_up(store, 7, 20)

    await prune(store, LINE, now=LATER)

    assert await left(store) == {5: [1], 21: [0, 1]}


async def test_a_chain_that_ended_with_a_backup_says_until_when_nothing_happened(store):
    await stored(store, written(3, 2), first=5)
    await stored(store, written(2, 2, first=21), first=21)
    await backed_up(store, 9, 20)

    await prune(store, LINE, now=LATER)

    assert await left(store) == {5: [1], 21: [0, 1]}


async def test_each_log_keeps_the_end_that_it_goes_on_from(store):
    await stored(store, written(*COUNTS))
    await stored(store, written(2, 2), log=ANOTHER)
    await backed_up(store, 30)

    await prune(store, LINE, now=LATER)

    assert (await left(store), await left(store, ANOTHER)) == ({5: [3]}, {5: [1]})


async def test_what_is_young_stays_for_a_backup_that_is_still_being_taken(store):
    """Segments are complete until 7.5, 9.5, 10.5 and 14.5 seconds after noon."""
    await stored(store, written(*COUNTS))
    await backed_up(store, 14)

    await prune(store, LINE, now=at(9) + SETTLED)

    assert await left(store) == {5: [1, 2, 3]}


async def test_other_lines_of_history_and_backups_are_left_alone(store):
    other = LogFolder(cluster_id=0xC, epoch=2, name=LOG.name)
    await stored(store, written(3, 2), log=other)
    await stored(store, written(*COUNTS))
    await backed_up(store, 12)
    await store.put("c-1/changes-x/notes", b"")

    await prune(store, LINE, now=LATER)

    paths = {one.path async for one in store.list()}
    assert {other.chain(5).segment(0), other.chain(5).segment(1)} <= paths
    assert {"c-1/changes-x/notes", "c-1/at-12/manifest.json"} <= paths


async def test_nothing_goes_while_a_backup_can_not_be_read(store):
    """A later release may have written it: it may be the one that is gone on from."""
    await stored(store, written(*COUNTS))
    await backed_up(store, 12)
    await store.put("c-1/at-6/manifest.json", b'{"format": "of tomorrow"}')

    with pytest.raises(ManifestInvalidError):
        await prune(store, LINE, now=LATER)

    assert await left(store) == {5: [0, 1, 2, 3]}


async def test_nothing_goes_while_a_segment_can_not_be_read(store):
    await stored(store, written(*COUNTS))
    await store.put(LOG.chain(5).segment(3), b"")
    await backed_up(store, 12)

    with pytest.raises(SegmentInvalidError):
        await prune(store, LINE, now=LATER)

    assert await left(store) == {5: [0, 1, 2, 3]}


async def test_ended_in_the_middle_it_goes_on_the_next_time(store):
    await stored(store, written(*COUNTS))
    await backed_up(store, 12)
    # As of several deletions at once the later ones may be done first.
    await store.delete([LOG.chain(5).segment(1)])

    assert await prune(store, LINE, now=LATER) == 2
    assert await left(store) == {5: [3]}


@pytest.mark.parametrize("lives", range(6))
async def test_a_store_that_does_not_answer_is_told(store, lives):
    await stored(store, written(*COUNTS))
    await backed_up(store, 12)

    with pytest.raises(StoreUnavailableError):
        await prune(Dying(store, lives), LINE, now=LATER)


async def restorable(store):
    """Each revision that a backup and the changes after it lead to, and how it was found."""
    folders = await list_backups(store, LINE)
    manifests = {folder.path: await find_manifest(store, folder) for folder in folders}
    bases = [
        Base(path=path, revision=found.content.revision, completed=found.completed_at)
        for path, found in manifests.items()
    ]
    chains = await read_chains(store, LINE)
    found = set()
    for chain in chains:
        for base in bases:
            if chain.folder.first_revision - 1 <= base.revision <= chain.last.last_revision:
                way = Way(base=base, chain=chain, revision=chain.last.last_revision, time=None)
                bodies = [body async for body in read_changes(store, way, ())]
                got = [one.revision for body in bodies for one in body.revisions]
                after = [one for one in got if one > base.revision]
                assert after == [*range(base.revision + 1, chain.last.last_revision + 1)]
                found |= {(chain.folder, base.revision, one) for one in (base.revision, *after)}
    return found, windows_of(bases, chains)


chains_of_counts = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=9), min_size=1, max_size=3
)


@given(chains_of_counts, st.sets(st.integers(1, 60), max_size=5), st.integers(0, 60))
def test_what_could_be_restored_still_can(chains, bases, settled):
    async def story():
        store, first = Memory(), 5
        for counts in chains:
            await stored(store, written(*counts, first=first), first=first)
            first += sum(counts) + 3
        await backed_up(store, *bases)
        before = await restorable(store)

        await prune(store, LINE, now=at(settled) + SETTLED)

        assert await restorable(store) == before

    asyncio.run(story())
