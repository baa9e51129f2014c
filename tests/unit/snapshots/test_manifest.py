"""Any bytes are a manifest that holds together, or an error that says why not."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.errors import ManifestInvalidError, ManifestTooNewError
from snapshots.layout import BackupFolder
from snapshots.manifest import read_manifest, write_manifest

SHA = "ab" * 32
WHOLE = {
    "format": "etcd-operator/backup",
    "formatVersion": 1,
    "cluster": {"id": "c0ffee", "epoch": 2, "namespace": "ns", "name": "main", "uid": "u"},
    "member": {"id": "8e9e05c52164694d", "name": "main-0", "etcdVersion": "3.6.16"},
    "content": {
        "revision": 900,
        "compactRevision": 800,
        "raftIndex": 1200,
        "raftTerm": 3,
        "storageVersion": "3.6.0",
        "keys": 17,
        "kvHash": {"value": 1882179705, "compactRevision": 800},
    },
    "database": {"size": 4096, "sha256": SHA},
    "startedAt": "2026-03-01T12:00:00Z",
    "completedAt": "2026-03-01T12:00:03.5Z",
    "compression": "zstd",
    "encryption": {"scheme": "aes-256-gcm-stream", "keyId": "2026-01"},
    "attempt": "0123456789abcdef",
    "parts": [{"size": 1000, "sha256": SHA}],
}
GONE = object()


def changed(path, value):
    """WHOLE as bytes, with another value at `a.b.0`, or without it."""
    found = json.loads(json.dumps(WHOLE))
    *way, last = path.split(".")
    place = found
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return json.dumps(found).encode()


def test_manifest_reads_back_as_it_was_written():
    manifest = read_manifest(json.dumps(WHOLE).encode())

    assert read_manifest(write_manifest(manifest)) == manifest
    assert manifest.folder("daily-1").path == "c0ffee-2/daily-1"
    assert (manifest.stored_size, manifest.database.file_size) == (1000, 4128)


def test_what_a_later_release_adds_is_left_alone():
    assert read_manifest(changed("content.new", {"a": 1})) == read_manifest(
        json.dumps(WHOLE).encode()
    )


def test_later_format_is_told_with_the_remedy():
    with pytest.raises(ManifestTooNewError, match="format 2, and this release reads up to 1"):
        read_manifest(b'{"format": "etcd-operator/backup", "formatVersion": 2, "other": true}')


NONSENSE = [
    ("format", "another"),
    ("format", GONE),
    ("formatVersion", 0),
    ("formatVersion", "1"),
    ("formatVersion", True),
    ("cluster.id", "C0FFEE"),
    ("cluster.id", "00c0ffee"),
    ("cluster.id", "c0ffeec0ffeec0ffee"),
    ("cluster.epoch", -1),
    ("member.etcdVersion", "three"),
    ("content", GONE),
    ("content.revision", 0),
    ("content.revision", 1 << 63),
    ("content.revision", 9.0),
    ("content.compactRevision", 901),
    ("content.keys", -1),
    ("content.kvHash.value", 1 << 32),
    ("database.size", 0),
    ("database.sha256", SHA.upper()),
    ("startedAt", "2026-03-01T12:00:00"),
    ("startedAt", "2026-03-01T12:00:04Z"),
    ("startedAt", 1772366400),
    ("completedAt", "yesterday"),
    ("compression", "gzip"),
    ("encryption.scheme", "rot13"),
    ("encryption.keyId", "a b"),
    ("encryption", GONE),
    ("attempt", "../../../../etc/x"),
    ("attempt", "0123456789ABCDEF"),
    ("parts", []),
    ("parts", {}),
    ("parts.0.size", 0),
    ("parts.0.size", (8 << 20) + 1),
    ("parts.0.sha256", SHA + "\n"),
]


@pytest.mark.parametrize(("path", "value"), NONSENSE)
def test_nonsense_is_refused_by_name(path, value):
    with pytest.raises(ManifestInvalidError) as raised:
        read_manifest(changed(path, value))

    holds_together = {"content.compactRevision": "compactRevision", "startedAt": "completedAt"}
    last = path.rsplit(".", 1)[-1]
    assert last in str(raised.value) or holds_together[path] in str(raised.value)


def test_parts_of_a_plain_backup_are_as_long_as_the_file():
    plain = json.loads(json.dumps(WHOLE | {"encryption": None, "compression": "none"}))

    with pytest.raises(ManifestInvalidError, match="not as long"):
        read_manifest(json.dumps(plain).encode())
    plain["parts"][0]["size"] = 4096 + 32
    assert read_manifest(json.dumps(plain).encode()).stored_size == 4128


@given(data=st.binary(max_size=300))
@example(data=b"")
@example(data=b"[" * 100_000)
@example(data=b'{"a":' * 100_000)
@example(data=b"\xff\xfe{}")
@example(data=b"9" * 100_000)
def test_any_bytes_end_in_an_error_of_ours(data):
    with pytest.raises(ManifestInvalidError):
        read_manifest(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
places = st.sampled_from(sorted({path for path, _ in NONSENSE} | {"content.kvHash", "member"}))


@given(path=places, value=values)
@example(path="startedAt", value="0001-01-01T00:00:00+23:59")
@example(path="completedAt", value="9999-12-31T23:59:59-23:59")
def test_any_value_anywhere_is_taken_or_refused(path, value):
    try:
        manifest = read_manifest(changed(path, value))
    except ManifestInvalidError:
        return
    assert read_manifest(write_manifest(manifest)) == manifest


@given(at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_any_damage_is_taken_or_refused(at, byte):
    data = bytearray(json.dumps(WHOLE).encode())
    data[at % len(data)] = byte

    try:
        manifest = read_manifest(bytes(data))
    except ManifestInvalidError:
        return
    assert isinstance(manifest.folder("a"), BackupFolder)
