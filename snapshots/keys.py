"""The text of a Secret → the keys that backups are encrypted with. Pure.

    one key a line, 32 bytes in base64:    openssl rand -base64 32

The first one is for new backups, all of them are for reading: so a key is replaced by putting the
next one before it. A key's ID comes from the key itself, and tells nothing of it: whoever reads a
backup needs no name that somebody would have to keep beside the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from snapshots.encryption import KEY_BYTES, EncryptionKey
from snapshots.errors import KeyInvalidError

_PURPOSE = b"etcd-operator backup key id v1"
_ID_CHARACTERS = 16


def read_keys(text: str) -> tuple[EncryptionKey, ...]:
    """At least one. Raises KeyInvalidError, which names the line and never what is in it."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    keys = tuple(_key(number, line) for number, line in lines if line)
    if not keys:
        raise KeyInvalidError("it has no key: put 32 bytes in base64 into it")
    return keys


def _key(number: int, line: str) -> EncryptionKey:
    try:
        secret = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != KEY_BYTES:
        message = f"line {number} is not {KEY_BYTES} bytes in base64 (openssl rand -base64 32)"
        raise KeyInvalidError(message)
    return EncryptionKey(id=_key_id(secret), secret=secret)


def _key_id(secret: bytes) -> str:
    return hashlib.sha256(_PURPOSE + secret).hexdigest()[:_ID_CHARACTERS]
