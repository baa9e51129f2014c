"""What the status of an EtcdBackup tells of its changes: windows, how far they are kept, and the
condition ArchiverReady. Pure.

Times and revisions move all the time: they are written when something else changes, or a minute
has passed. Metrics tell them as they are.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from api.conditions import ConditionStatus, ConditionType, find_condition, set_condition
from api.reasons import Reason
from api.v1alpha1.backup import (
    MAX_WINDOWS,
    ArchiveStatus,
    BackupSpec,
    BackupStatus,
    Window,
)
from api.v1alpha1.common import Condition
from controllers.backup.archive.observed import ArchiverPod, Silence
from controllers.backup.archive.order import ArchiverReport
from controllers.backup.archive.plan import sleeps, wanted, what_is_saved
from controllers.backup.archive.render import archiver_name
from controllers.backup.archive.steps import ApplyArchiver
from controllers.backup.observed import Observed
from controllers.backup.outcome import Outcome, Rejected
from controllers.backup.steps import Step

_WRITTEN_EVERY: Final = timedelta(minutes=1)
# From its start to the first answer: reading what is in the store may take a while.
_FIRST_ANSWER: Final = timedelta(minutes=1)

Verdict = tuple[ConditionStatus, Reason, str]


def archive_status(observed: Observed, conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """The fields of the status. `conditions`: the new ones."""
    before = observed.status
    if observed.spec is None:
        return {}
    if wanted(observed.spec) is None:
        return {"archive": None}  # what was kept stays restorable: the windows stay
    name = archiver_name(observed)
    report = report_of(observed)
    if report is None:
        return {"archive": (before.archive or ArchiveStatus()).model_copy(update={"name": name})}
    windows = report.windows[-MAX_WINDOWS:]
    after = ArchiveStatus(
        name=name,
        revision=report.revision,
        time=report.time,
        cluster_revision=report.cluster_revision,
        lag_seconds=math.ceil(report.unarchived_seconds),
    )
    turned = _status_of(conditions) != _status_of(before.conditions)
    if not turned and _may_wait(before, after, windows):
        return {}
    return {"archive": after, "windows": windows}


def archiver_verdict(observed: Observed, step: Step, outcome: Outcome | None) -> Verdict | None:
    """ArchiverReady and why; None where no changes are asked for."""
    spec = observed.spec
    if spec is None or wanted(spec) is None:
        return None
    if isinstance(step, ApplyArchiver) and isinstance(outcome, Rejected):
        return "False", outcome.reason, outcome.message
    return _without_work(observed, spec) or _of_deployment(observed)


def with_archiver_ready(
    observed: Observed, conditions: tuple[Condition, ...], verdict: Verdict | None
) -> tuple[Condition, ...]:
    """The conditions with ArchiverReady, or without where it means nothing."""
    if verdict is None:
        return tuple(one for one in conditions if one.type != ConditionType.ARCHIVER_READY)
    status, reason, message = verdict
    return set_condition(
        conditions,
        ConditionType.ARCHIVER_READY,
        status,
        reason=reason,
        message=message,
        now=observed.now,
        generation=observed.generation,
    )


def report_of(observed: Observed) -> ArchiverReport | None:
    """What the pod told just now."""
    report = observed.archiver.report if observed.archiver is not None else None
    return report if isinstance(report, ArchiverReport) else None


def _without_work(observed: Observed, spec: BackupSpec) -> Verdict | None:
    """Why there is to be no pod."""
    if spec.suspend:
        return "False", Reason.SUSPENDED, "spec.suspend is true: no changes are kept"
    if observed.cluster is None:
        told = f"spec.clusterName: there is no EtcdCluster {spec.cluster_name} in the namespace"
        return "False", Reason.CLUSTER_NOT_FOUND, told
    is_new = observed.archiver is None
    if sleeps(observed) or (is_new and what_is_saved(observed) is None):
        told = f"EtcdCluster {spec.cluster_name} has no member whose changes could be kept"
        return "False", Reason.NO_MEMBER_RUNS, told
    if is_new and not observed.image:
        told = "The operator does not know its own image: start it with --image, or OPERATOR_IMAGE"
        return "False", Reason.OPERATOR_IMAGE_UNKNOWN, told
    return None


def _of_deployment(observed: Observed) -> Verdict:
    archiver = observed.archiver
    if archiver is None or archiver.pod is None:
        if archiver is not None and archiver.refusal:
            return "False", Reason.PODS_REFUSED, archiver.refusal
        told = f"Deployment {archiver_name(observed)} has no pod yet"
        return "False", Reason.ARCHIVER_STARTING, told
    return _of_pod(archiver.pod, archiver.report, observed.now)


def _of_pod(pod: ArchiverPod, report: ArchiverReport | Silence | None, now: datetime) -> Verdict:
    if pod.obstacle is not None:
        reason, words = pod.obstacle
        return "False", reason, f"Pod {pod.name}: {words}"
    if pod.started is None and pod.failure is not None:
        return "False", pod.failure.reason, f"Pod {pod.name} starts again: {pod.failure.message}"
    if pod.started is None:
        ended = f", after it ended: {pod.last_words}" if pod.last_words else ""
        return "False", Reason.ARCHIVER_STARTING, f"Pod {pod.name} starts{ended}"
    if isinstance(report, ArchiverReport):
        return _of_report(pod, report)
    if now < pod.started + _FIRST_ANSWER:
        return "False", Reason.ARCHIVER_STARTING, f"Pod {pod.name} has begun"
    why = report.why if report is not None else "it has no address"
    return "Unknown", Reason.ARCHIVER_SILENT, f"Pod {pod.name}: {why}"


def _of_report(pod: ArchiverPod, report: ArchiverReport) -> Verdict:
    if report.failing is not None:
        return "False", report.failing.reason, f"Pod {pod.name}: {report.failing.message}"
    if report.base_needed:
        return "False", Reason.BASE_NEEDED, report.base_needed
    return "True", Reason.ARCHIVING, "Changes are kept as they come"


def _may_wait(before: BackupStatus, after: ArchiveStatus, windows: Sequence[Window]) -> bool:
    """Whether nothing is new but numbers that were written less than a minute ago."""
    old = before.archive
    if old is None or (old.time is None) != (after.time is None):
        return False
    begins = [(one.base, one.start_revision) for one in windows]
    if begins != [(one.base, one.start_revision) for one in before.windows]:
        return False
    return old.time is None or after.time is None or after.time < old.time + _WRITTEN_EVERY


def _status_of(conditions: Sequence[Condition]) -> str:
    found = find_condition(conditions, ConditionType.ARCHIVER_READY)
    return "" if found is None else found.status
