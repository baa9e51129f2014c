"""What was compressed comes back as it was, or not at all; never more at once than is bearable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.compression import Compressor, Decompressor
from snapshots.errors import DecompressionError

PIECE = 1 << 20


def compress(*data):
    compressor = Compressor()
    return b"".join([*map(compressor.feed, data), compressor.finish()])


def decompress(*data):
    decompressor = Decompressor()
    found = [piece for fed in data for piece in decompressor.feed(fed)]
    return b"".join([*found, *decompressor.finish()])


@given(data=st.lists(st.binary(max_size=2000), max_size=5), cut=st.integers(1, 100))
def test_any_pieces_make_the_same(data, cut):
    packed = compress(*data)

    assert decompress(*(packed[at : at + cut] for at in range(0, len(packed), cut))) == b"".join(
        data
    )


def test_a_little_that_becomes_a_lot_comes_piece_by_piece():
    packed = compress(bytes(64 * PIECE))
    assert len(packed) < 10_000

    pieces = list(map(len, Decompressor().feed(packed)))

    assert max(pieces) <= PIECE
    assert sum(pieces) == 64 * PIECE


@given(data=st.binary(min_size=1, max_size=2000), cut=st.data())
def test_cut_end_is_noticed(data, cut):
    packed = compress(data)

    with pytest.raises(DecompressionError):
        decompress(packed[: cut.draw(st.integers(0, len(packed) - 1))])


@given(data=st.binary(min_size=1, max_size=2000), draw=st.data())
def test_flipped_bit_never_gives_other_data(data, draw):
    packed = bytearray(compress(data))
    packed[draw.draw(st.integers(0, len(packed) - 1))] ^= 1 << draw.draw(st.integers(0, 7))

    try:
        found = decompress(bytes(packed))
    except DecompressionError:
        return
    assert found == data


@pytest.mark.parametrize("more", [b"x", compress(b"x")], ids=["junk", "frame"])
def test_data_after_the_end_are_noticed(more):
    with pytest.raises(DecompressionError, match="after the end"):
        decompress(compress(b"data") + more)
    with pytest.raises(DecompressionError, match="after the end"):
        decompress(compress(b"data"), more)


@given(data=st.binary(max_size=300))
def test_any_bytes_end_in_an_error_of_ours(data):
    with pytest.raises(DecompressionError):
        decompress(data)
