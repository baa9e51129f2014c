"""Answers of the Snapshot call → chunks of a file that is known to be whole.

A stream cut by a dying member looks like a file, and etcd's own `snapshot status` doesn't check the
sum: so it is checked here, where every byte passes by. Pure but for awaiting the answers.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd.errors import SnapshotDamagedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from etcd.proto import maintenance_pb2 as pb

TRAILER_BYTES = 32


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
    digest = hashlib.sha256()
    database_done = trailer_seen = False
    async with aclosing(answers):
        async for answer in answers:
            if trailer_seen:
                raise _damaged("data after the trailer")
            trailer_seen = database_done
            if trailer_seen:
                _check(answer.blob, digest.digest())
            else:
                digest.update(answer.blob)
                database_done = answer.remaining_bytes == 0
            yield SnapshotChunk(
                blob=answer.blob,
                remaining_bytes=answer.remaining_bytes,
                storage_version=answer.version,
                is_trailer=trailer_seen,
            )
    if not trailer_seen:
        raise _damaged("the stream ended before the sha256 trailer")


def _check(trailer: bytes, expected: bytes) -> None:
    if len(trailer) != TRAILER_BYTES:
        raise _damaged("the trailer is no sha256")
    if trailer != expected:
        raise _damaged("the sha256 trailer does not match")


def _damaged(what: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(what, rpc="Snapshot")
