"""A process that only sleeps, and by how many milliseconds it woke up late each time.

Benchmarks of delays start it beside themselves (`api_server.oversleeping`) to tell their own part
from the machine's.  Ends on SIGTERM and prints what it found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

NAP_S = 0.002


class Stop(BaseException):
    """We are asked to end."""


def stop(*_: object) -> None:
    raise Stop


def main() -> None:
    late: list[float] = []
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with contextlib.suppress(Stop):
        signal.signal(signal.SIGTERM, stop)
        while True:
            started = time.perf_counter()
            time.sleep(NAP_S)
            late.append((time.perf_counter() - started - NAP_S) * 1e3)
    print(*late)


if __name__ == "__main__":
    main()
