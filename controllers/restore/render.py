"""The objects that the operator makes for an EtcdRestore: the Job that examines, the EtcdCluster.

Pure. The attempt is the state of the spec that is carried out: it is in the Job's name and on the
cluster, so that an operator that begins anew knows its own work.
"""

import hashlib
from typing import Any, Final

from api.labels import (
    API_VERSION,
    RESTORE_ATTEMPT_ANNOTATION,
    RESTORE_UID_LABEL,
    SKIP_HASH_CHECK_ANNOTATION,
    restore_labels,
)
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.restore import RestoreSpec
from controllers.backup.pod import MEMORY, MEMORY_FOR_CHANGES, agent_pod
from controllers.job_render import agent_job, agent_job_name
from controllers.restore.observed import Observed
from controllers.restore.order import ExamineOrder
from controllers.restore_source import Resolved

_ATTEMPT_LENGTH: Final = 10


def attempt_of(spec: RestoreSpec) -> str:
    """Changes with every edit but that of `oldData`, which asks for no other restore."""
    asked = spec.model_copy(update={"old_data": "Keep"}).model_dump_json(by_alias=True)
    return hashlib.sha256(asked.encode()).hexdigest()[:_ATTEMPT_LENGTH]


def examine_job_name(observed: Observed, spec: RestoreSpec) -> str:
    """The name of the Job: of this very object, and of this attempt."""
    return agent_job_name(observed.name, observed.uid, attempt_of(spec))


def examine_job(
    observed: Observed, spec: RestoreSpec, source: Resolved, wanted: ClusterSpec
) -> dict[str, Any]:
    """The Job that reads all of the backup. wanted: the spec of the cluster that it is for."""
    order = ExamineOrder(
        **dict(source.place),
        folder=source.store.path,
        etcd_version=str(wanted.etcd_version).removeprefix("v"),
        volume_size=int(wanted.storage.size.value),
        revision=spec.revision,
        point_in_time=spec.point_in_time,
        encrypted=source.store.encryption is not None,
        skip_hash_check=spec.skip_hash_check,
    )
    args = ["examine", "--order", order.model_dump_json(by_alias=True)]
    labels = {**restore_labels(spec.cluster_name), RESTORE_UID_LABEL: observed.uid}
    return agent_job(
        examine_job_name(observed, spec),
        observed.namespace,
        labels=labels,
        owner=_owner(observed),
        pod=agent_pod(
            source.store,
            observed.image,
            args,
            memory=MEMORY_FOR_CHANGES if spec.target else MEMORY,
        ),
    )


def cluster(observed: Observed, spec: RestoreSpec, wanted: dict[str, Any]) -> dict[str, Any]:
    """The EtcdCluster. It has no owner: deleting the EtcdRestore leaves it alone."""
    source = spec.source.to_json()
    skipping = {SKIP_HASH_CHECK_ANNOTATION: "true"} if spec.skip_hash_check else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdCluster",
        "metadata": {
            "name": spec.cluster_name,
            "namespace": observed.namespace,
            "labels": {RESTORE_UID_LABEL: observed.uid},
            "annotations": {RESTORE_ATTEMPT_ANNOTATION: attempt_of(spec), **skipping},
        },
        "spec": {**wanted, "bootstrap": {"restoreFrom": source}},
    }


def _owner(observed: Observed) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "EtcdRestore",
        "name": observed.name,
        "uid": observed.uid,
        "controller": True,
    }
