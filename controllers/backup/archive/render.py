"""The Deployment of the one pod that keeps the changes. Pure.

Recreate: the pod before ends before the next one begins, so that two at work are the exception,
which the log in the store itself is safe against.
"""

from typing import Any, Final

from api.duration import parse_duration
from api.labels import archiver_labels
from api.tls_decision import tls_of
from api.v1alpha1.backup import BackupSpec, Continuous
from api.v1alpha1.cluster_status import BootstrapStatus
from controllers.backup.archive.order import HEALTH_PAGE, PORT, ArchiveOrder
from controllers.backup.members import members_to_ask
from controllers.backup.observed import Cluster, Observed
from controllers.backup.place import store_of
from controllers.backup.pod import agent_pod
from controllers.backup.render import caller_secret, folder_name, owner_of
from controllers.job_render import agent_job_name

# For what is in its hands to get into the store.
_GRACE_S: Final = 30
_NS_PER_MS: Final = 10**6
# Measured with etcd 3.6: 361 MiB with the largest maxBytes there may be; 343 MiB for a million keys
# that one request has deleted, before they are written.
_MEMORY: Final = "1Gi"


def archiver_name(observed: Observed) -> str:
    """The Deployment's name: of this very object."""
    return agent_job_name(observed.name, observed.uid, "changes")


def archiver_deployment(
    observed: Observed,
    spec: BackupSpec,
    continuous: Continuous,
    cluster: Cluster,
    bootstrap: BootstrapStatus,
) -> dict[str, Any]:
    """The Deployment, as it is to be.

    The members stand in the order of their names: who leads, or is ready, changes the pod's order
    of asking at its next start and must not be the reason for one.
    """
    order = ArchiveOrder(
        namespace=observed.namespace,
        cluster=spec.cluster_name,
        cluster_id=cluster.status.cluster_id,
        epoch=bootstrap.epoch,
        name=folder_name(observed),
        members=tuple(sorted(members_to_ask(cluster.status), key=lambda one: one.name)),
        tls=tls_of(bootstrap, cluster.status.tls).client,
        compression=spec.compression,
        encrypted=spec.encryption is not None,
        flush_interval_ms=parse_duration(continuous.flush_interval) // _NS_PER_MS,
        max_bytes=continuous.max_bytes,
        **dict(store_of(spec)),
    )
    args = ["archive", "--order", order.model_dump_json(by_alias=True)]
    secret = caller_secret(spec, cluster) if order.tls else None
    labels = archiver_labels(spec.cluster_name, observed.uid)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": archiver_name(observed),
            "namespace": observed.namespace,
            "labels": labels,
            "ownerReferences": [owner_of(observed)],
        },
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(agent_pod(spec, observed.image, args, tls_secret=secret)),
            },
        },
    }


def _pod(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod of a Job, made into one that goes on, and says how far it is."""
    (container,) = pod["containers"]
    probe = {
        "httpGet": {"path": HEALTH_PAGE, "port": PORT},
        "periodSeconds": 10,
        "timeoutSeconds": 5,
    }
    return {
        **pod,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": _GRACE_S,
        "containers": [
            {
                **container,
                "resources": {**container["resources"], "limits": {"memory": _MEMORY}},
                "ports": [{"name": "status", "containerPort": PORT, "protocol": "TCP"}],
                "livenessProbe": {**probe, "failureThreshold": 6, "initialDelaySeconds": 10},
            }
        ],
    }
