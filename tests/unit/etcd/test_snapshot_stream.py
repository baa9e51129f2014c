"""A snapshot stream is whole, or it raises."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.errors import SnapshotDamagedError
from etcd.proto import maintenance_pb2 as pb
from etcd.snapshot_stream import verified


def answers(*blobs):
    """What etcd sends for a database of these pieces: each with what remains, then the trailer."""
    total = sum(map(len, blobs))
    sent = 0
    out = []
    for blob in blobs:
        sent += len(blob)
        out.append(pb.SnapshotResponse(blob=blob, remaining_bytes=total - sent, version="3.6.0"))
    return [*out, pb.SnapshotResponse(blob=hashlib.sha256(b"".join(blobs)).digest())]


async def read(messages):
    async def stream():
        for message in messages:
            yield message

    return [chunk async for chunk in verified(stream())]


async def test_chunks_make_the_file_with_its_trailer():
    chunks = await read(answers(b"abc", b"de"))

    assert b"abcde" + hashlib.sha256(b"abcde").digest() == b"".join(c.blob for c in chunks)
    assert [c.is_trailer for c in chunks] == [False, False, True]
    assert chunks[0].storage_version == "3.6.0"


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_cut_stream_is_damaged(kept):
    with pytest.raises(SnapshotDamagedError, match="before the sha256 trailer"):
        await read(answers(b"abc", b"de")[:kept])


async def test_flipped_bit_is_damaged():
    messages = answers(b"abc", b"de")
    messages[0].blob = b"abd"

    with pytest.raises(SnapshotDamagedError, match="does not match"):
        await read(messages)


async def test_short_trailer_is_damaged():
    messages = answers(b"abc")
    messages[-1].blob = messages[-1].blob[:31]

    with pytest.raises(SnapshotDamagedError, match="no sha256"):
        await read(messages)


async def test_anything_after_the_trailer_is_damage():
    with pytest.raises(SnapshotDamagedError, match="after the trailer"):
        await read([*answers(b"abc"), pb.SnapshotResponse(blob=b"x")])


@given(blobs=st.lists(st.binary(min_size=1, max_size=64), min_size=1, max_size=8))
async def test_whole_streams_pass(blobs):
    chunks = await read(answers(*blobs))

    assert b"".join(blobs) == b"".join(c.blob for c in chunks if not c.is_trailer)
