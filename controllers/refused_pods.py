"""Why the pods of a StatefulSet or a Job are not made.

Their controllers say so nowhere but in an event (k8s.io/kubernetes pkg/controller/statefulset and
pkg/controller/controller_utils.go, FailedCreate).
"""

from collections.abc import Iterable
from dataclasses import replace

from controllers.agent_jobs import Attempt, Job
from controllers.resources import EVENTS
from informers.wire import KubeApi


async def newest_refusal(api: KubeApi, namespace: str, owner_uid: str) -> str:
    """The newest complaint about the pods of this object; empty when there is none.

    Raises KubeError.
    """
    selector = f"involvedObject.uid={owner_uid},reason=FailedCreate"
    events = await api.list(EVENTS, namespace=namespace, field_selector=selector)
    events.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    # "... is being deleted" passes by itself: it is said while a member is being replaced.
    said = [str(event.get("message", "")) for event in events]
    said = [message for message in said if "is being deleted" not in message]
    return said[-1] if said else ""


async def with_refusals(
    jobs: Iterable[Job], attempts: Iterable[Attempt], namespace: str, api: KubeApi
) -> tuple[Job, ...]:
    """The same Jobs, with the words about each that is to make a pod and has none.

    Raises KubeError.
    """
    begun = {one.job_uid for one in attempts}
    return tuple([await _asked_about(job, begun, namespace, api) for job in jobs])


async def _asked_about(job: Job, begun: set[str], namespace: str, api: KubeApi) -> Job:
    has_ended = job.complete or job.failure is not None or job.terminating
    if has_ended or job.uid in begun:
        return job
    return replace(job, refusal=await newest_refusal(api, namespace, job.uid))
