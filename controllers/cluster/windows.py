"""Turns maintenance windows and a moment into whether work that may wait can be done, or when.

Called by planning; pure. A window opens when the clock of its zone shows a time of its schedule,
skipped and repeated times included: `controllers.recurrence`.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from api.duration import parse_duration
from api.v1alpha1.maintenance import MaintenanceWindow
from controllers.recurrence import first_after

_NS_PER_US: Final = 1000


def may_disrupt(windows: tuple[MaintenanceWindow, ...], now: datetime) -> bool:
    """Whether work that may wait can be done now: a window is open, or there is none to wait for.

    Not the question for work that must not come by surprise: see is_open. `now` is aware.
    """
    return not windows or is_open(windows, now)


def is_open(windows: tuple[MaintenanceWindow, ...], now: datetime) -> bool:
    """Whether any of the windows is open now; without windows, none is.

    A window is open from each of its starts, that moment included, until its duration is over, that
    moment excluded. `now` is aware.
    """
    # Python subtracts wall clocks unless they are UTC's.
    moment = now.astimezone(UTC)
    # However many starts overlap, only the first one that can still be open is looked for.
    return any(
        _first_start_after(window, moment - _duration(window)) <= moment for window in windows
    )


def next_opening(windows: tuple[MaintenanceWindow, ...], now: datetime) -> datetime | None:
    """The first start of a window after `now`, in UTC; None when there is no window.

    While a window is open, this is not when it opened but the start that comes next. `now` is
    aware.
    """
    moment = now.astimezone(UTC)
    return min((_first_start_after(window, moment) for window in windows), default=None)


def _duration(window: MaintenanceWindow) -> timedelta:
    return timedelta(microseconds=parse_duration(window.duration) // _NS_PER_US)


def _first_start_after(window: MaintenanceWindow, moment: datetime) -> datetime:
    return first_after(window.schedule, window.time_zone, moment, repeat=True)
