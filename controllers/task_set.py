"""Turns coroutines into tasks that have an owner: it hears of their ends, and stops them.

`asyncio.TaskGroup` cancels everything at once when one task fails; the manager has to stop its
parts one after the other even then, so each part's tasks live in one of these.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class TaskSet:
    """Tasks that are stopped together.

    on_failure: called with the exception of each task that fails, and with a RuntimeError for one
    that ends as cancelled before `stop`: a part of it was, and the task is dead all the same.
    """

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def stop(self, *, grace_s: float) -> None:
        """Give the tasks `grace_s` seconds to end by themselves, then cancel and await them.

        Cancelled, it has cancelled the tasks and not awaited them: call it again.
        """
        self._is_stopping = True
        try:
            if self._tasks and grace_s > 0:
                await asyncio.wait(self._tasks, timeout=grace_s)
        finally:
            for task in self._tasks:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = self._failure_of(task)
        if isinstance(error, Exception):
            self._on_failure(error)

    def _failure_of(self, task: asyncio.Task[None]) -> BaseException | None:
        if not task.cancelled():
            return task.exception()
        if self._is_stopping:
            return None
        return RuntimeError(f"{task.get_name()} ended as cancelled, and nobody had asked for it")
