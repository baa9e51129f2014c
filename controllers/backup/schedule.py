"""Decides what a schedule does next: a backup that is due, or the time of the next one. Pure.

No time is served twice: what was made is known by the children's annotations and by
`status.lastScheduleTime`, whichever is later, and a child's name is that of its time. Of several
times that passed unserved only the last one is made up for.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from api.reasons import Reason
from api.schedule import expand_cron
from api.v1alpha1.backup import BackupSpec
from controllers.backup.observed import Child, Observed
from controllers.backup.render import child
from controllers.backup.steps import (
    Await,
    DeleteChild,
    MakeChild,
    Step,
    Suspended,
    Wait,
)
from controllers.recurrence import first_after

# A schedule's shortest interval.
_MINUTE: Final = timedelta(minutes=1)


def next_of_schedule(observed: Observed, spec: BackupSpec) -> Step:
    """The next step; the spec has a schedule."""
    if spec.suspend:
        return Suspended()
    upcoming = next_time(observed, spec)
    assert spec.schedule is not None
    due = last_due(spec.schedule, spec.time_zone, served_until(observed), observed.now)
    if due is None:
        return _clock_is_behind(observed, spec) or Await(due=upcoming)
    deadline = spec.starting_deadline_seconds
    if deadline is not None and observed.now - due > timedelta(seconds=deadline):
        return Await(due=upcoming, missed=due)
    active = unfinished(observed)
    policy = spec.concurrency_policy
    if active and policy == "Replace":
        return DeleteChild(name=active[0].name, uid=active[0].uid)
    # Also with Allow: those that can't begin pile up, and would all begin at once one day.
    awaited = [one for one in active if policy == "Forbid" or not one.begun]
    if awaited:
        state = "is not finished" if awaited[0].begun else "has not begun"
        message = f"The backup of {_text(due)} waits for {awaited[0].name}, which {state}"
        return Wait(reason=Reason.BACKUP_RUNNING, message=message)
    return MakeChild(body=child(observed, spec, due), scheduled=due)


def next_time(observed: Observed, spec: BackupSpec) -> datetime:
    """The next time that a backup is made for, also where one was made for a time to come."""
    assert spec.schedule is not None
    after = max(observed.now, served_until(observed))
    return due_after(spec.schedule, spec.time_zone, after)


def _clock_is_behind(observed: Observed, spec: BackupSpec) -> Wait | None:
    """Whether times to come are served already, beyond the one that a clock's correction takes."""
    assert spec.schedule is not None
    served = served_until(observed)
    if served <= due_after(spec.schedule, spec.time_zone, observed.now):
        return None
    message = (
        f"It is {_text(observed.now)} by the operator's clock, and times up to {_text(served)} are"
        " served already: correct the clock; if it is right and was ahead once, make another"
        " EtcdBackup with this schedule"
    )
    return Wait(reason=Reason.CLOCK_BEHIND, message=message, stalled=True)


def served_until(observed: Observed) -> datetime:
    """Every time up to this one was served, or passed before there was a schedule."""
    served = [one.scheduled for one in observed.children]
    recorded = observed.status.last_schedule_time
    return max([observed.created, *served, *([recorded] if recorded else [])])


def unfinished(observed: Observed) -> tuple[Child, ...]:
    return tuple(one for one in observed.children if not one.finished)


def due_after(schedule: str, time_zone: str, moment: datetime) -> datetime:
    """The first time of the schedule after that moment."""
    fields = expand_cron(schedule)
    # As cron does it: what runs at every hour goes on through the hour that comes twice, and what
    # runs at a certain one runs once (crontab(5) of Debian).
    every_hour = fields.split()[1].startswith("*")
    return first_after(fields, time_zone, moment, repeat=every_hour)


def last_due(schedule: str, time_zone: str, after: datetime, until: datetime) -> datetime | None:
    """The last time of the schedule after the one moment and not after the other.

    It looks back in steps that double, so that a long absence costs no more than a short one.
    """
    width = _MINUTE
    while True:
        start = max(after, until - width)
        due = due_after(schedule, time_zone, start)
        if due <= until:
            break
        if start == after:
            return None
        width *= 2
    while (later := due_after(schedule, time_zone, due)) <= until:
        due = later
    return due


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
