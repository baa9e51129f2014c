"""Reads everything that one reconcile of an EtcdRestore decides from, into one immutable
`Observed`.

From the informers' caches alone; what they can't tell, `controllers.refused_pods` adds. How a
cluster is getting on is known by its status, which its own reconciler keeps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from api.labels import (
    CONFIRM_SKIP_HASH_CHECK_ANNOTATION,
    OLD_DATA_ANNOTATION,
    RESTORE_ANNOTATION,
    RESTORE_ATTEMPT_ANNOTATION,
    RESTORE_UID_LABEL,
)
from api.objects import Invalid, read_annotation
from api.v1alpha1.restore import RestoreSpec
from api.validation import parse_backup, parse_cluster, parse_restore
from controllers.agent_jobs import read_attempt, read_job
from controllers.resources import BACKUPS, CLUSTERS, JOBS, PODS
from controllers.restore.observed import Observed, Target
from controllers.restore.order import read_examined
from controllers.restore_source import resolve
from informers.decode import Object
from informers.informer_set import ObjectReader
from informers.resource import Resource, object_key

# Indexes of the informers: by the label of the same meaning, and of EtcdRestores by the key of the
# EtcdCluster and the EtcdBackup that they name.
BY_RESTORE_UID: Final = "restore-uid"
BY_CLUSTER: Final = "cluster"
BY_BACKUP: Final = "backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where observations come from. image: the operator's own, empty when it is not known."""

    informers: Mapping[Resource, ObjectReader]
    image: str


def by_cluster(obj: Object) -> tuple[str, ...]:
    """An index of EtcdRestores by the EtcdCluster that they make or replace."""
    spec = obj.body().get("spec") or {}
    return (object_key(obj.namespace, str(spec.get("clusterName"))),)


def by_backup(obj: Object) -> tuple[str, ...]:
    """An index of EtcdRestores by the EtcdBackup that they are to restore."""
    spec = obj.body().get("spec") or {}
    namespace = str(spec.get("backupNamespace") or obj.namespace)
    return (object_key(namespace, str(spec.get("backupName"))),)


def observe(obj: dict[str, Any], sources: Sources, *, now: datetime) -> Observed:
    """What is there now."""
    parsed = parse_restore(obj)
    who, informers = parsed.identity, sources.informers
    spec = None if isinstance(parsed, Invalid) else parsed.spec
    backup = None if spec is None else _backup(who.namespace, spec, informers)
    return Observed(
        now=now,
        namespace=who.namespace,
        name=who.name,
        uid=who.uid,
        generation=who.generation,
        is_deleting=who.is_deleting,
        spec=spec,
        errors=parsed.errors if isinstance(parsed, Invalid) else (),
        status=parsed.status,
        image=sources.image,
        confirmed=read_annotation(obj, CONFIRM_SKIP_HASH_CHECK_ANNOTATION).strip() == who.name,
        source=resolve(spec.source, who.namespace, backup) if spec else None,
        recorded=None if backup is None else parse_backup(backup).status.cluster_spec,
        target=_target(who.namespace, spec, informers) if spec else None,
        jobs=tuple(read_job(one) for one in informers[JOBS].by_index(BY_RESTORE_UID, who.uid)),
        attempts=tuple(
            read_attempt(one, read_examined)
            for one in informers[PODS].by_index(BY_RESTORE_UID, who.uid)
        ),
    )


def _backup(
    namespace: str, spec: RestoreSpec, informers: Mapping[Resource, ObjectReader]
) -> dict[str, Any] | None:
    if spec.backup_name is None:
        return None
    where = spec.backup_namespace or namespace
    return informers[BACKUPS].get(object_key(where, spec.backup_name))


def _target(
    namespace: str, spec: RestoreSpec, informers: Mapping[Resource, ObjectReader]
) -> Target | None:
    found = informers[CLUSTERS].get(object_key(namespace, spec.cluster_name))
    if found is None:
        return None
    parsed = parse_cluster(found)
    who = parsed.identity
    return Target(
        uid=who.uid,
        resource_version=who.resource_version,
        is_deleting=who.is_deleting,
        maker=(found["metadata"].get("labels") or {}).get(RESTORE_UID_LABEL, ""),
        attempt=read_annotation(found, RESTORE_ATTEMPT_ANNOTATION),
        generation=who.generation,
        spec=None if isinstance(parsed, Invalid) else parsed.spec,
        status=parsed.status,
        request=read_annotation(found, RESTORE_ANNOTATION),
        old_data=read_annotation(found, OLD_DATA_ANNOTATION),
    )
