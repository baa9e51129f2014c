"""Decides which backups of a schedule go, by `snapshots.retention`. Pure.

Only finished ones are looked at. What is already marked is going, and counts for nothing: so the
newest good one that stays is never one that goes. The newest of all stays as well: where it failed,
it is what says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from api.duration import parse_duration
from api.v1alpha1.backup import BackupSpec, RetentionPolicy
from controllers.backup.observed import Child, Observed
from snapshots.retention import Policy, Reason, Record, deletion_order, keep

_NS_PER_US = 1000


def first_expired(observed: Observed, spec: BackupSpec) -> Child | None:
    """The backup that goes next, None when all that there are stay."""
    policy = _policy(spec.retention_policy, ZoneInfo(spec.time_zone))
    if not (policy.has_limits or policy.keeps_times):
        return None
    finished = {
        one.name: one
        for one in observed.children
        if one.phase in {"Completed", "Failed"} and not one.expired and not one.terminating
    }
    records = [
        Record(name=one.name, time=one.scheduled, good=one.good) for one in finished.values()
    ]
    policy = _without_age_of_all(policy, records, observed.now)
    newest = max(records, key=lambda one: one.time, default=None)
    kept = dict(keep(records, policy, now=observed.now))
    if spec.continuous is not None and spec.continuous.enabled:
        kept = _before(records, policy, observed.now) | kept
    going = deletion_order(records, kept)
    return next((finished[name] for name in going if newest and name != newest.name), None)


def _before(records: Sequence[Record], policy: Policy, now: datetime) -> dict[str, Reason]:
    """With changes kept, every state of the last max_age can be restored: the first of them go on
    from the newest good backup before.
    """
    if policy.max_age is None:
        return {}
    older = [one for one in records if one.good and one.time <= now - policy.max_age]
    newest = max(older, key=lambda one: (one.time, one.name), default=None)
    return {} if newest is None else {newest.name: Reason.NEEDED}


def _without_age_of_all(policy: Policy, records: Sequence[Record], now: datetime) -> Policy:
    """Where all good ones are too old backups have stopped, or the clock is ahead: wait and see."""
    newest = max((one.time for one in records if one.good), default=None)
    if policy.max_age is None or newest is None or newest >= now - policy.max_age:
        return policy
    # Not without a limit: kept hours, days and weeks alone would let all others go.
    return replace(policy, max_age=now - min(one.time for one in records))


def _policy(asked: RetentionPolicy, time_zone: ZoneInfo) -> Policy:
    age = None if asked.max_age is None else parse_duration(asked.max_age) // _NS_PER_US
    # Of both, nothing and 0 mean no limit.
    return Policy(
        max_backups=asked.max_backups or None,
        max_age=timedelta(microseconds=age) if age else None,
        keep_hourly=asked.keep_hourly or 0,
        keep_daily=asked.keep_daily or 0,
        keep_weekly=asked.keep_weekly or 0,
        time_zone=time_zone,
    )
