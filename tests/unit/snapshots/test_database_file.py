"""What a database holds is read from its file as from the stream."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshots.database import DatabaseReader
from snapshots.database_file import read_database
from snapshots.errors import DatabaseUnreadableError
from tests.unit.snapshots.bolt_file import PAGE, database

revisions = st.lists(st.integers(2, 1 << 40), min_size=0, max_size=40, unique=True).map(sorted)
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_folder
@given(
    revisions=revisions,
    per_leaf=st.integers(1, 8),
    value=st.integers(0, 3 * PAGE).map(bytes),
    seed=st.integers(0, 1000),
    split_root=st.booleans(),
    compacted=st.integers(0, 1 << 41),
)
def test_a_file_and_a_stream_tell_the_same(tmp_path, revisions, compacted, **shape):
    data = database(revisions, compacted=compacted, index=12, storage_version="3.6.0", **shape)
    reader = DatabaseReader()
    reader.feed(data)
    file = tmp_path / "db"
    file.write_bytes(data)

    found = read_database(file)

    assert found.facts == reader.facts()
    assert found.last_revision == max(revisions, default=0)
    assert (found.size, found.auth_enabled, found.alarms) == (len(data), False, ())


@same_folder
@given(
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=20))),
    length=st.integers(0, 1 << 16),
)
def test_any_bytes_are_a_database_or_none(tmp_path, changes, length):
    data = bytearray(database(list(range(2, 60)), per_leaf=4, split_root=True))
    for at, content in changes:
        place = at % len(data)
        data[place : place + len(content)] = content
    file = tmp_path / "db"
    file.write_bytes(data[: max(length, len(data) // 2)])

    with contextlib.suppress(DatabaseUnreadableError):
        read_database(file)


@pytest.mark.parametrize("data", [b"", b"x", bytes(3 * PAGE)])
def test_other_files_are_refused(tmp_path, data):
    file = tmp_path / "db"
    file.write_bytes(data)

    with pytest.raises(DatabaseUnreadableError):
        read_database(file)
