"""Reads everything that one reconcile of an EtcdBackup decides from, into one immutable `Observed`.

From the informers' caches alone; what they can't tell, `refusals` adds. The members of the cluster
are known by its status, which its own reconciler keeps, and nobody here speaks to etcd or to a
store.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.labels import EXPIRED_ANNOTATION, SCHEDULED_AT_ANNOTATION, STORAGE_PATH_ANNOTATION
from api.objects import Invalid
from api.validation import parse_backup, parse_cluster
from controllers.backup.observed import Attempt, Child, Cluster, Job, Observed
from controllers.backup.order import read_answer
from controllers.backup.pod import CONTAINER
from controllers.pod_obstacles import obstacle_of
from controllers.resources import BACKUPS, CLUSTERS, JOBS, PODS
from informers.informer_set import ObjectReader
from informers.resource import Resource, object_key

# Indexes of the informers, by the labels of the same meaning.
BY_BACKUP_UID = "backup-uid"
BY_SCHEDULE_UID = "schedule-uid"
_LONGEST_WORDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where observations come from. image: the operator's own, empty when it is not known."""

    informers: Mapping[Resource, ObjectReader]
    image: str


def observe(obj: dict[str, Any], sources: Sources, *, now: datetime) -> Observed:
    """What is there now."""
    parsed = parse_backup(obj)
    who, informers = parsed.identity, sources.informers
    spec = None if isinstance(parsed, Invalid) else parsed.spec
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
        cluster=_cluster(who.namespace, spec.cluster_name, informers) if spec else None,
        jobs=tuple(_job(one) for one in informers[JOBS].by_index(BY_BACKUP_UID, who.uid)),
        attempts=tuple(_attempt(one) for one in informers[PODS].by_index(BY_BACKUP_UID, who.uid)),
        children=tuple(sorted(filter(None, children), key=lambda one: one.scheduled)),
    )


def _cluster(
    namespace: str, name: str, informers: Mapping[Resource, ObjectReader]
) -> Cluster | None:
    found = informers[CLUSTERS].get(object_key(namespace, name))
    if found is None:
        return None
    parsed = parse_cluster(found)
    return Cluster(uid=parsed.identity.uid, status=parsed.status)


def _job(obj: dict[str, Any]) -> Job:
    conditions = _true_conditions(obj.get("status", {}))
    failure = conditions.get("Failed") or conditions.get("FailureTarget")
    return Job(
        name=obj["metadata"]["name"],
        uid=obj["metadata"]["uid"],
        complete="Complete" in conditions,
        failure=None if failure is None else str(failure.get("message", "the Job failed")),
        failed_at=_time(failure["lastTransitionTime"]) if failure else None,
        storage_path=_annotations(obj).get(STORAGE_PATH_ANNOTATION, ""),
        terminating="deletionTimestamp" in obj["metadata"],
    )


def _attempt(obj: dict[str, Any]) -> Attempt:
    status = obj.get("status", {})
    ends = [
        one.get("state", {}).get("terminated")
        for one in status.get("containerStatuses", ())
        if one.get("name") == CONTAINER
    ]
    end = next(iter(ends), None) or {}
    message = str(end.get("message", ""))
    answer = read_answer(message)
    ended = status.get("phase") in {"Succeeded", "Failed"}
    return Attempt(
        created=_time(obj["metadata"]["creationTimestamp"]),
        job_uid=_controller_uid(obj["metadata"].get("ownerReferences") or ()),
        ended=ended,
        answer=answer,
        last_words=_last_words(status, end, message) if ended and answer is None else "",
        obstacle=None if ended else obstacle_of(status),
    )


def _last_words(status: dict[str, Any], end: dict[str, Any], message: str) -> str:
    """Of the process, or of who ended it: out of memory, evicted, ..."""
    if not end:
        return str(status.get("message") or status.get("reason") or "")
    words = f"exit code {end.get('exitCode')} ({end.get('reason', 'unknown')})"
    return f"{words}: {message.strip()[-_LONGEST_WORDS:]}" if message.strip() else words


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
    )


def _annotations(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def _controller_uid(owners: Iterable[dict[str, Any]]) -> str:
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _true_conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {c["type"]: c for c in status.get("conditions") or () if c.get("status") == "True"}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
