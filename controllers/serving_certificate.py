"""A server's certificate in a folder, read anew when its files change: at the next handshake.

The files are those of a Secret of type kubernetes.io/tls, tls.crt and tls.key.  What can't be read,
or does not fit, is told once, and the last certificate that was well stays in use.
"""

import ssl
from pathlib import Path
from typing import Final

import structlog

from informers.errors import ConfigurationError

log = structlog.get_logger()

_CERTIFICATE: Final = "tls.crt"
_KEY: Final = "tls.key"
# Of a file: when it was written, which one it is, and how long.
_Stamp = tuple[int, int, int]


class ServingCertificate:
    """`context` is for the server. Raises ConfigurationError without a pair to begin with."""

    def __init__(self, folder: Path) -> None:
        self._files = (folder / _CERTIFICATE, folder / _KEY)
        self._stamps = self._look()
        try:
            self._newest = self._load()
            # Handshakes begin with this context and go on with the newest one: to load files that
            # don't fit each other into a context would leave it broken.
            self.context = self._load()
        except (OSError, ValueError) as error:
            msg = f"serving certificate in {folder}: {_describe(error)}"
            raise ConfigurationError(msg) from error
        self.context.sni_callback = self._on_handshake

    def _on_handshake(
        self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        """Called by OpenSSL in each handshake, with or without a name."""
        self._renew()
        connection.context = self._newest

    def _renew(self) -> None:
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        try:
            self._newest = self._load()
        except (OSError, ValueError) as error:
            log.warning("certificate not renewed", file=str(self._files[0]), error=_describe(error))
        else:
            log.info("serving another certificate", file=str(self._files[0]))

    def _look(self) -> tuple[_Stamp, ...]:
        """Empty when there is something missing."""
        try:
            found = [file.stat() for file in self._files]
        except OSError:
            return ()
        return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A key with a password would be asked for on the terminal.
        context.load_cert_chain(*self._files, password=_refuse)
        return context


def _refuse() -> str:
    raise ValueError("the key has a password, which nobody can give")


def _describe(error: Exception) -> str:
    """Without the content: OpenSSL names reasons and Python the file."""
    return str(error) or type(error).__name__
