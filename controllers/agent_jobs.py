"""The Jobs that work with the operator's own image, for backups and restores: what the caches tell
of them, and what that means. Pure.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from api.labels import STORAGE_PATH_ANNOTATION
from api.reasons import Reason
from api.v1alpha1.common import Model
from controllers.backup.order import Failed, failed
from controllers.backup.pod import CONTAINER
from controllers.pod_obstacles import obstacle_of
from controllers.restore.order import RESTORE_CONTAINER

_LONGEST_WORDS: Final = 500
_ENDED_BY_A_SIGNAL: Final = 128
# Between a Job's failure and the pod's own word on it, or the pod's disappearance.
_PATIENCE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A Job of ours. failure: the server's words once it was given up, at failed_at.

    storage_path: where in the store it puts the backup; empty for one that puts nothing there.
    refusal: why its pod is not made.
    """

    name: str
    uid: str
    complete: bool = False
    failure: str | None = None
    failed_at: datetime | None = None
    storage_path: str = ""
    refusal: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A pod of a Job. answer: what it said at its end, if it said anything that we understand.

    last_words: its termination message otherwise. obstacle: why it does not start.
    """

    created: datetime
    job_uid: str
    ended: bool
    answer: Model | None = None
    last_words: str = ""
    obstacle: tuple[Reason, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a Job that has not ended is getting on. stalled: whether it takes a person."""

    reason: Reason
    message: str
    stalled: bool = False


def read_job(obj: dict[str, Any]) -> Job:
    """A Job as the cache has it."""
    conditions = _true_conditions(obj.get("status", {}))
    failure = conditions.get("Failed") or conditions.get("FailureTarget")
    annotations = obj["metadata"].get("annotations") or {}
    return Job(
        name=obj["metadata"]["name"],
        uid=obj["metadata"]["uid"],
        complete="Complete" in conditions,
        failure=None if failure is None else str(failure.get("message", "the Job failed")),
        failed_at=_time(failure["lastTransitionTime"]) if failure else None,
        storage_path=annotations.get(STORAGE_PATH_ANNOTATION, ""),
        terminating="deletionTimestamp" in obj["metadata"],
    )


def read_attempt(obj: dict[str, Any], read: Callable[[str], Model | None]) -> Attempt:
    """A pod as the cache has it; `read` understands termination messages."""
    status = obj.get("status", {})
    name, end = _end(status)
    message = str(end.get("message", ""))
    answer = read(message)
    ended = status.get("phase") in {"Succeeded", "Failed"}
    if answer is None and name == RESTORE_CONTAINER and end["exitCode"] < _ENDED_BY_A_SIGNAL:
        # etcd's tool knows none of our answers: its log is what it says.
        answer = failed(Reason.RESTORE_FAILED, f"etcdutl: {_last_words(status, end, message)}")
    return Attempt(
        created=_time(obj["metadata"]["creationTimestamp"]),
        job_uid=_controller_uid(obj["metadata"].get("ownerReferences") or ()),
        ended=ended,
        answer=answer,
        last_words=_last_words(status, end, message) if ended and answer is None else "",
        obstacle=None if ended else obstacle_of(status),
    )


def may_still_speak(job: Job, attempts: Iterable[Attempt], now: datetime) -> bool:
    """Our cache of pods may be a little behind the Job's; a node that is gone never speaks."""
    is_fresh = job.failed_at is not None and now < job.failed_at + _PATIENCE
    return is_fresh and any(not one.ended for one in attempts)


def failure_of(job: Job, attempts: Iterable[Attempt], otherwise: Reason) -> Failed:
    """The last pod's own words, before Kubernetes' about the Job."""
    attempts = list(attempts)
    last = _last_ended(attempts)
    if last is not None and isinstance(last.answer, Failed):
        return last.answer
    # One that was ended because it never started tells more than "deadline exceeded".
    obstacle = next((one.obstacle for one in attempts if one.obstacle is not None), None)
    if obstacle is not None:
        return failed(*obstacle)
    words = [job.failure or "", last.last_words if last else ""]
    return failed(otherwise, ": ".join(filter(None, words)))


def progress_of(job: Job, attempts: Iterable[Attempt], running: Reason) -> Progress:
    """What its pods do, or what keeps them from it."""
    attempts = list(attempts)
    obstacle = next((one.obstacle for one in attempts if one.obstacle and not one.ended), None)
    if obstacle is not None:
        reason, words = obstacle
        return Progress(reason=reason, message=f"The pod of Job {job.name}: {words}", stalled=True)
    if job.refusal and not attempts:
        message = f"The pod of Job {job.name} is not made: {job.refusal}"
        return Progress(reason=Reason.PODS_REFUSED, message=message, stalled=True)
    last = _last_ended(attempts)
    if last is not None:
        told = last.answer.message if isinstance(last.answer, Failed) else last.last_words
        reason = last.answer.reason if isinstance(last.answer, Failed) else running
        words = told or "its pod ended without a word"
        return Progress(reason=reason, message=f"Job {job.name} tries again: {words}")
    return Progress(reason=running, message=f"Job {job.name} is at work")


def _last_ended(attempts: Iterable[Attempt]) -> Attempt | None:
    ended = [one for one in attempts if one.ended]
    return max(ended, key=lambda one: one.created, default=None)


def _end(status: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Which container has the last word, and how it ended: the agent's, or the first that failed
    before it could start.
    """
    for one in status.get("initContainerStatuses", ()):
        end = one.get("state", {}).get("terminated")
        if end and end.get("exitCode"):
            return str(one.get("name", "")), end
    for one in status.get("containerStatuses", ()):
        if one.get("name") == CONTAINER:
            return CONTAINER, one.get("state", {}).get("terminated") or {}
    return "", {}


def _last_words(status: dict[str, Any], end: dict[str, Any], message: str) -> str:
    """Of the process, or of who ended it: out of memory, evicted, ..."""
    if not end:
        return str(status.get("message") or status.get("reason") or "")
    words = f"exit code {end.get('exitCode')} ({end.get('reason', 'unknown')})"
    return f"{words}: {message.strip()[-_LONGEST_WORDS:]}" if message.strip() else words


def _controller_uid(owners: Iterable[dict[str, Any]]) -> str:
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _true_conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
