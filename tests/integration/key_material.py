"""Finds private keys in text, however they are written down."""

import base64
import re

from cryptography.hazmat.primitives.serialization import load_pem_private_key

# So many characters of a key say enough of it, and don't come up by chance.
_WINDOW = 16


def traces(pem: bytes) -> set[str]:
    """Pieces of text of which each gives a part of this key away: in PEM, in base64 once more (as a
    Secret holds it), in hexadecimal, as a decimal number, or as Python prints bytes.
    """
    number = load_pem_private_key(pem, password=None).private_numbers().private_value
    secret = number.to_bytes(32, "big")
    lines = [line for line in pem.splitlines() if not line.startswith(b"-")]
    found = {str(number), secret.hex(), secret.hex().upper(), repr(secret)[2:-1]}
    found |= _windows(_in_base64(secret))
    # What all keys of this kind have in common comes first and tells nothing of this one.
    body = b"".join(lines).decode()
    within = [i for i in range(len(body)) if body[i : i + _WINDOW] in found]
    own = body[within[0] : within[-1] + _WINDOW]
    found |= _windows(_in_base64(own.encode()))
    return found


def leaked(text: str, pem: bytes) -> list[str]:
    """What of the key is in the text, also over the ends of lines."""
    joined = re.sub(r"\\+[nrt]|\s", "", text)
    return sorted(trace for trace in traces(pem) if trace in text or trace in joined)


def _in_base64(raw: bytes) -> list[str]:
    """Its base64 at each of the three ways that it can lie among other bytes, without the ends."""
    return [base64.b64encode(b"\0" * before + raw).decode()[4:-4] for before in range(3)]


def _windows(texts: list[str]) -> set[str]:
    return {text[i : i + _WINDOW] for text in texts for i in range(len(text) - _WINDOW + 1)}
