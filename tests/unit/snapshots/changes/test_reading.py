"""Segments are read from where the base ends to where the target is, each proven to follow."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.changes.history import Way, read_chains
from snapshots.changes.layout import LogFolder
from snapshots.changes.reading import read_changes
from snapshots.errors import (
    KeyMissingError,
    SegmentInvalidError,
    SegmentTooNewError,
    SnapshotsError,
    StoreUnavailableError,
    WrongKeyError,
)
from tests.unit.snapshots.backups import Dying, Wrapped
from tests.unit.snapshots.changes.chains import (
    KEY,
    LOG,
    OTHER,
    Memory,
    at,
    base,
    place,
    revised,
    stored,
    write,
    written,
)

# Segments 5-7, 8-9, 10, 11-14.
COUNTS = (3, 2, 1, 4)


class Named(Wrapped):
    """Notes which objects are read."""

    def __init__(self, store):
        super().__init__(store)
        self.read = []

    async def before(self, operation, path):
        if operation == "get":
            self.read.append(path)


async def way(store, *, after=4, revision=None, time=None):
    """From a base to a target, by the one chain that there is."""
    (chain,) = await read_chains(store, LOG.path)
    return Way(base=base(after), chain=chain, revision=revision, time=time)


async def read(store, found, keys=(KEY,)):
    """The numbers of the revisions."""
    bodies = [body async for body in read_changes(store, found, keys)]
    return [each.revision for body in bodies for each in body.revisions]


@pytest.mark.parametrize(
    ("after", "revision", "expected"),
    [
        (4, 14, range(5, 15)),
        (4, 5, range(5, 8)),
        (4, 7, range(5, 8)),
        (4, 8, range(5, 10)),
        (6, 8, range(5, 10)),
        (7, 8, range(8, 10)),
        (9, 10, range(10, 11)),
        (9, 11, range(10, 15)),
        (13, 14, range(11, 15)),
    ],
)
async def test_segments_from_the_base_to_the_revision_are_read(store, after, revision, expected):
    await stored(store, written(*COUNTS))

    found = await way(store, after=after, revision=revision)

    assert await read(store, found) == list(expected)


@pytest.mark.parametrize(
    ("seconds", "last"),
    [(4, 7), (7, 7), (7.5, 7), (7.6, 9), (8, 9), (9.5, 9), (10.5, 10), (10.6, 14), (14.5, 14)],
)
async def test_segments_are_read_until_one_is_complete_at_the_time(store, seconds, last):
    """A revision comes as many seconds after noon as its number; each segment is complete until
    half a second after its last one.
    """
    await stored(store, written(*COUNTS))

    found = await way(store, time=at(seconds))

    assert await read(store, found) == list(range(5, last + 1))


async def test_segment_that_only_says_that_nothing_happened_moves_the_time(store):
    data, header, sha256 = write(place(5), [revised(5)], until=at(5))
    behind = place(5, number=1, first_revision=6, previous=sha256)
    await stored(store, [data, write(behind, [], until=at(90))[0]])
    assert header.complete_until == at(5)

    assert await read(store, await way(store, time=at(90))) == [5]


async def test_base_that_is_the_target_needs_no_segment(store):
    dead = Dying(store, 0)

    assert await read(dead, Way(base=base(9), chain=None, revision=9, time=None)) == []


async def test_of_a_long_chain_few_segments_are_read(store):
    await stored(store, written(*[1] * 200))
    found = await way(store, after=150, revision=152)
    watched = Named(store)

    assert await read(watched, found) == [151, 152]
    assert len(watched.read) <= 10


@given(
    counts=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    data=st.data(),
)
async def test_everything_between_base_and_target_is_read(counts, data):
    store = Memory()
    await stored(store, written(*counts))
    last = 4 + sum(counts)
    after = data.draw(st.integers(4, last))
    revision = data.draw(st.integers(after, last))

    found = await read(store, await way(store, after=after, revision=revision))

    assert set(range(after + 1, revision + 1)) <= set(found)
    assert found == sorted(set(found))


# ---------------------------------------------------------------- damage


async def refused(store, found, error=SegmentInvalidError, keys=(KEY,)):
    with pytest.raises(error) as refusal:
        await read(store, found, keys)
    return str(refusal.value)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
async def test_missing_segment_is_named(store, number):
    folder = await stored(store, written(*COUNTS))
    found = await way(store, revision=14)
    await store.delete([folder.segment(number)])

    assert re.search(rf"{folder.segment(number)} is missing$", await refused(store, found))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
async def test_damaged_segment_is_named(store, number):
    objects = written(*COUNTS)
    folder = await stored(store, objects)
    found = await way(store, revision=14)
    await store.put(folder.segment(number), objects[number][:-1] + b"\xff")

    message = await refused(store, found)

    assert message == f"{folder.segment(number)}: the body's sha256 is not the one in the header"


async def test_nothing_is_read_behind_a_damaged_segment(store):
    objects = written(*COUNTS)
    objects[1] = objects[1][:-1]
    await stored(store, objects)
    changes = read_changes(store, await way(store, revision=14), ())

    assert (await anext(changes)).last == 7
    with pytest.raises(SegmentInvalidError):
        await anext(changes)


async def test_two_segments_in_each_others_place_are_noticed(store):
    objects = written(*COUNTS)
    objects[1], objects[2] = objects[2], objects[1]
    folder = await stored(store, objects)

    message = await refused(store, await way(store, revision=14))

    assert message == f"{folder.segment(1)} holds segment 2 of chain 5 of c-1"


@pytest.mark.parametrize(
    ("stranger", "line"), [({"cluster": "d"}, "d-1"), ({"epoch": 2}, "c-2")], ids=str
)
@pytest.mark.parametrize("number", [0, 2])
async def test_segment_of_another_cluster_or_epoch_is_noticed(store, stranger, line, number):
    objects = written(*COUNTS)
    folder = await stored(store, objects)
    found = await way(store, revision=14)
    strangers = written(*COUNTS, begin=place(5, **stranger))
    await store.put(folder.segment(number), strangers[number])

    message = await refused(store, found)

    assert message == f"{folder.segment(number)} holds segment {number} of chain 5 of {line}"


async def test_whole_chain_of_another_cluster_is_noticed(store):
    """Copied into our folder as it is: its segments follow each other, and are not ours."""
    await stored(store, written(*COUNTS))
    found = await way(store, revision=14)
    folder = await stored(store, written(*COUNTS, begin=place(5, cluster="d")))

    message = await refused(store, found)

    assert message == f"{folder.segment(0)} holds segment 0 of chain 5 of d-1"


async def test_segment_of_another_history_of_the_same_place_does_not_follow(store):
    """As after a restore that went wrong: all numbers are right, and what came before is not."""
    objects = written(*COUNTS)
    other = [write(place(5), [revised(n, seconds=3) for n in (5, 6, 7)], until=at(7.5))[0]]
    folder = await stored(store, [*other, *objects[1:]])

    message = await refused(store, await way(store, revision=14))

    assert message == f"{folder.segment(1)} does not follow the segment before it"


async def test_segment_of_a_later_release_is_told_from_damage(store):
    objects = written(*COUNTS)
    folder = await stored(store, objects)
    found = await way(store, revision=14)
    later = objects[1].replace(b'"formatVersion":1', b'"formatVersion":9')
    await store.put(folder.segment(1), later)

    message = await refused(store, found, SegmentTooNewError)

    assert message.startswith(f"{folder.segment(1)}: it is of format 9")


async def test_damage_on_the_way_to_the_first_segment_is_named(store):
    folder = await stored(store, written(*COUNTS))
    found = await way(store, after=12, revision=14)
    await store.put(folder.segment(1), b"nothing")

    message = await refused(store, found)

    assert message == f"{folder.segment(1)}: it does not begin as a segment does"


async def test_store_that_does_not_answer_is_no_missing_segment(store):
    await stored(store, written(*COUNTS))
    found = await way(store, revision=14)

    await refused(Dying(store, 1), found, StoreUnavailableError)


@pytest.mark.parametrize(
    ("keys", "error"),
    [((), KeyMissingError), ((OTHER,), KeyMissingError)],
    ids=["none", "another"],
)
async def test_without_the_key_nothing_is_read(store, keys, error):
    await stored(store, written(*COUNTS, key=KEY))

    assert "2026-01" in await refused(store, await way(store, revision=14), error, keys)


async def test_wrong_key_is_told_from_damage(store):
    wrong = type(KEY)(id=KEY.id, secret=bytes(32))
    await stored(store, written(*COUNTS, key=KEY))

    assert "2026-01" in await refused(store, await way(store, revision=14), WrongKeyError, (wrong,))


async def test_segments_of_several_keys_are_read_with_all_of_them(store):
    first, header, sha256 = write(place(5), [revised(5)], key=OTHER)
    behind = place(5, number=1, first_revision=6, previous=sha256)
    second, _, _ = write(behind, [revised(6)], key=KEY, until=header.complete_until)
    await stored(store, [first, second])

    assert await read(store, await way(store, revision=6), (KEY, OTHER)) == [5, 6]


@given(data=st.data())
async def test_any_change_of_the_stored_bytes_is_noticed_or_changes_nothing(data):
    """One bit, in any segment, also in a header: the next header tells."""
    objects = written(*COUNTS, 1)
    store = Memory()
    folder = await stored(store, objects)
    found = await way(store, revision=14)
    expected = [body async for body in read_changes(store, found, ())]
    number = data.draw(st.integers(0, 3))
    broken = bytearray(objects[number])
    broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    await store.put(folder.segment(number), bytes(broken))

    try:
        bodies = [body async for body in read_changes(store, found, ())]
    except SnapshotsError:
        return
    assert bodies == expected


async def test_chain_of_another_log_of_the_same_line_is_another_chain(store):
    other = LogFolder(cluster_id=0xC, epoch=1, name="hourly")
    await stored(store, written(1))
    await stored(store, written(2), log=other)

    (mine,) = await read_chains(store, LOG.path)

    assert mine.last.last_revision == 5
