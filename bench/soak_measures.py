"""What bench/soak.py holds at a moment: memory, objects, tasks, descriptors; and how that rises."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBC = ctypes.CDLL("libc.so.6")


@dataclass(frozen=True, slots=True)
class Sample:
    minute: float
    memory_mb: float
    trimmed_mb: float
    objects: int


async def sample(minute: float) -> Sample:
    memory_mb = anonymous_mb()
    gc.collect()
    objects = len(gc.get_objects())
    # Its process may have to wait for others; our loop must not.
    return Sample(minute, memory_mb, await asyncio.to_thread(trimmed_mb), objects)


def anonymous_mb() -> float:
    """Resident memory but for files, which a fork does not have."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def trimmed_mb() -> float:
    """What would be held if the allocator kept nothing for later."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        LIBC.malloc_trim(0)
        os.write(writer, str(anonymous_mb()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        return float(answer.read())


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the line through the points, by least squares."""
    mean_x, mean_y = mean(xs), mean(ys)
    over = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - mean_x) ** 2 for x in xs)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count


def tasks() -> list[str]:
    return sorted(task.get_name() for task in asyncio.all_tasks())
