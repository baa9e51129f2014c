"""What is in a store: backups, what is left of dead attempts, and what isn't ours."""

from __future__ import annotations

import os
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.catalog import delete_backup, delete_orphans, find_manifest, list_backups
from snapshots.errors import ManifestInvalidError, StoreUnavailableError
from snapshots.layout import BackupFolder, PartPath, parse_path
from snapshots.stores import ObjectInfo
from tests.unit.snapshots.backups import FOLDER, Dying, paths, take

pytestmark = pytest.mark.usefixtures("small_parts")

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)
OTHER = BackupFolder(cluster_id=0xC, epoch=2, name="daily-1")
ATTEMPT = "0123456789abcdef"


@pytest.fixture
def aged(folder):
    """Makes all objects so old, but those that are named."""

    def make(age, but=()):
        for file in folder.rglob("*"):
            when = NOW if any(name in str(file) for name in but) else NOW - age
            os.utime(file, (when.timestamp(), when.timestamp()))

    return make


async def test_backups_are_listed_by_line_of_history(client, store):
    await take(client, store)
    await take(client, store, epoch=2)
    await take(client, store, backup="daily-2")
    await store.put(f"c-1/lost/{ATTEMPT}/00000", b"")
    await store.put("somebody/else/manifest.json", b"")

    second = BackupFolder(cluster_id=0xC, epoch=1, name="daily-2")
    assert await list_backups(store) == (FOLDER, second, OTHER)
    assert await list_backups(store, "c-2") == (OTHER,)


async def test_manifest_in_another_lines_folder_is_not_valid(client, store):
    await take(client, store)
    await store.put(OTHER.manifest, await store.get(FOLDER.manifest, max_bytes=1 << 20))

    with pytest.raises(ManifestInvalidError, match="another cluster than its folder"):
        await find_manifest(store, OTHER)


async def test_huge_manifest_is_not_read(store):
    await store.put(FOLDER.manifest, bytes((16 << 20) + 1))

    with pytest.raises(ManifestInvalidError, match="too big"):
        await find_manifest(store, FOLDER)


async def test_deleted_backup_is_gone_and_nothing_else(client, store):
    await take(client, store)
    await take(client, store, backup="daily-10")
    kept = await paths(store)
    await take(client, store, backup="daily-2")
    await store.put("c-1/daily-2/notes.txt", b"mine")

    second = BackupFolder(cluster_id=0xC, epoch=1, name="daily-2")
    await delete_backup(store, second)
    await delete_backup(store, second)

    assert await paths(store) == sorted([*kept, "c-1/daily-2/notes.txt"])


@pytest.mark.parametrize("lives", [0, 1, 2, 3, 5])
async def test_delete_that_dies_leaves_no_half_backup(client, store, aged, lives):
    await take(client, store)
    before = await paths(store)

    with pytest.raises(StoreUnavailableError):
        await delete_backup(Dying(store, lives), FOLDER)

    assert await paths(store) == before or await list_backups(store) == ()
    await delete_backup(store, FOLDER)
    assert await paths(store) == []


async def test_parts_of_a_dead_attempt_are_deleted(client, store, aged):
    await take(client, store)
    kept = await paths(store)
    for place in ("daily-1", "lost"):
        await store.put(f"c-1/{place}/{ATTEMPT}/00000", b"")
    aged(2 * HOUR)

    deleted = await delete_orphans(store, now=NOW, older_than=HOUR)

    assert set(deleted) == {f"c-1/{place}/{ATTEMPT}/00000" for place in ("daily-1", "lost")}
    assert await paths(store) == kept


async def test_attempt_that_still_writes_is_left_alone(store, aged):
    for number in range(3):
        await store.put(f"c-1/lost/{ATTEMPT}/{number:05d}", b"")
    aged(2 * HOUR, but=["00002"])

    assert await delete_orphans(store, now=NOW, older_than=HOUR) == ()
    assert len(await paths(store)) == 3


async def test_nothing_is_deleted_beside_a_manifest_of_a_later_release(store, aged):
    await store.put(FOLDER.manifest, b'{"format": "etcd-operator/backup", "formatVersion": 2}')
    await store.put(FOLDER.part(ATTEMPT, 0), b"")
    aged(2 * HOUR)

    assert await delete_orphans(store, now=NOW, older_than=HOUR) == ()


async def test_what_is_not_ours_is_left_alone(store, aged):
    others = ["c-1/a/notes", "x/y/0123456789abcdef/00000", "c-1/a/b/0123456789abcdef/00000"]
    for path in others:
        await store.put(path, b"")
    aged(2 * HOUR)

    assert await delete_orphans(store, now=NOW, older_than=HOUR) == ()
    assert await paths(store) == sorted(others)


class Large:
    """Twenty backups of a thousand parts each, none of them orphans."""

    def __init__(self):
        self.read = 0

    async def list(self, folder="", **options):
        for number in range(20):
            backup = BackupFolder(cluster_id=0xC, epoch=1, name=f"daily-{number}")
            for part in range(1000):
                path = backup.part(ATTEMPT, part)
                yield ObjectInfo(path=path, size=1, modified=NOW - 2 * HOUR - part * MILLISECOND)
            yield ObjectInfo(path=backup.manifest, size=1, modified=NOW - HOUR)

    async def get(self, path, **options):
        self.read += 1
        return b'{"format": "etcd-operator/backup", "formatVersion": 2}'

    async def delete(self, paths, **options):
        assert not list(paths)


async def test_a_large_store_is_looked_through_in_little_memory_and_without_reading_it():
    store = Large()
    tracemalloc.start()
    try:
        assert await delete_orphans(store, now=NOW, older_than=HOUR) == ()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 500_000
    assert store.read == 0


# ---------------------------------------------------------------- names
names = st.from_regex(r"\A[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?\Z")
folders = st.builds(
    BackupFolder,
    cluster_id=st.integers(0, (1 << 64) - 1),
    epoch=st.integers(0, (1 << 31) - 1),
    name=names,
)


@given(folder=folders, number=st.integers(0, 99_999))
def test_paths_tell_whose_they_are(folder, number):
    assert parse_path(folder.manifest) == folder
    assert parse_path(folder.part(ATTEMPT, number)) == PartPath(
        folder=folder, attempt=ATTEMPT, number=number
    )


@given(path=st.text(alphabet="0123456789abcdef-/.manifestjso", max_size=60))
@example(path="00c-1/a/manifest.json")
@example(path="c-01/a/manifest.json")
@example(path="c-99999999999/a/manifest.json")
@example(path="c-1/../manifest.json")
@example(path="c-1/a/manifest.json/b")
def test_any_text_is_ours_only_in_our_own_spelling(path):
    match parse_path(path):
        case BackupFolder() as folder:
            assert folder.manifest == path
        case PartPath() as part:
            assert part.folder.part(part.attempt, part.number) == path
        case None:
            pass


@pytest.mark.parametrize("name", ["", "..", "a/b", "A", "a" * 254, "-a", "a\n"])
def test_names_that_cannot_be_in_a_path_are_refused(name):
    with pytest.raises(ValueError, match="can't be the name"):
        BackupFolder(cluster_id=1, epoch=0, name=name)
