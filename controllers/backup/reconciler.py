"""One reconcile of one EtcdBackup: observe, plan, act one step, write status, tell, requeue."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from controllers.backup.act import perform
from controllers.backup.archive.ask import asked
from controllers.backup.archive.metrics import ArchiveMetrics
from controllers.backup.archive.plan import wanted
from controllers.backup.happenings import happenings
from controllers.backup.metrics import BackupMetrics
from controllers.backup.observe import Sources, observe
from controllers.backup.observed import Observed
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.plan import plan
from controllers.backup.status import next_status
from controllers.backup.steps import (
    Action,
    Await,
    Step,
    Suspended,
    Verifying,
    Wait,
)
from controllers.events import EventRecorder
from controllers.refused_pods import with_refusals
from controllers.resources import BACKUPS
from controllers.runtime import Result
from controllers.writer import Writer
from informers.expectations import OwnWrites
from informers.resource import Resource
from informers.wire import KubeApi

# The informer's event for the echo of our write wakes the key at once; this is the insurance.
_ECHO_RECHECK_S = 1.0
# What the server refused may be mended without an event for us, and so may a cluster.
_RECHECK_S = 10.0
# The clock on the wall may be set meanwhile: a schedule looks at it now and then.
_LONGEST_S = 300.0
_JITTER = 0.2

log = structlog.get_logger()


class BackupReconciler:
    """Brings one EtcdBackup a step nearer to its end, or its schedule to the next time."""

    def __init__(
        self,
        sources: Sources,
        api: KubeApi,
        *,
        own_writes: OwnWrites,
        events: EventRecorder,
        metrics: BackupMetrics,
        archive_metrics: ArchiveMetrics,
        now: Callable[[], datetime],
        remaining_s: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._api = api
        self._own_writes = own_writes
        self._events = events
        self._metrics = metrics
        self._archive_metrics = archive_metrics
        self._now = now
        self._remaining_s = remaining_s

    async def reconcile(self, key: str) -> Result:
        """One step. Raises KubeError when the API server fails; the queue retries with backoff."""
        if self._own_writes.waiting_for(key, self._last_seen):
            return Result(requeue_after_s=_ECHO_RECHECK_S)
        obj = self._sources.informers[BACKUPS].get(key)
        if obj is None:
            self._own_writes.forget(key)
            self._metrics.forget(key)
            self._archive_metrics.forget(key)
            return Result()
        observed = await self._observe(obj)
        step = plan(observed)
        log.debug("planned", step=type(step).__name__)
        writer = Writer(self._api, self._own_writes, key, remaining_s=self._remaining_s)
        outcome = await self._act(step, observed, writer)
        status = next_status(observed, step, outcome)
        await writer.write_status(BACKUPS, obj, observed.status, status)
        for happening in happenings(observed, step, outcome, status):
            await self._events.record(BACKUPS, obj, happening, now=observed.now)
        self._metrics.observe(observed, status)
        self._archive_metrics.observe(observed, status)
        return Result(requeue_after_s=_requeue_s(observed, step, outcome))

    async def _observe(self, obj: dict[str, Any]) -> Observed:
        """From the caches; and what no cache tells: why a Job has no pod, and how far the pod is
        that keeps the changes.
        """
        seen = observe(obj, self._sources, now=self._now())
        jobs = await with_refusals(seen.jobs, seen.attempts, seen.namespace, self._api)
        archiver = seen.archiver
        if archiver is not None and not archiver.terminating:
            archiver = await asked(archiver, seen.namespace, self._sources.pages)
        return replace(seen, jobs=jobs, archiver=archiver)

    async def _act(self, step: Step, observed: Observed, writer: Writer) -> Outcome | None:
        if not isinstance(step, Action):
            return None
        log.info("acting", step=type(step).__name__)
        outcome = await perform(step, observed, writer)
        if isinstance(outcome, Rejected):
            log.warning("refused by the API server", message=outcome.message)
        return outcome

    def _last_seen(self, resource: Resource, object_key: str) -> str:
        informers = self._sources.informers.get(resource)
        return informers.last_resource_version_of(object_key) if informers else ""


def _requeue_s(observed: Observed, step: Step, outcome: Outcome | None) -> float | None:
    """Seconds to the next look; None where only a change can bring something new."""
    if isinstance(outcome, Rejected):
        recheck_s = _RECHECK_S
    elif outcome is not None:
        return 0.001  # the step was taken: at once, as soon as its echo is there
    elif isinstance(step, Wait | Verifying):
        recheck_s = _RECHECK_S
    elif isinstance(step, Await):
        return min(_until(step.due, observed.now), _archiver_recheck_s(observed))
    elif isinstance(step, Suspended):
        recheck_s = _LONGEST_S  # its backups grow old all the same
    else:
        return None
    return recheck_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - a spread, no secret


def _archiver_recheck_s(observed: Observed) -> float:
    """Seconds until the pod that keeps the changes is asked again, which never tells by itself; or
    until there is a member that it can follow: nobody tells of those either.
    """
    if observed.spec is None or wanted(observed.spec) is None:
        return _LONGEST_S
    return _RECHECK_S * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - a spread, no secret


def _until(due: datetime, now: datetime) -> float:
    """Not before it is due: a timer that is early by a little would find nothing to do."""
    left = due - now + timedelta(milliseconds=10)
    return min(left.total_seconds(), _LONGEST_S)
