"""An HTTP proxy, as companies have them between laptops and clusters: it tunnels (CONNECT), and it
alone knows where the API server is.
"""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

# The API server's certificate is good for this name, which means nothing outside of the cluster.
KNOWN_TO_THE_PROXY = "kubernetes.default.svc:443"
LOOPBACK = "127.0.0.1"
PIECE_BYTES = 2**16


@dataclass
class Proxy:
    """`asked`: every address that a tunnel was asked for, in order."""

    url: str
    asked: list[str] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Ends all tunnels at once."""
        for writer in list(self._open):
            writer.transport.abort()


@asynccontextmanager
async def running(server: str, certificate: Path | None = None) -> AsyncIterator[Proxy]:
    """A proxy that leads to the API server at the URL `server`; over TLS with a certificate."""
    tls = None
    if certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate)
    proxy, tunnels = Proxy(""), set[asyncio.Task[None]]()
    real = urlsplit(server)

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        if proxy.asked[-1] != KNOWN_TO_THE_PROXY:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        onward_reader, onward = await asyncio.open_connection(real.hostname, real.port)
        ends = {writer, onward}
        proxy._open |= ends
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, onward))
                group.create_task(_pump(onward_reader, writer))
        finally:
            proxy._open -= ends
            onward.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tunnels.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, ExceptionGroup):
                await tunnel(reader, writer)
        finally:
            tunnels.discard(task)
            writer.close()

    listener = await asyncio.start_server(accept, LOOPBACK, 0, ssl=tls)
    port = listener.sockets[0].getsockname()[1]
    proxy.url = f"{'https' if tls else 'http'}://{LOOPBACK}:{port}"
    try:
        yield proxy
    finally:
        listener.close()
        proxy.cut()
        await asyncio.gather(*tunnels)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the reader ends: then both directions of the tunnel end."""
    while data := await reader.read(PIECE_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


def self_signed(file: Path) -> str:
    """Writes a certificate for this machine with its key; returns the certificate alone (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "proxy")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOOPBACK))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    file.write_bytes(certificate + private)
    return certificate.decode()
