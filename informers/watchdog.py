"""Turns a deadline that nobody moved in time into the end of the process.

An event loop that is blocked can neither renew a lease nor cancel anything, so the one who notices
has to be a thread, and all it can do is end the process. The elector uses it while it leads, the
manager while it stops. It takes no locks, logs nothing and allocates next to nothing: at that
moment nobody knows what the main thread holds.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# How late it may notice. A suspended machine makes the clock jump past what the thread sleeps on.
_LOOK_EVERY_S = 1.0


def exit_process(reason: str) -> None:
    """Say why on standard error and end the process with status 1, without any clean-up."""
    os.write(2, f"etcd-operator: {reason}\n".encode())
    os._exit(1)


class Watchdog:
    """Calls `die(reason)` once, from its own thread, if `deadline` passes inside the `with` block.

    deadline: seconds on `clock`, which must not depend on the event loop to advance; assign it to
    move it.
    """

    def __init__(
        self,
        reason: str,
        *,
        deadline: float,
        clock: Callable[[], float],
        die: Callable[[str], None] = exit_process,
    ) -> None:
        self.deadline = deadline
        self._reason = reason
        self._clock = clock
        self._die = die
        self._ended = threading.Event()
        # A daemon: it must not keep the process alive that it is there to end.
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        remaining_s = self.deadline - self._clock()
        while not self._ended.wait(min(remaining_s, _LOOK_EVERY_S)):
            remaining_s = self.deadline - self._clock()
            if remaining_s <= 0:
                self._die(self._reason)
                return
