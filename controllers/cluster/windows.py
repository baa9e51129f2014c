"""Turns maintenance windows and a moment into whether work that may wait can be done, or when.

Called by planning; pure. A window opens when the clock of its zone shows a time of its schedule:
1. a time that the clock skips is the moment at which it jumps, so that no window falls away;
2. a time that it shows twice is both moments: "hourly" stays hourly, and a window that is longer
   than the hour in between ends when the clock says so.
cronsim itself is asked about wall clocks only: its own rules for zones depend on where an asterisk
stands, and miss times where a clock is set by half an hour.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

from api.duration import parse_duration
from api.v1alpha1.maintenance import MaintenanceWindow

_MINUTE: Final = timedelta(minutes=1)
_NS_PER_US: Final = 1000
# Two moments a minute for each window of many clusters: a guess, about 100 kB.
_REMEMBERED: Final = 1024


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
    # Offsets from UTC, and so starts, have been whole minutes since 1972: all moments of a minute
    # are followed by the same start.
    minute = moment.replace(second=0, microsecond=0)
    return _first_start_after_minute(window.schedule, window.time_zone, minute)


@lru_cache(maxsize=_REMEMBERED)
def _first_start_after_minute(schedule: str, time_zone: str, minute: datetime) -> datetime:
    zone = ZoneInfo(time_zone)
    local = minute.astimezone(zone)
    # What the clock shows twice around now. The second showing of times that are before the first
    # one's is still to come; everything before `begin` is over for good.
    repeated = _offset(local, fold=0) - _offset(local, fold=1)
    begin = _wall_clock(local) - repeated
    return min(
        next(
            start
            for shown in CronSim(schedule, begin)
            if (start := _moment_of(shown, zone, fold=fold)) > minute
        )
        for fold in (0, 1)
    )


def _offset(local: datetime, *, fold: int) -> timedelta:
    return local.replace(fold=fold).utcoffset() or timedelta()


def _wall_clock(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0)


def _moment_of(shown: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    """When the zone's clock shows this, for the first (fold 0) or the last time (1), in UTC.

    For a time that it skips, when it jumps. A later `shown` never gives an earlier moment.
    """
    while True:
        moment = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if _wall_clock(moment.astimezone(zone)) == shown:
            return moment
        shown += _MINUTE
