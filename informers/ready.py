"""Turns pushes of (key, priority) into the order in which keys are handed out.

`WorkQueue` calls it for keys that are ready now. It knows no clock, no loop and no delays: callers
pass the time a key was added, and get it back.

Order, by rule:

1. A key is in here once; pushing it again keeps the higher of both priorities.
2. Higher priority first, first in first out inside a priority. A key that is raised goes to the end
   of its new priority; none is ever lowered.
3. Nothing starves. Of the pops that pass over keys of lower priority, every tenth goes to the
   lower-priority key that has waited longest. So a restart's work at -100 gets a tenth of the
   workers even under an endless stream at 0, and work at 0 never less than nine tenths of them.

Ageing by time (each priority point worth so many seconds) was rejected: after a restart all old
keys age together, and then a fresh change waits behind thousands of them, which is what priorities
are there to prevent.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

K = TypeVar("K", bound="Hashable")

FAIR_EVERY = 10
# Empty levels are kept, as they cost more to make than to skip, but not without end.
_MAX_LEVELS = 25


class _Level(Generic[K]):
    """The keys of one priority in a row.

    A raised key cannot be taken out of the middle cheaply: `stale` counts how many of its places
    in the row, from the front, are void. The first place of the row is never void, so the row is
    empty when no key is left.
    """

    __slots__ = ("priority", "row", "stale")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.row: deque[K] = deque()
        self.stale: Counter[K] = Counter()

    def leave(self, key: K) -> None:
        self.stale[key] += 1
        self.trim()

    def trim(self) -> None:
        while self.row and self.row[0] in self.stale:
            key = self.row.popleft()
            self.stale[key] -= 1
            if not self.stale[key]:
                del self.stale[key]


class ReadyKeys(Generic[K]):
    """Keys that are ready, in the order above. All calls take O(1), amortised."""

    __slots__ = ("_entries", "_levels", "_levels_by_priority", "_passed_over")

    def __init__(self) -> None:
        self._entries: dict[K, tuple[int, float]] = {}  # (priority, added_at)
        self._levels: list[_Level[K]] = []  # highest priority first
        self._levels_by_priority: dict[int, _Level[K]] = {}
        self._passed_over = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def push(self, key: K, priority: int, added_at: float) -> bool:
        """Take the key in, or raise it; True if it was not here before.

        A key that is raised keeps the time of its first add.
        """
        known = self._entries.get(key)
        if known is not None:
            if priority <= known[0]:
                return False
            added_at = known[1]
            self._levels_by_priority[known[0]].leave(key)
        self._entries[key] = priority, added_at
        level = self._levels_by_priority.get(priority)
        if level is None:
            level = self._new_level(priority)
        level.row.append(key)
        return known is None

    def pop(self) -> tuple[K, int, float] | None:
        """The next (key, priority, added_at); None if there is none."""
        chosen: _Level[K] | None = None
        for level in self._levels:
            if level.row:
                if chosen is not None:  # and now it is about to pass over this one
                    self._passed_over += 1
                    if self._passed_over >= FAIR_EVERY:
                        chosen = self._longest_waiting_below(chosen)
                    break
                chosen = level
        if chosen is None:
            return None
        key = chosen.row.popleft()
        if chosen.stale:
            chosen.trim()
        priority, added_at = self._entries.pop(key)
        return key, priority, added_at

    def priority(self, key: K) -> int | None:
        """The priority of a key that is here, else None."""
        known = self._entries.get(key)
        return None if known is None else known[0]

    def depth(self) -> tuple[tuple[int, int], ...]:
        """(priority, number of keys), highest priority first."""
        return tuple(
            (level.priority, len(level.row) - level.stale.total()) for level in self._levels
        )

    def clear(self) -> None:
        self._entries.clear()
        for level in self._levels:
            level.row.clear()
            level.stale.clear()

    def _longest_waiting_below(self, first: _Level[K]) -> _Level[K]:
        """The level whose first key has waited longest, but for the highest one (rule 3)."""
        self._passed_over = 0
        below = [level for level in self._levels if level.row and level is not first]
        return min(below, key=self._oldest)

    def _oldest(self, level: _Level[K]) -> float:
        return self._entries[level.row[0]][1]

    def _new_level(self, priority: int) -> _Level[K]:
        if len(self._levels) >= _MAX_LEVELS:
            self._levels = [level for level in self._levels if level.row]
        level = _Level[K](priority)
        self._levels.append(level)
        self._levels.sort(key=lambda each: each.priority, reverse=True)
        self._levels_by_priority = {each.priority: each for each in self._levels}
        return level
