"""Answers of the Snapshot call → chunks of a file that is known to be whole.

A stream cut by a dying member looks like a file, and etcd's own `snapshot status` doesn't check the
sum: so it is checked here, where every byte passes by. The sum is taken in a thread, while the next
answers come.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd.errors import SnapshotDamagedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from etcd.proto import maintenance_pb2 as pb

TRAILER_BYTES = 32
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotChunk:
    """A piece of the file, in order.

    remaining_bytes: of the database, after this piece. storage_version: `3.6.0`; empty before
    3.6. is_trailer: these 32 bytes are the sha256 of everything before them (the last chunk).
    """

    blob: bytes
    remaining_bytes: int
    storage_version: str
    is_trailer: bool


async def verified(
    answers: AsyncGenerator[pb.SnapshotResponse],
) -> AsyncGenerator[SnapshotChunk]:
    """Yields every answer's blob; ends only after a trailer that matches.

    Raises SnapshotDamagedError where the stream ends early, goes on after the trailer, or the
    trailer differs: what was yielded until then is worthless.
    """
    digest = _Digest()
    database_done = trailer_seen = False
    async with aclosing(answers), aclosing(digest):
        async for answer in answers:
            if trailer_seen:
                raise _damaged("data after the trailer")
            trailer_seen = database_done
            if trailer_seen:
                _check(answer.blob, await digest.finish())
            else:
                await digest.update(answer.blob)
                database_done = answer.remaining_bytes == 0
            yield SnapshotChunk(
                blob=answer.blob,
                remaining_bytes=answer.remaining_bytes,
                storage_version=answer.version,
                is_trailer=trailer_seen,
            )
    if not trailer_seen:
        raise _damaged("the stream ended before the sha256 trailer")


class _Digest:
    """A sha256 that grows in a thread, a block at a time, one block behind."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._blobs: list[bytes] = []
        self._size = 0
        self._at_work: asyncio.Future[None] | None = None

    async def update(self, blob: bytes) -> None:
        self._blobs.append(blob)
        self._size += len(blob)
        if self._size >= _BLOCK_BYTES:
            await self.aclose()
            loop = asyncio.get_running_loop()
            self._at_work = loop.run_in_executor(None, self._add, self._blobs)
            self._blobs, self._size = [], 0

    async def finish(self) -> bytes:
        await self.aclose()
        self._add(self._blobs)
        return self._sha256.digest()

    async def aclose(self) -> None:
        """Waits for the thread."""
        if self._at_work is not None:
            await self._at_work
            self._at_work = None

    def _add(self, blobs: list[bytes]) -> None:
        # Joined: hashing many small ones would take the interpreter from others each time.
        self._sha256.update(b"".join(blobs))


def _check(trailer: bytes, expected: bytes) -> None:
    if len(trailer) != TRAILER_BYTES:
        raise _damaged("the trailer is no sha256")
    if trailer != expected:
        raise _damaged("the sha256 trailer does not match")


def _damaged(what: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(what, rpc="Snapshot")
