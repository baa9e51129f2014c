"""Reads which backups there are of a cluster: when it was last saved, and where one more would go.

Only schedules and single ones of the cluster's own namespace: what a schedule made, the schedule
itself tells of, and there may be thousands.  Pure.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from api.labels import SCHEDULE_UID_LABEL
from api.objects import Invalid
from api.v1alpha1.backup import BackupStatus
from api.validation import parse_backup
from controllers.backup.render import once
from controllers.cluster.observed import KnownBackup
from informers.decode import Object
from informers.resource import object_key

BY_CLUSTER_NAME: Final = "cluster-name"


def by_cluster_name(obj: Object) -> tuple[str, ...]:
    """An index of EtcdBackups by the key of the cluster that they save."""
    if SCHEDULE_UID_LABEL in obj.labels:
        return ()
    spec = obj.body().get("spec") or {}
    if spec.get("clusterNamespace") not in {None, "", obj.namespace}:
        return ()
    return (object_key(obj.namespace, str(spec.get("clusterName", ""))),)


def known_backup(obj: Mapping[str, Any]) -> KnownBackup:
    """What an EtcdBackup says of itself. Of an invalid one nothing more can be made."""
    parsed = parse_backup(obj)
    status = parsed.status
    is_target = not isinstance(parsed, Invalid) and parsed.spec.schedule is not None
    return KnownBackup(
        name=obj["metadata"]["name"],
        phase=status.phase,
        completed=_completed(status),
        message=next((c.message for c in status.conditions if c.type == "Ready"), ""),
        template=once(parsed.spec) if is_target and not isinstance(parsed, Invalid) else None,
    )


def _completed(status: BackupStatus) -> datetime | None:
    """Of a schedule: when its last good backup was."""
    if status.last_successful_time is not None:
        return status.last_successful_time
    return status.completion_time if status.phase == "Completed" else None
