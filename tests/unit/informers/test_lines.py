"""The line splitter."""

from __future__ import annotations

import itertools
import time

from hypothesis import given
from hypothesis import strategies as st

from informers.lines import LineSplitter, shares

lines_of_any_kind = st.lists(st.binary().map(lambda b: b.replace(b"\n", b"")))


def feed(chunks):
    splitter = LineSplitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)], splitter.is_mid_line


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(lines_of_any_kind, st.lists(st.integers(min_value=0)))
def test_r24_any_chunking_gives_the_same_lines(lines, places):
    data = b"".join(line + b"\n" for line in lines)
    expected = [line for line in lines if line.strip()]
    assert feed(cut(data, places)) == (expected, False)


@given(lines_of_any_kind, st.binary(min_size=1).filter(lambda b: b"\n" not in b))
def test_r23_bytes_after_the_last_newline_are_no_line(lines, rest):
    data = b"".join(line + b"\n" for line in lines) + rest
    assert feed([data])[1] is True


@given(st.lists(st.integers(min_value=1, max_value=200_000).map(bytes), max_size=100))
def test_s20_shares_are_small_and_lose_nothing(lines):
    found = list(shares(lines))
    assert [line for share in found for line in share] == lines
    assert all(1 <= len(share) <= 16 for share in found)
    assert all(len(share) == 1 or sum(map(len, share)) <= 65_536 for share in found)


def test_r24_time_is_linear_in_the_length_of_a_line():
    """A line of 64 MB in chunks of 64 KB; joining it anew for each chunk would take minutes."""
    chunk = b"x" * 65_536
    started = time.monotonic()
    lines, _ = feed([*[chunk] * 1000, b"\n"])
    assert len(lines[0]) == 65_536_000
    assert time.monotonic() - started < 5
