"""A stream of bytes ↔ the same, encrypted: AES-256-GCM in chunks, by the STREAM construction.

    file    = header, chunk, chunk, ..., last chunk
    header  = "ETCDENC1", length of the key's ID (1), the key's ID, salt (32), HMAC of it (32)
    chunk   = 64 KiB encrypted, tag (16); the last one may be shorter, or empty
    nonce   = the chunk's number (11, big-endian), 1 for the last chunk, else 0 (1)

The key of the chunks and the one of the HMAC come from the caller's key and the salt by HKDF, all
with SHA-256: so a nonce is used once per key, however many backups there are. The number keeps the
chunks in their order, the mark makes the end a part of what is authenticated (Hoang, Reyhanitabar,
Rogaway, Vizár: "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015). The
HMAC tells a wrong key from a damaged chunk. Pure but for the salt's chance.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from snapshots.errors import DecryptionError, KeyMissingError, WrongKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEY_BYTES = 32
KEY_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

_MAGIC = b"ETCDENC1"
_SALT_BYTES = 32
_MAC_BYTES = 32
_TAG_BYTES = 16
_CHUNK_BYTES = 64 * 1024
_SEALED_BYTES = _CHUNK_BYTES + _TAG_BYTES
_FOR_HEADER = b"etcd-operator backup header v1"
_FOR_CHUNKS = b"etcd-operator backup chunks v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionKey:
    """A key of 32 bytes, and the name by which backups tell which one they need.

    Raises ValueError for another length, or an ID that is no name.
    """

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(KEY_ID_PATTERN, self.id):
            raise ValueError("the ID of a key is a name of up to 63 letters, digits, '.', '_', '-'")
        if len(self.secret) != KEY_BYTES:
            message = f"the key {self.id} has {len(self.secret)} bytes, and needs {KEY_BYTES}"
            raise ValueError(message)


class Encryptor:
    """Plain bytes in, encrypted bytes out; the header comes with the first of them."""

    def __init__(self, key: EncryptionKey) -> None:
        start = _MAGIC + bytes([len(key.id)]) + key.id.encode() + os.urandom(_SALT_BYTES)
        salt = start[-_SALT_BYTES:]
        self._header = start + _mac(key, salt, start)
        self._cipher = AESGCM(_derive(key, salt, _FOR_CHUNKS))
        self._number = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> bytes:
        """What can be told of it so far. The last chunk is held back until `finish`."""
        self._buffer += data
        out = [self._take_header()]
        taken = 0
        # One byte more, else this may be the last chunk.
        while len(self._buffer) - taken > _CHUNK_BYTES:
            out.append(self._seal(self._buffer[taken : taken + _CHUNK_BYTES], last=False))
            taken += _CHUNK_BYTES
        del self._buffer[:taken]
        return b"".join(out)

    def finish(self) -> bytes:
        """The rest. Nothing may be fed after it."""
        return self._take_header() + self._seal(self._buffer, last=True)

    def _take_header(self) -> bytes:
        header, self._header = self._header, b""
        return header

    def _seal(self, chunk: bytes | bytearray, *, last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._number, last=last), bytes(chunk), None)
        self._number += 1
        return sealed


class Decryptor:
    """Encrypted bytes in, plain bytes out: none that was not authenticated."""

    def __init__(self, keys: Iterable[EncryptionKey]) -> None:
        self._keys = {key.id: key for key in keys}
        self._cipher: AESGCM | None = None
        self._number = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises KeyMissingError, WrongKeyError, DecryptionError."""
        self._buffer += data
        if self._cipher is None and not self._read_header():
            return
        taken = 0
        while len(self._buffer) - taken > _SEALED_BYTES:
            yield self._open(self._buffer[taken : taken + _SEALED_BYTES], last=False)
            taken += _SEALED_BYTES
        del self._buffer[:taken]

    def finish(self) -> Iterator[bytes]:
        """Raises DecryptionError, also where the end is missing."""
        if self._cipher is None:
            raise DecryptionError("the encrypted data end within their header")
        yield self._open(self._buffer, last=True)

    def _read_header(self) -> bool:
        mark = len(_MAGIC)
        if self._buffer[:mark] != _MAGIC[: len(self._buffer)]:
            raise DecryptionError("the data do not begin as encrypted ones do")
        if len(self._buffer) <= mark:
            return False
        salt_at = mark + 1 + self._buffer[mark]
        mac_at = salt_at + _SALT_BYTES
        if len(self._buffer) < mac_at + _MAC_BYTES:
            return False
        key = self._key(bytes(self._buffer[mark + 1 : salt_at]))
        start, salt = bytes(self._buffer[:mac_at]), bytes(self._buffer[salt_at:mac_at])
        found = bytes(self._buffer[mac_at : mac_at + _MAC_BYTES])
        if not hmac.compare_digest(found, _mac(key, salt, start)):
            message = f"the key {key.id} is not the one that the backup was encrypted with"
            raise WrongKeyError(message)
        self._cipher = AESGCM(_derive(key, salt, _FOR_CHUNKS))
        del self._buffer[: mac_at + _MAC_BYTES]
        return True

    def _key(self, key_id: bytes) -> EncryptionKey:
        name = key_id.decode(errors="replace")
        if name not in self._keys:
            message = f"the backup is encrypted with the key {name!r}, which was not given"
            raise KeyMissingError(message)
        return self._keys[name]

    def _open(self, chunk: bytes | bytearray, *, last: bool) -> bytes:
        assert self._cipher is not None
        try:
            plain = self._cipher.decrypt(_nonce(self._number, last=last), bytes(chunk), None)
        except InvalidTag:
            place = "the last chunk" if last else f"chunk {self._number}"
            message = f"{place} of the encrypted data is not authentic: changed, moved, or cut off"
            raise DecryptionError(message) from None
        self._number += 1
        return plain


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11) + bytes([last])


def _derive(key: EncryptionKey, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=purpose).derive(key.secret)


def _mac(key: EncryptionKey, salt: bytes, header: bytes) -> bytes:
    return hmac.digest(_derive(key, salt, _FOR_HEADER), header, hashlib.sha256)
