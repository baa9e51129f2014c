"""The changes on the way to a target, held on the volume where they are replayed.

All of them are there, each proven, before the first one is replayed: nothing that a store says
later can stop in the middle. They lie in plain, as do the data that they become.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from snapshots.changes.segment import Body
from snapshots.errors import RestoredDataError, VolumeTooSmallError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from pathlib import Path

_MODE: Final = 0o700
# A change is held once, and written by etcd to its log and to its database, which grows by pages.
_COPIES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """segments: how many; size: bytes of them in plain."""

    segments: int
    size: int

    @property
    def needed_bytes(self) -> int:
        """Of a volume, beside what the backup needs, until they are replayed."""
        return _COPIES * self.size


async def hold(bodies: AsyncIterator[Body], folder: Path) -> Held:
    """Writes them into a new folder. Raises VolumeTooSmallError, OSError, what `bodies` does."""
    await asyncio.to_thread(folder.mkdir, mode=_MODE)
    number = size = 0
    async for body in bodies:
        with _told_when_full(folder):
            size += await asyncio.to_thread(_write, folder / _name(number), body)
        number += 1
    return Held(segments=number, size=size)


async def weigh(bodies: AsyncIterator[Body]) -> Held:
    """The same without keeping any of it. Raises what `bodies` does."""
    number = size = 0
    async for body in bodies:
        size += len(msgspec.msgpack.encode(body))
        number += 1
    return Held(segments=number, size=size)


async def read_held(folder: Path, held: Held) -> AsyncGenerator[tuple[Body, int]]:
    """In their order, each with its size. Raises RestoredDataError for what `hold` did not leave
    there so.
    """
    for number in range(held.segments):
        file = folder / _name(number)
        try:
            data = await asyncio.to_thread(file.read_bytes)
            body = msgspec.msgpack.decode(data, type=Body)
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError) as failure:
            message = f"{file} is not there, or not whole: changes that were fetched are missing"
            raise RestoredDataError(message) from failure
        yield body, len(data)


def _name(number: int) -> str:
    return f"{number:08d}"


def _write(file: Path, body: Body) -> int:
    return file.write_bytes(msgspec.msgpack.encode(body))


@contextlib.contextmanager
def _told_when_full(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if failure.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        message = f"{folder}: {os.strerror(failure.errno)}"
        raise VolumeTooSmallError(message) from failure
