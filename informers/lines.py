"""Chunks of a watch's body into whole lines, however long, and lines into shares of a loop's turn.

asyncio's and aiohttp's own line readers refuse lines beyond a limit, and an event may be larger
than any limit one would dare to set (aggregated API servers know none). Pure; used by wire.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What one watch may take of the loop's time before others have their turn: events cost about 30 us
# each, and large ones about 10 ns a byte, so about half a millisecond.
_SHARE_LINES = 16
_SHARE_BYTES = 2**16


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


def shares(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """All lines in order, in parts that a fair reader handles between two turns of the loop."""
    start, size = 0, 0
    for at, line in enumerate(lines):
        if at > start and (at - start >= _SHARE_LINES or size + len(line) > _SHARE_BYTES):
            yield lines[start:at]
            start, size = at, 0
        size += len(line)
    if start < len(lines):
        yield lines[start:]
