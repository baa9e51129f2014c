"""A stream of bytes ↔ the same as one frame of zstd, which `zstd -d` reads as well. Pure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from snapshots.errors import DecompressionError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

# zstd's own default. Level 1 is a third faster, and what it makes a tenth bigger.
LEVEL = 3
# 8 MiB; level 3 uses 2. What asks for more is not ours, and wants the reader's memory.
_MAX_WINDOW_LOG = 23
_PIECE_BYTES = 1 << 20


class Compressor:
    """Plain bytes in, compressed bytes out; the frame ends with a checksum of its content."""

    def __init__(self) -> None:
        parameter = zstd.CompressionParameter
        options: dict[int, int] = {parameter.compression_level: LEVEL, parameter.checksum_flag: 1}
        self._zstd = zstd.ZstdCompressor(options=options)

    def feed(self, data: bytes) -> bytes:
        return self._zstd.compress(data)

    def finish(self) -> bytes:
        """The rest. Nothing may be fed after it."""
        return self._zstd.flush()


class Decompressor:
    """Compressed bytes in, plain bytes out, at most a megabyte at a time."""

    def __init__(self) -> None:
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        self._zstd = zstd.ZstdDecompressor(options=options)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises DecompressionError."""
        while data or not self._waits():
            if self._ended():
                raise DecompressionError("there is more after the end of the compressed data")
            try:
                piece = self._zstd.decompress(data, _PIECE_BYTES)
            except zstd.ZstdError as failure:
                message = f"the compressed data are damaged: {failure}"
                raise DecompressionError(message) from failure
            data = self._zstd.unused_data if self._ended() else b""
            if piece:
                yield piece

    def finish(self) -> Iterator[bytes]:
        """Raises DecompressionError where the end is missing."""
        if not self._ended():
            raise DecompressionError("the compressed data end too early")
        return iter(())

    def _ended(self) -> bool:
        return self._zstd.eof

    def _waits(self) -> bool:
        return self._zstd.eof or self._zstd.needs_input
