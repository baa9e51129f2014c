"""One reconcile of one EtcdCluster: observe, plan, act one step, write status, tell, requeue.

Called by a worker with a key.  Holds no state of a cluster between reconciles but what must not be
in the API (connections, the echo of our own writes, metrics).
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from api.v1alpha1.cluster_status import ClusterStatus
from controllers.cluster.act import perform
from controllers.cluster.happenings import happenings
from controllers.cluster.metrics import ClusterMetrics
from controllers.cluster.observe import Sources, observe
from controllers.cluster.observed import JsonObject, Observed
from controllers.cluster.outcome import Altered, Changed, Done, Hashed, NotYet, Outcome, Rejected
from controllers.cluster.plan import plan as plan_for
from controllers.cluster.plan.steps import Plan, Wait
from controllers.cluster.status import next_status
from controllers.events import EventRecorder
from controllers.resources import CLUSTERS
from controllers.runtime import Result
from controllers.writer import Writer
from informers.errors import ConflictError, NotFoundError
from informers.expectations import OwnWrites
from informers.resource import Resource

# The informer's event for the echo of our write wakes the key at once; this is the insurance.
_ECHO_RECHECK_S = 1.0
# What the server refused may be mended without an event for us: a quota, a stranger's object.
_REJECTED_RECHECK_S = 10.0
# etcd tells by no event that a learner has caught up, or that all were connected for five seconds.
_NOT_YET_S = 0.2
_STILL_NOT_S = 2.0
_YOUNG = timedelta(seconds=20)
_JITTER = 0.2

log = structlog.get_logger()


class ClusterReconciler:
    """Brings one EtcdCluster a step nearer to its spec at each call."""

    def __init__(
        self,
        sources: Sources,
        *,
        own_writes: OwnWrites,
        events: EventRecorder,
        metrics: ClusterMetrics,
        now: Callable[[], datetime],
        remaining_s: Callable[[], float],
    ) -> None:
        self._sources = sources
        self._own_writes = own_writes
        self._events = events
        self._metrics = metrics
        self._now = now
        self._remaining_s = remaining_s

    async def reconcile(self, key: str) -> Result:
        """One step. Raises KubeError when the API server fails; the queue retries with backoff."""
        if self._own_writes.waiting_for(key, self._last_seen):
            return Result(requeue_after_s=_ECHO_RECHECK_S)
        obj = self._sources.informers[CLUSTERS].get(key)
        if obj is None:
            await self._forget(key)
            return Result()
        observed = await observe(obj, self._sources, now=self._now())
        plan = plan_for(observed)
        log.debug("planned", rule=plan.rule, step=str(plan.step))
        writer = Writer(
            self._sources.api,
            self._own_writes,
            key,
            remaining_s=self._remaining_s,
            outside=self._sources.outside,
        )
        outcome = None if isinstance(plan.step, Wait) else await self._act(plan, observed, writer)
        status = next_status(observed, plan, outcome)
        await self._write_status(obj, observed, status, writer)
        for happening in happenings(observed, plan, outcome, status):
            await self._events.record(CLUSTERS, obj, happening, now=observed.now)
        self._metrics.observe(observed, status)
        return Result(requeue_after_s=_requeue_s(observed, plan, outcome))

    async def _act(self, plan: Plan, observed: Observed, writer: Writer) -> Outcome:
        assert not isinstance(plan.step, Wait)
        tried = observed.status.plan is not None and observed.status.plan.action == str(plan.step)
        tell = log.debug if tried else log.info  # etcd is asked again and again until it agrees
        tell("acting", rule=plan.rule, step=str(plan.step))
        outcome = await perform(plan.step, observed, writer, self._sources.channels)
        match outcome:
            case Changed(what=what):
                log.info("changed meanwhile, planning again", what=what)
            case Rejected(message=message):
                log.warning("refused by the API server", message=message)
            case NotYet(message=message):
                log.debug("not yet", message=message)
            case Altered(refused=str(message)) if message:
                log.info("not carried out by etcd", message=message)
            case Done() | Hashed() | Altered():
                pass
        return outcome

    async def _write_status(
        self, obj: JsonObject, observed: Observed, status: ClusterStatus, writer: Writer
    ) -> None:
        """Write what changed, under the resourceVersion it was read at.

        A conflict means that the object changed meanwhile: its event brings the next reconcile, and
        recorded intents are planned again from what is there then.
        """
        if status == observed.status:
            return
        try:
            await writer.replace_status(CLUSTERS, {**obj, "status": status.to_json()})
        except (ConflictError, NotFoundError) as error:
            log.info("status not written, planning again", error=str(error))

    async def _forget(self, key: str) -> None:
        self._own_writes.forget(key)
        self._metrics.forget(key)
        self._sources.certificates.forget(key)
        self._sources.auth.forget(key)
        await self._sources.channels.forget(key)

    def _last_seen(self, resource: Resource, object_key: str) -> str:
        informers = self._sources.informers.get(resource)
        return informers.last_resource_version_of(object_key) if informers else ""


def _requeue_s(observed: Observed, plan: Plan, outcome: Outcome | None) -> float:
    """Seconds to the next look, jittered so that a thousand clusters don't come at once."""
    if isinstance(outcome, NotYet):
        recheck_s = _NOT_YET_S if _is_young(observed) else _STILL_NOT_S
    elif isinstance(outcome, Rejected):
        recheck_s = _REJECTED_RECHECK_S
    elif isinstance(plan.step, Wait):
        recheck_s = plan.step.recheck_s
    elif isinstance(outcome, Changed):
        return 0.0  # with backoff: whoever changes things may not have finished
    else:
        return 0.001  # the step was taken: at once, as soon as its echo is there
    return recheck_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - a spread, no secret


def _is_young(observed: Observed) -> bool:
    """Whether a change has just begun, and is likely to be over soon."""
    joining = observed.status.joining
    return joining is None or observed.now < joining.since + _YOUNG
