"""Chunks of a watch's body into whole lines, however long.

asyncio's and aiohttp's own line readers refuse lines beyond a limit, and an event may be larger
than any limit one would dare to set (aggregated API servers know none). Pure; used by wire.py.
"""

from __future__ import annotations


class LineSplitter:
    """Feed chunks as they come; linear in their total size, also when one line has many."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    @property
    def is_mid_line(self) -> bool:
        """Whether bytes were fed after the last newline: at the end, a line was cut off."""
        return bool(self._parts)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines this chunk completes, without newlines; blank ones are dropped."""
        head, newline, rest = chunk.partition(b"\n")
        if head:
            self._parts.append(head)
        if not newline:
            return []
        lines = [b"".join(self._parts), *rest.split(b"\n")]
        tail = lines.pop()
        self._parts = [tail] if tail else []
        return [line for line in lines if line and not line.isspace()]
