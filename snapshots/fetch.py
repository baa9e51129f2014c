"""A backup in a store → the snapshot file that `etcdutl snapshot restore` takes, proven whole.

Each part is checked against the manifest before a byte of it is used; what comes out is checked
against the manifest and etcd's own trailer. The file has its name only when all of it is right and
on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
from collections import deque
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from snapshots.encoding import Decoder
from snapshots.errors import (
    ObjectMissingError,
    ObjectTooBigError,
    PartCorruptedError,
    PartMisplacedError,
    PartMissingError,
    PartTruncatedError,
    StoreFullError,
)
from snapshots.failures import first_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from snapshots.encryption import EncryptionKey
    from snapshots.layout import BackupFolder
    from snapshots.manifest import Manifest
    from snapshots.stores import Store

    Progress: TypeAlias = Callable[[int, int], None]

DOWNLOADS_AT_ONCE = 3


async def fetch(
    store: Store,
    folder: BackupFolder,
    manifest: Manifest,
    target: Path,
    *,
    keys: Iterable[EncryptionKey] = (),
    progress: Progress | None = None,
) -> None:
    """Makes the file `target`, over one that is there; its folder has to exist.

    progress: hears stored bytes read, of all. Raises StoreError, PartError, KeyMissingError,
    WrongKeyError, DecryptionError, DecompressionError, ContentMismatchError; StoreFullError for the
    target's own disk, too. After an error, and when cancelled, there is no new file. Repeat it as a
    whole.
    """
    unfinished = target.with_name(f".{target.name}.unfinished")
    decoder = Decoder(manifest, keys)
    try:
        with _told_when_full(target), unfinished.open("wb") as file:

            async def write(data: bytes) -> None:
                await asyncio.to_thread(_write, file, decoder.feed(data))

            await _each_part(store, folder, manifest, write, progress)
            await asyncio.to_thread(_write, file, decoder.finish())
            await asyncio.to_thread(os.fsync, file.fileno())
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


async def check_parts(
    store: Store, folder: BackupFolder, manifest: Manifest, *, progress: Progress | None = None
) -> None:
    """Reads every part and compares it with the manifest: what can be proven without the key.

    Raises StoreError, PartError.
    """

    async def drop(_: bytes) -> None:
        pass

    await _each_part(store, folder, manifest, drop, progress)


async def _each_part(
    store: Store,
    folder: BackupFolder,
    manifest: Manifest,
    take: Callable[[bytes], Awaitable[None]],
    progress: Progress | None,
) -> None:
    """Gives the parts in order, each as the manifest has it, while the next ones come."""
    done = 0
    coming: deque[asyncio.Task[bytes]] = deque()
    numbers = iter(range(len(manifest.parts)))
    try:
        async with asyncio.TaskGroup() as tasks:
            while True:
                for number in itertools.islice(numbers, DOWNLOADS_AT_ONCE - len(coming)):
                    part = _part(store, folder, manifest, number)
                    coming.append(tasks.create_task(part))
                if not coming:
                    return
                data = await coming.popleft()
                await take(data)
                done += len(data)
                if progress is not None:
                    progress(done, manifest.stored_size)
    except BaseExceptionGroup as group:
        raise first_failure(group) from None


async def _part(store: Store, folder: BackupFolder, manifest: Manifest, number: int) -> bytes:
    part = manifest.parts[number]
    path = folder.part(manifest.attempt, number)
    try:
        data = await store.get(path, max_bytes=part.size)
    except ObjectMissingError as failure:
        message = f"{failure.where} is missing"
        raise PartMissingError(message, number=number) from failure
    except ObjectTooBigError as failure:
        message = f"{failure.where} is longer than the {part.size} bytes of the manifest"
        raise PartCorruptedError(message, number=number) from failure
    found = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
    if found == part.sha256:
        return data
    for other, one in enumerate(manifest.parts):
        if one.sha256 == found:
            message = f"{path} holds part {other}"
            raise PartMisplacedError(message, number=number)
    if len(data) < part.size:
        message = f"{path} has {len(data)} bytes, and {part.size} in the manifest"
        raise PartTruncatedError(message, number=number)
    message = f"{path} has another sha256 than in the manifest"
    raise PartCorruptedError(message, number=number)


def _write(file: BinaryIO, pieces: Iterator[bytes]) -> None:
    file.writelines(pieces)


@contextlib.contextmanager
def _told_when_full(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        message = os.strerror(failure.errno)
        raise StoreFullError(message, operation="write", where=f"file://{target}") from failure
