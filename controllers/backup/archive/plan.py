"""Decides what becomes of the pod that keeps the changes, and when a backup is taken for it. Pure.

The changes go on from the backups of the schedule. Where they can go on from none, because there is
none yet or changes were compacted away before they were kept, a backup is made at once.
"""

from collections.abc import Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Final

from api.v1alpha1.backup import BackupSpec, Continuous
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.backup.archive.observed import Archiver
from controllers.backup.archive.order import ArchiverReport
from controllers.backup.archive.render import archiver_deployment
from controllers.backup.archive.steps import ApplyArchiver, DeleteArchiver
from controllers.backup.members import members_to_ask
from controllers.backup.observed import Child, Cluster, Observed
from controllers.backup.render import child
from controllers.backup.schedule import unfinished
from controllers.backup.steps import MakeChild
from controllers.cluster.render.normal import differs

# From one backup that was made for the changes to the next: time enough for the pod to find it in
# the store. It doubles with each one that failed.
_BETWEEN_BASES: Final = timedelta(minutes=5)
_LONGEST_BETWEEN: Final = timedelta(hours=1)


def wanted(spec: BackupSpec) -> Continuous | None:
    """What is asked for, None where nothing is."""
    return spec.continuous if spec.continuous is not None and spec.continuous.enabled else None


def next_of_archive(
    observed: Observed, spec: BackupSpec
) -> ApplyArchiver | DeleteArchiver | MakeChild | None:
    """The next step for the changes; None when the schedule may go on."""
    continuous, archiver = wanted(spec), observed.archiver
    if archiver is not None and archiver.terminating:
        return None
    why = _why_not(observed, spec)
    if why:
        return None if archiver is None else _delete(archiver, why)
    saved = what_is_saved(observed)
    if continuous is None or saved is None or not observed.image:
        return None  # one that is at work goes on with what it knows
    body = archiver_deployment(observed, spec, continuous, *saved)
    if archiver is None or differs(body, archiver.live):
        return ApplyArchiver(body=body, uid=archiver.uid if archiver else None)
    return _base(observed, spec)


def _delete(archiver: Archiver, why: str) -> DeleteArchiver:
    return DeleteArchiver(name=archiver.name, uid=archiver.uid, why=why)


def what_is_saved(observed: Observed) -> tuple[Cluster, BootstrapStatus] | None:
    """The cluster and how its data began, once there is a member to ask."""
    cluster = observed.cluster
    if cluster is None or not cluster.status.cluster_id or not members_to_ask(cluster.status):
        return None
    bootstrap = cluster.status.bootstrap
    return None if bootstrap is None else (cluster, bootstrap)


def sleeps(observed: Observed) -> bool:
    """Whether nothing changes that could be kept: without members nobody writes."""
    return observed.cluster is None or observed.cluster.status.phase == "Stopped"


def _why_not(observed: Observed, spec: BackupSpec) -> str:
    if wanted(spec) is None or spec.schedule is None:
        return "spec.continuous.enabled is not set"
    if spec.suspend:
        return "spec.suspend is true"
    if sleeps(observed):
        return f"EtcdCluster {spec.cluster_name} has no members"
    return ""


def _base(observed: Observed, spec: BackupSpec) -> MakeChild | None:
    report = observed.archiver.report if observed.archiver is not None else None
    if not isinstance(report, ArchiverReport) or not report.base_needed or unfinished(observed):
        return None
    newest = max((one.scheduled for one in observed.children), default=None)
    if newest is not None and observed.now < newest + _between(observed.children):
        return None
    minute = observed.now.replace(second=0, microsecond=0)
    return MakeChild(
        body=child(observed, spec, minute), scheduled=minute, base_for=report.base_needed
    )


def _between(children: Sequence[Child]) -> timedelta:
    failures = len(list(takewhile(lambda one: one.phase == "Failed", reversed(children))))
    return min(_BETWEEN_BASES * (1 << min(failures, 10)), _LONGEST_BETWEEN)
