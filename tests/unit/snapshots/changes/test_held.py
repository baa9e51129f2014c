"""Changes that are held on a volume are the same when they are read again, or none at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.changes.held import Held, hold, read_held, weigh
from snapshots.changes.segment import Body, Change, Revised
from snapshots.errors import RestoredDataError, SegmentInvalidError, VolumeTooSmallError

changes = st.builds(
    Change,
    deleted=st.booleans(),
    key=st.binary(min_size=1, max_size=5),
    value=st.binary(max_size=20),
    lease=st.integers(-(1 << 63), (1 << 63) - 1),
    create_revision=st.integers(0, 9),
    version=st.integers(0, 9),
)
revisions = st.builds(
    Revised,
    revision=st.integers(1, 99),
    received_ms=st.integers(0, 1 << 50),
    changes=st.lists(changes, max_size=3).map(tuple),
)
bodies = st.builds(
    Body,
    first=st.integers(1, 99),
    last=st.integers(0, 99),
    leases=st.dictionaries(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 9), max_size=2),
    revisions=st.lists(revisions, max_size=3).map(tuple),
)
BODY = Body(
    first=5, last=5, leases={}, revisions=(Revised(5, 0, (Change(False, b"k", b"v", 0, 5, 1),)),)
)


async def given_one_by_one(found):
    for body in found:
        yield body


async def read(folder, held):
    return [body async for body, _ in read_held(folder, held)]


@given(st.lists(bodies, max_size=4))
async def test_what_was_held_is_read_again(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("volume") / "changes"

    held = await hold(given_one_by_one(found), folder)

    assert await read(folder, held) == found
    sizes = [size async for _, size in read_held(folder, held)]
    assert (held.segments, held.size) == (len(found), sum(sizes))
    assert await weigh(given_one_by_one(found)) == held
    assert held.needed_bytes >= held.size


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"\x93")])
async def test_what_is_no_longer_whole_is_noticed(tmp_path, damage):
    held = await hold(given_one_by_one([BODY, BODY]), tmp_path / "changes")
    damage(tmp_path / "changes/00000001")

    with pytest.raises(RestoredDataError, match="00000001"):
        await read(tmp_path / "changes", held)


async def test_a_chain_that_is_damaged_is_not_held(tmp_path):
    async def damaged():
        yield BODY
        raise SegmentInvalidError("c-1/changes-daily/5/00000001: its body has another sha256")

    with pytest.raises(SegmentInvalidError):
        await hold(damaged(), tmp_path / "changes")


async def test_a_full_volume_is_told(tmp_path, monkeypatch):
    def full(_file, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)

    with pytest.raises(VolumeTooSmallError, match="No space left"):
        await hold(given_one_by_one([BODY]), tmp_path / "changes")


async def test_nothing_is_held_of_nothing(tmp_path):
    assert await hold(given_one_by_one([]), tmp_path / "changes") == Held(segments=0, size=0)
