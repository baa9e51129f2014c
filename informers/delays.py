"""Turns "this key at that time" into the keys that are due.

`WorkQueue` keeps its delayed adds here and asks with the time of its clock; nothing in here reads a
clock or sets a timer. A key waits once, for the earliest time that was asked for, with the highest
priority that was asked for.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")

# Void entries, left behind by keys that were taken out early, go away when they are due, or when
# they outnumber the live ones: an hourly resync of a key that changes each second must not pile up.
_STALE_SLACK = 64


class Entry(Generic[K]):
    """A place in the heap. One whose key has left is void, and keeps the key alive no longer."""

    __slots__ = ("is_void", "key", "priority", "ready_at")

    def __init__(self, key: K, priority: int, ready_at: float) -> None:
        self.key = key
        self.priority = priority
        self.ready_at = ready_at
        self.is_void = False

    def make_void(self) -> int:
        """Let go of the key; its priority."""
        self.is_void = True
        del self.key
        return self.priority


class Delays(Generic[K]):
    """Keys by the time they become ready. put and pop take O(log n), next_at O(1) amortised.

    entries: the waiting keys; others may only ask whether a key is in it.
    """

    __slots__ = ("_heap", "_sequence", "entries")

    def __init__(self) -> None:
        self.entries: dict[K, Entry[K]] = {}
        # (ready_at, sequence, entry): the sequence keeps equal times in the order of the calls and
        # the comparison away from entries.
        self._heap: list[tuple[float, int, Entry[K]]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self.entries)

    def put(self, key: K, priority: int, ready_at: float) -> None:
        """Let the key wait; if it waits already, the earlier time and the higher priority stay."""
        known = self.entries.get(key)
        if known is not None:
            known.priority = priority = max(known.priority, priority)
            if known.ready_at <= ready_at:
                return
            known.make_void()
        entry = self.entries[key] = Entry(key, priority, ready_at)
        self._sequence += 1
        heapq.heappush(self._heap, (ready_at, self._sequence, entry))
        self._compact()

    def take(self, key: K) -> int:
        """Take a waiting key out early; its priority. Raises KeyError if it does not wait."""
        return self.entries.pop(key).make_void()

    def priority(self, key: K) -> int | None:
        """The priority of a waiting key, else None."""
        entry = self.entries.get(key)
        return None if entry is None else entry.priority

    def next_at(self) -> float | None:
        """When the next key is due; None if none waits."""
        while self._heap:
            ready_at, _, entry = self._heap[0]
            if not entry.is_void:
                return ready_at
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> list[tuple[K, int]]:
        """Take out every (key, priority) due at `now`, in the order of their times."""
        due: list[tuple[K, int]] = []
        while (ready_at := self.next_at()) is not None and ready_at <= now:
            entry = heapq.heappop(self._heap)[2]
            del self.entries[entry.key]
            due.append((entry.key, entry.priority))
        return due

    def clear(self) -> None:
        self.entries.clear()
        self._heap.clear()

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self.entries) + _STALE_SLACK:
            self._heap = [item for item in self._heap if not item[2].is_void]
            heapq.heapify(self._heap)
