"""Reads everything that one reconcile of an EtcdBackup decides from, into one immutable `Observed`.

From the informers' caches alone; what they can't tell, `refusals` adds. The members of the cluster
are known by its status, which its own reconciler keeps, and nobody here speaks to etcd or to a
store.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.labels import EXPIRED_ANNOTATION, SCHEDULED_AT_ANNOTATION, VERIFY_ANNOTATION
from api.objects import Invalid
from api.validation import parse_backup, parse_cluster
from controllers.agent_jobs import read_attempt, read_job
from controllers.backup.archive.observed import read_archiver
from controllers.backup.observed import Child, Cluster, Observed
from controllers.backup.order import read_answer
from controllers.pod_pages import PodPages
from controllers.resources import BACKUPS, CLUSTERS, DEPLOYMENTS, JOBS, PODS
from informers.informer_set import ObjectReader
from informers.resource import Resource, object_key

# Indexes of the informers, by the labels of the same meaning.
BY_BACKUP_UID = "backup-uid"
BY_SCHEDULE_UID = "schedule-uid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where observations come from. image: the operator's own, empty when it is not known. pages:
    what reads the pages of pods.
    """

    informers: Mapping[Resource, ObjectReader]
    image: str
    pages: PodPages


def observe(obj: dict[str, Any], sources: Sources, *, now: datetime) -> Observed:
    """What is there now."""
    parsed = parse_backup(obj)
    who, informers = parsed.identity, sources.informers
    spec = None if isinstance(parsed, Invalid) else parsed.spec
    pods = informers[PODS].by_index(BY_BACKUP_UID, who.uid)
    children = [_child(one) for one in informers[BACKUPS].by_index(BY_SCHEDULE_UID, who.uid)]
    return Observed(
        now=now,
        namespace=who.namespace,
        name=who.name,
        uid=who.uid,
        generation=who.generation,
        created=_time(obj["metadata"]["creationTimestamp"]),
        is_deleting=who.is_deleting,
        spec=spec,
        errors=parsed.errors if isinstance(parsed, Invalid) else (),
        status=parsed.status,
        image=sources.image,
        expired=_annotations(obj).get(EXPIRED_ANNOTATION) == "true",
        verify_request=_annotations(obj).get(VERIFY_ANNOTATION, ""),
        cluster=_cluster(who.namespace, spec.cluster_name, informers) if spec else None,
        jobs=tuple(read_job(one) for one in informers[JOBS].by_index(BY_BACKUP_UID, who.uid)),
        attempts=tuple(read_attempt(one, read_answer) for one in pods),
        children=tuple(sorted(filter(None, children), key=lambda one: one.scheduled)),
        archiver=read_archiver(informers[DEPLOYMENTS].by_index(BY_BACKUP_UID, who.uid), pods),
    )


def _cluster(
    namespace: str, name: str, informers: Mapping[Resource, ObjectReader]
) -> Cluster | None:
    found = informers[CLUSTERS].get(object_key(namespace, name))
    if found is None:
        return None
    parsed = parse_cluster(found)
    return Cluster(uid=parsed.identity.uid, status=parsed.status)


def _child(obj: dict[str, Any]) -> Child | None:
    """None for what has our label and was not made by us: it tells no time.

    Read by hand: there may be thousands, and to validate each takes too long for one reconcile.
    """
    metadata = obj["metadata"]
    try:
        scheduled = _time(_annotations(obj)[SCHEDULED_AT_ANNOTATION])
    except (KeyError, ValueError, TypeError):
        return None
    if scheduled.tzinfo is None:
        return None
    status = obj.get("status") or {}
    phase, completed = str(status.get("phase", "")), status.get("completionTime")
    conditions = status.get("conditions") or ()
    ready: dict[str, Any] = next((one for one in conditions if one.get("type") == "Ready"), {})
    return Child(
        name=metadata["name"],
        uid=metadata["uid"],
        scheduled=scheduled,
        phase=phase,
        completed=_time(completed) if phase == "Completed" and completed else None,
        message=str(ready.get("message", "")),
        terminating="deletionTimestamp" in metadata,
        expired=_annotations(obj).get(EXPIRED_ANNOTATION) == "true",
        verified=str((status.get("verified") or {}).get("result", "")),
    )


def _annotations(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
