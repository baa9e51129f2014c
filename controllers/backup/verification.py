"""Decides when a backup is tried out, and what is known then. Pure.

A backup that was taken once is tried out for each text by which that is asked: once when it is
completed, where its spec says so, and whenever its annotation has another value than before. A
schedule of verifications writes that annotation on its newest good backup.
"""

from datetime import UTC, datetime
from typing import Final

from api.reasons import Reason
from api.v1alpha1.backup import BackupSpec, Verification
from controllers.agent_jobs import Attempt, Job, failure_of, may_still_speak, progress_of
from controllers.backup.observed import Child, Observed
from controllers.backup.order import Failed, Proven, failed
from controllers.backup.place import holds, store_of
from controllers.backup.render import verification_job, verification_job_name
from controllers.backup.schedule import last_due
from controllers.backup.steps import (
    AskVerification,
    FinishVerification,
    MakeVerification,
    Verifying,
)

# How a verification is called that nobody asked for by name.
ON_COMPLETION: Final = "completion"
# The backup's own fault; with any other reason nothing is known of it.
_FOUND_WANTING: Final = frozenset(
    {
        Reason.BACKUP_NOT_FOUND,
        Reason.BACKUP_UNREADABLE,
        Reason.BACKUP_INCOMPLETE,
        Reason.BACKUP_DAMAGED,
        Reason.RESTORE_FAILED,
        Reason.VERIFICATION_FAILED,
    }
)


def next_of_verification(
    observed: Observed, spec: BackupSpec
) -> MakeVerification | FinishVerification | Verifying | None:
    """The next step for a completed backup; None where none is asked for, or it has come to its
    end.
    """
    request = _request(observed, spec)
    if request is None:
        return None
    done = observed.status.verified
    if done is not None and done.request == request:
        return None
    name = verification_job_name(observed, request)
    job = next((one for one in observed.jobs if one.name == name), None)
    if job is None:
        obstacle = _obstacle(observed, spec)
        if obstacle is not None:
            return FinishVerification(request=request, answer=obstacle)
        return MakeVerification(body=verification_job(observed, spec, request))
    attempts = [one for one in observed.attempts if one.job_uid == job.uid]
    answer = _answer(job, attempts, observed.now)
    if answer is not None:
        return FinishVerification(request=request, answer=answer)
    progress = progress_of(job, attempts, Reason.BACKUP_VERIFYING)
    return Verifying(reason=progress.reason, message=progress.message, stalled=progress.stalled)


def next_to_ask(observed: Observed, spec: BackupSpec) -> AskVerification | None:
    """Which backup of a schedule is to be tried out now: the newest good one, at a time of the
    schedule for that. Where there is none yet, the first one is.
    """
    verify = spec.verify
    if verify is None or not verify.enabled or verify.schedule is None:
        return None
    since = observed.status.last_verification_time or observed.created
    due = last_due(verify.schedule, spec.time_zone, since, observed.now)
    newest = _newest_good(observed.children)
    if due is None or newest is None:
        return None
    return AskVerification(
        name=newest.name, uid=newest.uid, due=due, request=f"{due.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
    )


def result_of(step: FinishVerification, now: datetime) -> Verification:
    """What the status tells of it."""
    match step.answer:
        case Proven() as proven:
            return Verification(
                request=step.request,
                time=proven.proven_at,
                result="Passed",
                reason=Reason.BACKUP_VERIFIED.value,
                message=_what_is_equal(proven),
            )
        case Failed() as answer:
            wanting = answer.reason in _FOUND_WANTING
            return Verification(
                request=step.request,
                time=now.astimezone(UTC).replace(microsecond=0),
                result="Failed" if wanting else "Unknown",
                reason=answer.failed,
                message=answer.message,
            )


def _what_is_equal(proven: Proven) -> str:
    equal = [f"revision {proven.etcd_revision}"]
    if proven.keys is not None:
        equal.append(f"{proven.keys} keys")
    if proven.kv_hash is not None:
        equal.append(f"etcd's hash {proven.kv_hash:#010x}")
    return f"etcd {proven.etcd_version} serves what was saved: {', '.join(equal)}"


def _request(observed: Observed, spec: BackupSpec) -> str | None:
    if observed.verify_request:
        return observed.verify_request
    return ON_COMPLETION if spec.verify is not None and spec.verify.enabled else None


def _obstacle(observed: Observed, spec: BackupSpec) -> Failed | None:
    """Why no Job can try it out."""
    path = observed.status.storage_path
    if not holds(store_of(spec), path):
        message = f"The backup is at {path}, which is not in the store that the spec names"
        return failed(Reason.VERIFICATION_NOT_DONE, message)
    if observed.status.encryption_key_id and spec.encryption is None:
        message = "The backup is encrypted, and spec.encryption is gone"
        return failed(Reason.ENCRYPTION_KEY_MISSING, message)
    if not observed.image:
        message = "The operator does not know its own image: start it with --image"
        return failed(Reason.OPERATOR_IMAGE_UNKNOWN, message)
    return None


def _answer(job: Job, attempts: list[Attempt], now: datetime) -> Proven | Failed | None:
    """Its pod's word counts, whatever Kubernetes makes of the pod."""
    said = next((one.answer for one in attempts if isinstance(one.answer, Proven)), None)
    if said is not None:
        return said
    if job.failure is not None and not may_still_speak(job, attempts, now):
        return failure_of(job, attempts, Reason.VERIFICATION_NOT_DONE)
    if job.complete and all(one.ended for one in attempts):
        return failed(Reason.VERIFICATION_NOT_DONE, "Its pod is gone, and with it the result")
    return None


def _newest_good(children: tuple[Child, ...]) -> Child | None:
    good = [one for one in children if one.good and not one.expired and not one.terminating]
    return max(good, key=lambda one: one.scheduled, default=None)
