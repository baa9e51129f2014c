"""What a database holds is read from its pages, in whatever order and pieces they come."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.database import DatabaseFacts, DatabaseReader
from snapshots.errors import DatabaseUnreadableError
from tests.unit.snapshots.bolt_file import LEAF, PAGE, database, page, revision_key

revisions = st.lists(st.integers(2, 1 << 40), min_size=0, max_size=40, unique=True).map(sorted)


def read(data, piece=1 << 20):
    reader = DatabaseReader()
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
    return reader.facts()


def test_facts_of_a_database():
    data = database([2, 3, 9], index=12, term=4, compacted=3, storage_version="3.6.0")

    assert read(data) == DatabaseFacts(
        revision=9, compact_revision=3, raft_index=12, raft_term=4, storage_version="3.6.0"
    )


def test_new_cluster_is_at_revision_one():
    assert read(database([])).revision == 1


def test_compaction_of_the_newest_revisions_tells_them():
    """Deletions that were compacted leave no key: etcd starts from the compaction as well."""
    assert read(database([2, 3], compacted=8)).revision == 8


@given(
    revisions=revisions,
    per_leaf=st.integers(1, 8),
    value=st.integers(0, 3 * PAGE).map(bytes),
    seed=st.integers(0, 1000),
    piece=st.integers(1, 40_000),
    split_root=st.booleans(),
)
@example(revisions=[5], per_leaf=1, value=b"", seed=0, piece=1, split_root=True)
def test_last_revision_is_found_in_any_tree(*, revisions, per_leaf, value, seed, piece, split_root):
    data = database(revisions, per_leaf=per_leaf, value=value, seed=seed, split_root=split_root)

    assert read(data, piece).revision == max(revisions, default=1)


def test_pages_that_no_way_leads_to_count_for_nothing():
    """Later writes go on while the file is copied; freed pages keep what was in them."""
    data = bytearray(database([2, 3]))
    newer = len(data) // PAGE
    data += page(newer, LEAF, [(0, revision_key(99), b"v")])
    data += page(newer + 1, LEAF, [(1, b"key", bytes(16)), (1, b"meta", bytes(16))])

    assert read(bytes(data)).revision == 3


@given(junk=st.binary(min_size=1, max_size=300))
@example(junk=page(4, LEAF, [(1, b"key", bytes(16))])[:100])
def test_what_is_in_free_pages_and_values_counts_for_nothing(junk):
    data = database([2, 3, 4, 5, 6], junk=junk, value=junk * 50)

    assert read(data).revision == 6


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", bytes(PAGE * 4), database([2])[:PAGE], b"x" * PAGE * 4],
    ids=["empty", "garbage", "zeros", "one-page", "letters"],
)
def test_what_is_no_database_is_refused(data):
    with pytest.raises(DatabaseUnreadableError, match="no database of etcd"):
        read(data)


def test_database_without_its_last_pages_is_refused():
    data = database(list(range(2, 30)))

    with pytest.raises(DatabaseUnreadableError):
        read(data[: len(data) // 2 // PAGE * PAGE])


@given(
    at=st.integers(0, 1 << 16), byte=st.integers(0, 255), revisions=revisions, split=st.booleans()
)
def test_any_damage_gives_facts_or_an_error_of_ours(at, byte, revisions, split):
    data = bytearray(database(revisions, split_root=split))
    data[at % len(data)] = byte

    with contextlib.suppress(DatabaseUnreadableError):
        assert read(bytes(data)).revision > 0


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    with pytest.raises(DatabaseUnreadableError):
        read(data)
    with pytest.raises(DatabaseUnreadableError):
        read(database([2])[: 2 * PAGE] + data)
