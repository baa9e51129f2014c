"""A backup in a store → the snapshot file that `etcdutl snapshot restore` takes, proven whole.

Each part is checked against the manifest before a byte of it is used; what comes out is checked
against the manifest and etcd's own trailer. The file has its name only when all of it is right.

Where the caller gives a list of `doubts`, wrong hashes alone are no failure: each is told there.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import itertools
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from snapshots.encoding import Decoder
from snapshots.errors import (
    ObjectMissingError,
    ObjectTooBigError,
    PartCorruptedError,
    PartMisplacedError,
    PartMissingError,
    PartTruncatedError,
    VolumeTooSmallError,
    WrongHashError,
)
from snapshots.failures import first_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from pathlib import Path

    from snapshots.encryption import EncryptionKey
    from snapshots.errors import BackupError
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
    doubts: list[str] | None = None,
    durable: bool = True,
    progress: Progress | None = None,
) -> None:
    """Makes the file `target`, over one that is there; its folder has to exist.

    durable: wait until it is on the disk. progress: hears stored bytes read, of all. Raises
    StoreError, PartError, KeyMissingError, WrongKeyError, DecryptionError, DecompressionError,
    ContentMismatchError; VolumeTooSmallError where the target's disk is full. After an error, and
    when cancelled, there is no new file. Repeat it as a whole.
    """
    source = _Source(store, folder, manifest, doubts, progress)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with _told_when_full(target), unfinished.open("wb") as file:
            await _decode(source, keys, file.writelines)
            if durable:
                await asyncio.to_thread(os.fsync, file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


async def prove(
    store: Store,
    folder: BackupFolder,
    manifest: Manifest,
    *,
    keys: Iterable[EncryptionKey] = (),
    doubts: list[str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Reads all of it, as `fetch` does, and keeps nothing. Raises the same, but for the disk."""

    def drop(pieces: Iterator[bytes]) -> None:
        deque(pieces, maxlen=0)

    await _decode(_Source(store, folder, manifest, doubts, progress), keys, drop)


async def check_parts(
    store: Store, folder: BackupFolder, manifest: Manifest, *, progress: Progress | None = None
) -> None:
    """Reads every part and compares it with the manifest: what can be proven without the key.

    Raises StoreError, PartError.
    """

    async def drop(_: bytes) -> None:
        pass

    await _Source(store, folder, manifest, None, progress).each_part(drop)


async def _decode(
    source: _Source, keys: Iterable[EncryptionKey], write: Callable[[Iterator[bytes]], None]
) -> None:
    """Gives the snapshot file to `write`, in a thread, piece by piece."""
    decoder = Decoder(source.manifest, keys)

    async def take(data: bytes) -> None:
        await asyncio.to_thread(write, decoder.feed(data))

    await source.each_part(take)
    try:
        await asyncio.to_thread(write, decoder.finish())
    except WrongHashError as failure:
        source.doubt(failure)


@dataclass(frozen=True, slots=True)
class _Source:
    """The parts of a backup, each as the manifest has it; or else there are doubts."""

    store: Store
    folder: BackupFolder
    manifest: Manifest
    doubts: list[str] | None
    progress: Progress | None

    def doubt(self, failure: BackupError) -> None:
        """A wrong hash. Raises it where the caller takes none."""
        if self.doubts is None:
            raise failure
        self.doubts.append(str(failure))

    async def each_part(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        """Gives them in order, while the next ones come."""
        done = 0
        coming: deque[asyncio.Task[bytes]] = deque()
        numbers = iter(range(len(self.manifest.parts)))
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    for number in itertools.islice(numbers, DOWNLOADS_AT_ONCE - len(coming)):
                        coming.append(tasks.create_task(self._part(number)))
                    if not coming:
                        return
                    data = await coming.popleft()
                    await take(data)
                    done += len(data)
                    if self.progress is not None:
                        self.progress(done, self.manifest.stored_size)
        except BaseExceptionGroup as group:
            raise first_failure(group) from None

    async def _part(self, number: int) -> bytes:
        part = self.manifest.parts[number]
        path = self.folder.part(self.manifest.attempt, number)
        try:
            data = await self.store.get(path, max_bytes=part.size)
        except ObjectMissingError as failure:
            message = f"{failure.where} is missing"
            raise PartMissingError(message, number=number) from failure
        except ObjectTooBigError as failure:
            message = f"{failure.where} is longer than the {part.size} bytes of the manifest"
            raise PartCorruptedError(message, number=number) from failure
        found = (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()
        if found == part.sha256:
            return data
        for other, one in enumerate(self.manifest.parts):
            if one.sha256 == found:
                message = f"{path} holds part {other}"
                raise PartMisplacedError(message, number=number)
        if len(data) < part.size:
            message = f"{path} has {len(data)} bytes, and {part.size} in the manifest"
            raise PartTruncatedError(message, number=number)
        message = f"{path} has another sha256 than in the manifest"
        self.doubt(PartCorruptedError(message, number=number))
        return data


@contextlib.contextmanager
def _told_when_full(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        message = f"{target}: {os.strerror(failure.errno)}"
        raise VolumeTooSmallError(message) from failure
