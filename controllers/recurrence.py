"""Turns a cron expression, a time zone and a moment into the next moment that it is due.

Called by planning; pure. It is due when the clock of the zone shows a time of the schedule:
1. a time that the clock skips is the moment at which it jumps, so that none falls away;
2. of a time that it shows twice, both moments count or the first one alone, as the caller says.
cronsim itself is asked about wall clocks only: its own rules for zones depend on where an asterisk
stands, and miss times where a clock is set by half an hour.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

_MINUTE: Final = timedelta(minutes=1)
# Two moments a minute for each schedule of many clusters: a guess, about 100 kB.
_REMEMBERED: Final = 1024


def first_after(schedule: str, time_zone: str, moment: datetime, *, repeat: bool) -> datetime:
    """The first moment after `moment` at which the schedule is due, in UTC.

    `schedule` has five fields and is checked (`api.schedule`), `moment` is aware. `repeat`: whether
    a time that the clock shows twice is due twice.
    """
    # Offsets from UTC, and so due moments, have been whole minutes since 1972: all moments of a
    # minute are followed by the same one.
    minute = moment.astimezone(UTC).replace(second=0, microsecond=0)
    return _first_after_minute(schedule, time_zone, minute, (0, 1) if repeat else (0,))


@lru_cache(maxsize=_REMEMBERED)
def _first_after_minute(
    schedule: str, time_zone: str, minute: datetime, folds: tuple[int, ...]
) -> datetime:
    zone = ZoneInfo(time_zone)
    local = minute.astimezone(zone)
    # What the clock shows twice around now. The second showing of times that are before the first
    # one's is still to come; everything before `begin` is over for good.
    repeated = _offset(local, fold=0) - _offset(local, fold=1)
    begin = _wall_clock(local) - repeated
    return min(
        next(
            due
            for shown in CronSim(schedule, begin)
            if (due := _moment_of(shown, zone, fold=fold)) > minute
        )
        for fold in folds
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
