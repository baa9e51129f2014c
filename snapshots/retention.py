"""The backups there are, and a policy → which of them stay, and why. Pure.

A backup stays if any of these wants it, the first that does giving the reason:
1. It is the newest good one: something to restore from is always left.
2. It is within the limits: one of the newest `max_backups`, and no older than `max_age`.
3. It is the newest good one of an hour, a day or a week that is kept.
4. Another one that stays can't be restored without it.
Limits bound what is kept by number and age alone; the kept hours, days and weeks reach beyond them.
With neither, all stay; with kept times alone, only what they want. One that isn't good counts for
nothing but itself: it takes no place among the newest, and goes once it is beyond the limits.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from datetime import tzinfo

    _Period: TypeAlias = Callable[[datetime], Hashable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One backup.

    name: unique. time: aware; of the state that it holds. good: whole, and not found wanting when
    it was verified. needs: the name of the backup that it can't be restored without, as a log of
    changes needs its base; None for one that stands alone.
    """

    name: str
    time: datetime
    good: bool = True
    needs: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is kept. max_backups, max_age: None for no limit. keep_*: of how many of the newest
    hours, days and weeks (Monday to Sunday) that have a good backup, by the clock of `time_zone`.

    Raises ValueError for what keeps less than nothing.
    """

    max_backups: int | None = None
    max_age: timedelta | None = None
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    time_zone: tzinfo = UTC

    def __post_init__(self) -> None:
        numbers = (self.keep_hourly, self.keep_daily, self.keep_weekly)
        if self.max_backups is not None and self.max_backups < 1:
            raise ValueError("max_backups is at least 1, or None")
        if self.max_age is not None and self.max_age <= timedelta():
            raise ValueError("max_age is more than nothing, or None")
        if min(numbers) < 0:
            raise ValueError("keep_hourly, keep_daily and keep_weekly are at least 0")

    @property
    def has_limits(self) -> bool:
        return self.max_backups is not None or self.max_age is not None

    @property
    def keeps_times(self) -> bool:
        return max(self.keep_hourly, self.keep_daily, self.keep_weekly) > 0


class Reason(enum.Enum):
    """Why a backup stays."""

    LAST_GOOD = "the newest good one"
    WITHIN_LIMITS = "within the limits"
    HOURLY = "the newest of an hour that is kept"
    DAILY = "the newest of a day that is kept"
    WEEKLY = "the newest of a week that is kept"
    NEEDED = "needed by one that is kept"


def keep(records: Iterable[Record], policy: Policy, *, now: datetime) -> Mapping[str, Reason]:
    """The names of those that stay, each with its reason; the rest may be deleted.

    Delete what needs others first: then no chain is ever without its base. now: aware. Raises
    ValueError for two records of one name.
    """
    newest_first = sorted(records, key=lambda one: (one.time, one.name), reverse=True)
    by_name = {one.name: one for one in newest_first}
    if len(by_name) != len(newest_first):
        raise ValueError("two backups have the same name")
    good = [one for one in newest_first if one.good and _chain_is_good(one, by_name)]
    kept: dict[str, Reason] = {}
    for reason, wanted in (
        (Reason.LAST_GOOD, good[:1]),
        (Reason.WITHIN_LIMITS, _within_limits(newest_first, good, policy, now)),
        (Reason.HOURLY, _newest_of(good, policy.keep_hourly, _hour(policy.time_zone))),
        (Reason.DAILY, _newest_of(good, policy.keep_daily, _day(policy.time_zone))),
        (Reason.WEEKLY, _newest_of(good, policy.keep_weekly, _week(policy.time_zone))),
    ):
        for one in wanted:
            kept.setdefault(one.name, reason)
    for name in tuple(kept):
        for needed in _chain(by_name[name], by_name):
            kept.setdefault(needed.name, Reason.NEEDED)
    return kept


def deletion_order(records: Iterable[Record], kept: Mapping[str, Reason]) -> tuple[str, ...]:
    """The names of those that go: what needs another one before that one, else the oldest first."""
    going = {one.name: one for one in records if one.name not in kept}
    oldest_first = sorted(going.values(), key=lambda one: (one.time, one.name))
    depth = {one.name: len(_chain(one, going)) for one in oldest_first}
    return tuple(one.name for one in sorted(oldest_first, key=lambda one: -depth[one.name]))


def _within_limits(
    newest_first: Sequence[Record], good: Sequence[Record], policy: Policy, now: datetime
) -> list[Record]:
    if not policy.has_limits:
        return [] if policy.keeps_times else list(newest_first)
    names = {one.name for one in good}
    bad = [one for one in newest_first if one.name not in names]
    counted = [*good[: policy.max_backups], *bad[: policy.max_backups]]
    oldest = None if policy.max_age is None else now - policy.max_age
    return [one for one in counted if oldest is None or one.time >= oldest]


def _newest_of(good: Sequence[Record], count: int, period: _Period) -> list[Record]:
    newest: dict[Hashable, Record] = {}
    for one in good:
        newest.setdefault(period(one.time), one)
    return list(newest.values())[:count]


def _hour(zone: tzinfo) -> _Period:
    def hour(time: datetime) -> Hashable:
        local = time.astimezone(zone)
        # When clocks are set back an hour comes twice: fold tells the two apart.
        return local.date(), local.hour, local.fold

    return hour


def _day(zone: tzinfo) -> _Period:
    return lambda time: time.astimezone(zone).date()


def _week(zone: tzinfo) -> _Period:
    return lambda time: time.astimezone(zone).isocalendar()[:2]


def _chain(record: Record, by_name: Mapping[str, Record]) -> list[Record]:
    """What it needs, step by step, as far as that is there. A circle ends where it closes."""
    chain: list[Record] = []
    seen = {record.name}
    while record.needs is not None and record.needs in by_name and record.needs not in seen:
        seen.add(record.needs)
        record = by_name[record.needs]
        chain.append(record)
    return chain


def _chain_is_good(record: Record, by_name: Mapping[str, Record]) -> bool:
    """Whether all that it needs is there and good."""
    chain = _chain(record, by_name)
    return all(one.good for one in chain) and [record, *chain][-1].needs is None
