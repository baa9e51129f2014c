"""The bytes of a snapshot stream → parts as they are stored, and back. No I/O.

Both directions take about a megabyte at a time, in a thread: what costs time in there (sha256,
zstd, AES) leaves the interpreter to others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapshots.compression import Compressor, Decompressor
from snapshots.database import DatabaseReader
from snapshots.encryption import Decryptor, Encryptor
from snapshots.errors import ContentMismatchError, WrongHashError
from snapshots.manifest import TRAILER_BYTES, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapshots.encryption import EncryptionKey
    from snapshots.manifest import Manifest

# The format allows twice as much. Five of them are in memory while a store is slow.
PART_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPart:
    """One part: its number from 0, its bytes, and what the manifest says of it."""

    number: int
    data: bytes
    part: Part


class Encoder:
    """The database, then its trailer, into parts. One call at a time, from any thread."""

    def __init__(self, *, compress: bool, key: EncryptionKey | None) -> None:
        self.database = DatabaseReader()
        self._compressor = Compressor() if compress else None
        self._encryptor = Encryptor(key) if key is not None else None
        self._number = 0
        # Of the part that is being filled. Joined once: each copy of a part costs its memory.
        self._pieces: list[bytes | memoryview] = []
        self._size = 0
        self._digest = hashlib.sha256()

    def feed(self, data: bytes) -> list[FinishedPart]:
        """A piece of the database. Raises DatabaseUnreadableError."""
        self.database.feed(data)
        return self._store(data)

    def finish(self, trailer: bytes) -> list[FinishedPart]:
        """The trailer, and the end."""
        parts = self._store(trailer)
        rest = self._compressor.finish() if self._compressor is not None else b""
        if self._encryptor is not None:
            rest = self._encryptor.feed(rest) + self._encryptor.finish()
        parts += self._cut(rest)
        return [*parts, self._part()] if self._size else parts

    def _store(self, data: bytes) -> list[FinishedPart]:
        if self._compressor is not None:
            data = self._compressor.feed(data)
        if self._encryptor is not None:
            data = self._encryptor.feed(data)
        return self._cut(data)

    def _cut(self, data: bytes) -> list[FinishedPart]:
        """Adds to the part that is being filled; the parts that this made full."""
        parts: list[FinishedPart] = []
        rest = memoryview(data)
        while rest:
            piece, rest = rest[: PART_BYTES - self._size], rest[PART_BYTES - self._size :]
            self._pieces.append(piece)
            self._size += len(piece)
            self._digest.update(piece)
            if self._size == PART_BYTES:
                parts.append(self._part())
        return parts

    def _part(self) -> FinishedPart:
        part = Part(size=self._size, sha256=self._digest.hexdigest())
        finished = FinishedPart(number=self._number, data=b"".join(self._pieces), part=part)
        self._number += 1
        self._pieces, self._size, self._digest = [], 0, hashlib.sha256()
        return finished


class Decoder:
    """Parts in their order into the snapshot file, which must be the one of the manifest."""

    def __init__(self, manifest: Manifest, keys: Iterable[EncryptionKey]) -> None:
        self._database = manifest.database
        self._decryptor = Decryptor(keys) if manifest.encryption is not None else None
        self._decompressor = Decompressor() if manifest.compression == "zstd" else None
        self._digest = hashlib.sha256()
        self._size = 0
        self._trailer = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of the file, at most a megabyte or as much as was fed.

        Raises KeyMissingError, WrongKeyError, DecryptionError, DecompressionError, and
        ContentMismatchError as soon as it is more than the manifest says.
        """
        decrypted = self._decryptor.feed(data) if self._decryptor is not None else iter((data,))
        yield from self._decompressed(decrypted)

    def finish(self) -> Iterator[bytes]:
        """The rest. Raises the same; ContentMismatchError where it isn't what the manifest says."""
        if self._decryptor is not None:
            yield from self._decompressed(self._decryptor.finish())
        if self._decompressor is not None:
            for piece in self._decompressor.finish():
                yield self._checked(piece)
        if self._size != self._database.file_size:
            message = f"the snapshot has {self._size} bytes of {self._database.file_size}"
            raise ContentMismatchError(message)
        found = self._digest.hexdigest()
        if not found == self._trailer.hex() == self._database.sha256:
            message = f"the database's sha256 is {found}, not {self._database.sha256}"
            raise WrongHashError(message)

    def _decompressed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self._decompressor is None:
                yield self._checked(piece)
            else:
                for plain in self._decompressor.feed(piece):
                    yield self._checked(plain)

    def _checked(self, piece: bytes) -> bytes:
        """Counts, and keeps the last bytes out of the sum that they are."""
        database_left = max(0, self._database.size - self._size)
        self._digest.update(memoryview(piece)[:database_left])
        self._trailer += piece[database_left:]
        self._size += len(piece)
        if len(self._trailer) > TRAILER_BYTES:
            message = f"the snapshot has more than {self._database.file_size} bytes"
            raise ContentMismatchError(message)
        return piece
