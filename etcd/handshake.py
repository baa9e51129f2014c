"""Which certificate a listener shows: the one way to see from outside what a member has read.

Nothing is sent and nobody is believed: it is a question about a certificate, not a conversation.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl


async def shown_certificate(address: str, port: int, *, timeout_s: float) -> str:
    """The SHA-256 fingerprint of the certificate, in hexadecimal; empty when none could be seen.

    In TLS 1.3 a server shows its own before it judges the caller's, so that we need none; etcd logs
    a rejected connection for it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port, ssl=context)
    except (OSError, TimeoutError):
        return ""
    with contextlib.closing(writer):
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return hashlib.sha256(shown).hexdigest() if shown else ""
