"""The snapshot file comes back as it was, or not at all; and the error says what is wrong."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from snapshots.compression import zstd
from snapshots.encoding import Decoder
from snapshots.encryption import EncryptionKey
from snapshots.errors import (
    ContentMismatchError,
    DecompressionError,
    DecryptionError,
    KeyMissingError,
    PartCorruptedError,
    PartMisplacedError,
    PartMissingError,
    PartTruncatedError,
    StoreForbiddenError,
    WrongKeyError,
)
from snapshots.fetch import check_parts, fetch
from snapshots.manifest import Database, Part
from tests.unit.snapshots.backups import DATABASE, FILE, FOLDER, KEY, Counting, Wrapped, take

pytestmark = pytest.mark.usefixtures("small_parts")

WAYS = [(False, None), (True, None), (False, KEY), (True, KEY)]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "snapshot.db"


async def rewritten(store, manifest, number, data):
    """The backup with other bytes in a part, and a manifest that fits them."""
    await store.put(FOLDER.part(manifest.attempt, number), data)
    parts = list(manifest.parts)
    parts[number] = Part(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    return manifest.model_copy(update={"parts": tuple(parts)})


@pytest.mark.parametrize(("compress", "key"), WAYS)
async def test_file_comes_back(client, store, target, compress, key):
    manifest = await take(client, store, compress=compress, key=key)
    target.write_bytes(b"an older one")

    await fetch(store, FOLDER, manifest, target, keys=[KEY])

    assert target.read_bytes() == FILE
    assert [file.name for file in target.parent.iterdir() if file.is_file()] == ["snapshot.db"]


async def test_compressed_parts_are_what_zstd_reads(client, store):
    manifest = await take(client, store, compress=True)

    numbers = range(len(manifest.parts))
    parts = [await store.get(FOLDER.part(manifest.attempt, n), max_bytes=1 << 20) for n in numbers]
    assert zstd.decompress(b"".join(parts)) == FILE


async def damaged(store, manifest, damage):
    """Does this to part 1 (of several)."""
    path = FOLDER.part(manifest.attempt, 1)
    data = bytearray(await store.get(path, max_bytes=1 << 20))
    match damage:
        case "missing":
            await store.delete([path])
            return
        case "truncated":
            del data[-1:]
        case "empty":
            data.clear()
        case "longer":
            data += b"x"
        case "corrupted":
            data[100] ^= 1
        case "other-part":
            data = await store.get(FOLDER.part(manifest.attempt, 2), max_bytes=1 << 20)
    await store.put(path, bytes(data))


DAMAGES = [
    ("missing", PartMissingError),
    ("truncated", PartTruncatedError),
    ("empty", PartTruncatedError),
    ("longer", PartCorruptedError),
    ("corrupted", PartCorruptedError),
    ("other-part", PartMisplacedError),
]


@pytest.mark.parametrize(("damage", "expected"), DAMAGES)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
async def test_damaged_part_is_told(client, store, target, damage, expected, key):
    manifest = await take(client, store, key=key)
    await damaged(store, manifest, damage)
    target.write_bytes(b"an older one")

    with pytest.raises(expected, match="part 1") as raised:
        await fetch(store, FOLDER, manifest, target, keys=[KEY])

    assert type(raised.value) is expected
    assert raised.value.number == 1
    assert target.read_bytes() == b"an older one"
    assert [file.name for file in target.parent.iterdir() if file.is_file()] == ["snapshot.db"]
    with pytest.raises(expected):
        await check_parts(store, FOLDER, manifest)


async def test_whole_parts_pass_without_the_key(client, store):
    manifest = await take(client, store, key=KEY)
    heard = []

    await check_parts(store, FOLDER, manifest, progress=lambda *seen: heard.append(seen))

    assert heard[-1] == (manifest.stored_size, manifest.stored_size)
    assert len(heard) == len(manifest.parts)


async def test_key_that_is_missing_is_named(client, store, target):
    manifest = await take(client, store, key=KEY)

    with pytest.raises(KeyMissingError, match="2026-01"):
        await fetch(store, FOLDER, manifest, target)
    assert not target.exists()


async def test_wrong_key_is_told(client, store, target):
    manifest = await take(client, store, key=KEY)
    wrong = EncryptionKey(id=KEY.id, secret=bytes(32))

    with pytest.raises(WrongKeyError):
        await fetch(store, FOLDER, manifest, target, keys=[wrong])
    assert not target.exists()


async def test_changed_ciphertext_is_told_though_the_manifest_fits(client, store, target):
    manifest = await take(client, store, key=KEY)
    data = bytearray(await store.get(FOLDER.part(manifest.attempt, 1), max_bytes=1 << 20))
    data[100] ^= 1
    forged = await rewritten(store, manifest, 1, bytes(data))

    with pytest.raises(DecryptionError):
        await fetch(store, FOLDER, forged, target, keys=[KEY])


@pytest.mark.parametrize("way", ["swapped", "without-last"])
async def test_parts_in_another_order_are_told_though_the_manifest_fits(client, store, target, way):
    manifest = await take(client, store, key=KEY)
    order = list(range(len(manifest.parts)))
    if way == "swapped":
        order[1], order[2] = order[2], order[1]
    else:
        order.pop()
    numbers = range(len(manifest.parts))
    old = [await store.get(FOLDER.part(manifest.attempt, n), max_bytes=1 << 20) for n in numbers]
    for number, source in enumerate(order):
        await store.put(FOLDER.part(manifest.attempt, number), old[source])
    parts = tuple(manifest.parts[source] for source in order)

    with pytest.raises(DecryptionError):
        await fetch(store, FOLDER, manifest.model_copy(update={"parts": parts}), target, keys=[KEY])


async def test_damaged_compression_is_told(client, store, target):
    manifest = await take(client, store, compress=True)
    forged = await rewritten(store, manifest, 0, b"no zstd")

    with pytest.raises(DecompressionError):
        await fetch(store, FOLDER, forged, target)


@pytest.mark.parametrize(
    "database",
    [
        Database(size=len(DATABASE) - 512, sha256=hashlib.sha256(DATABASE).hexdigest()),
        Database(size=len(DATABASE) + 512, sha256=hashlib.sha256(DATABASE).hexdigest()),
        Database(size=len(DATABASE), sha256=hashlib.sha256(b"other").hexdigest()),
    ],
    ids=["shorter", "longer", "other"],
)
async def test_another_database_than_the_manifests_is_told(client, store, target, database):
    manifest = await take(client, store, compress=True)
    forged = manifest.model_copy(update={"database": database})

    with pytest.raises(ContentMismatchError):
        await fetch(store, FOLDER, forged, target)
    assert not target.exists()


async def test_a_little_that_becomes_a_lot_stops_early(client, store):
    """A hostile store can't fill the disk: not more is written than the manifest says."""
    manifest = await take(client, store, compress=True)
    pieces = []

    with pytest.raises(ContentMismatchError, match="more than"):
        pieces.extend(Decoder(manifest, ()).feed(zstd.compress(bytes(1 << 30))))
    assert sum(map(len, pieces)) <= len(FILE)


async def test_store_that_refuses_is_told_in_its_words(client, store, target):
    class Refusing(Wrapped):
        async def before(self, operation, path):
            raise StoreForbiddenError("not yours", operation=operation, where=path)

    manifest = await take(client, store)

    with pytest.raises(StoreForbiddenError, match="not yours"):
        await fetch(Refusing(store), FOLDER, manifest, target)


async def test_cancelled_fetch_leaves_no_file(client, store, target):
    class Slow(Counting):
        async def before(self, operation, path):
            if path.endswith("00004"):
                self.begun.set()
                await asyncio.Event().wait()

    manifest = await take(client, store)
    slow = Slow(store)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(fetch(slow, FOLDER, manifest, target))
        await slow.begun.wait()
        attempt.cancel()

    assert [file for file in target.parent.iterdir() if file.is_file()] == []
