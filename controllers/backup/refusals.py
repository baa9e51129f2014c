"""Adds to an observation why a Job has no pod: the one thing that no cache tells."""

from dataclasses import replace

from controllers.backup.observed import Job, Observed
from controllers.refused_pods import newest_refusal
from informers.wire import KubeApi


async def with_refusals(observed: Observed, api: KubeApi) -> Observed:
    """The same, with the words about each Job that is to make a pod and has none.

    Raises KubeError.
    """
    jobs = [await _asked_about(job, observed, api) for job in observed.jobs]
    return replace(observed, jobs=tuple(jobs))


async def _asked_about(job: Job, observed: Observed, api: KubeApi) -> Job:
    has_ended = job.complete or job.failure is not None or job.terminating
    if has_ended or any(one.job_uid == job.uid for one in observed.attempts):
        return job
    return replace(job, refusal=await newest_refusal(api, observed.namespace, job.uid))
