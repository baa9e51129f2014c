"""The volume claim of a restored cluster's first member, and the pod that puts the backup's data on
it before the member exists.

Pure.  The pod is placed like a member's (node selector, tolerations, zones: its volume stays where
it was made) and has no token for the API server.  It fetches with the operator's image, and makes
the data directory with etcd's own tool of the member's version; its three containers run one after
the other (`controllers.restore.order`), with a target and an etcd beside the last one.
"""

from collections.abc import Mapping
from typing import Any, Final

from api.labels import (
    CLAIM_ANNOTATION,
    DATA_MOUNT_PATH,
    ETCD_CONTAINER,
    data_volume_name,
    pod_name,
    restore_pod_labels,
    restore_pod_name,
    volume_claim_name,
)
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import RestoreRecord
from api.v1alpha1.restore_source import StoreSource
from controllers.backup.order import MESSAGE_PATH, Place
from controllers.backup.pod import MEMORY, MEMORY_FOR_CHANGES, agent_pod
from controllers.cluster.render.identity import Identity
from controllers.cluster.render.meta import metadata
from controllers.cluster.render.pods import claim_template
from controllers.pod_security import container_security_context
from controllers.restore.order import (
    FETCH_CONTAINER,
    FINISH_CONTAINER,
    RESTORE_CONTAINER,
    RestoreOrder,
    etcdutl_arguments,
)
from controllers.restore.private_etcd import replay_arguments

SEED: Final = 0  # the ordinal of the first member
# Of the members' pod: what decides where it can be started, and as whom it writes.
_POD_FIELDS: Final = (
    "imagePullSecrets",
    "nodeSelector",
    "tolerations",
    "runtimeClassName",
    "schedulerName",
    "priorityClassName",
    "securityContext",
)
_CONTAINER_FIELDS: Final = ("imagePullPolicy", "resources", "securityContext")
# As for a backup: the largest database that etcd recommends at half a megabyte a second.
_DEADLINE_S: Final = 6 * 3600
# Nothing in it is worth waiting for: whoever comes next begins anew.
_GRACE_S: Final = 5


def seed_claim(identity: Identity, spec: ClusterSpec) -> dict[str, Any]:
    """The claim as the StatefulSet controller makes it of the template (k8s.io/kubernetes
    pkg/controller/statefulset/stateful_set_utils.go, getPersistentVolumeClaims).
    """
    template = claim_template(identity, spec)
    return {
        **template,
        "metadata": {
            **template["metadata"],
            "name": volume_claim_name(identity.name, SEED, identity.epoch),
            "namespace": identity.namespace,
        },
    }


def restore_order(identity: Identity, spec: ClusterSpec, record: RestoreRecord) -> RestoreOrder:
    """What the pod is told."""
    store = StoreSource.model_validate(record.store)
    place = Place(s3=store.s3, gcs=store.gcs, azure=store.azure, local=store.local)
    return RestoreOrder(
        **dict(place),
        token=identity.token,
        folder=store.path.strip("/"),
        member=pod_name(identity.name, SEED),
        peer_url=identity.peer_url(SEED),
        etcd_version=spec.version.removeprefix("v"),
        bump_revision=record.bump_revision,
        revision=record.revision,
        point_in_time=record.point_in_time,
        encrypted=store.encryption is not None,
        skip_hash_check=record.skip_hash_check,
    )


def restore_pod(
    identity: Identity,
    spec: ClusterSpec,
    template: Mapping[str, Any],
    record: RestoreRecord,
    *,
    image: str,
) -> dict[str, Any]:
    """The pod. `template`: the members' pod template; `image`: the operator's."""
    order = restore_order(identity, spec, record)
    said = order.model_dump_json(by_alias=True)
    store = StoreSource.model_validate(record.store)
    memory = MEMORY_FOR_CHANGES if order.target else MEMORY
    fetching = agent_pod(store, image, ["restore", "fetch", "--order", said], memory=memory)
    member, volume = template["spec"], data_volume_name(identity.epoch)
    data = {"name": volume, "mountPath": DATA_MOUNT_PATH}
    (fetch,) = fetching["containers"]
    finish = {**fetch, "args": ["agent", "restore", "finish", "--order", said], "env": []}
    affinity = (member.get("affinity") or {}).get("nodeAffinity")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **metadata(
                identity,
                restore_pod_name(identity.name, identity.epoch),
                annotations={CLAIM_ANNOTATION: record.claim},
            ),
            "labels": restore_pod_labels(identity.name, identity.uid),
        },
        "spec": {
            **fetching,
            **{key: member[key] for key in _POD_FIELDS if key in member},
            **({"affinity": {"nodeAffinity": affinity}} if affinity else {}),
            "activeDeadlineSeconds": _DEADLINE_S,
            "terminationGracePeriodSeconds": _GRACE_S,
            "initContainers": [
                {**fetch, "name": FETCH_CONTAINER, "volumeMounts": [data, *fetch["volumeMounts"]]},
                _etcdutl(member, order, data),
            ],
            "containers": [
                {**finish, "name": FINISH_CONTAINER, "volumeMounts": [data]},
                *([_etcd(member, order, data)] if order.target else []),
            ],
            # The agent ends the etcd beside it.
            **({"shareProcessNamespace": True} if order.target else {}),
            "volumes": [
                {
                    "name": volume,
                    "persistentVolumeClaim": {
                        "claimName": volume_claim_name(identity.name, SEED, identity.epoch)
                    },
                },
                *fetching["volumes"],
            ],
        },
    }


def _etcdutl(
    member: Mapping[str, Any], order: RestoreOrder, data: Mapping[str, Any]
) -> dict[str, Any]:
    command = ["/usr/local/bin/etcdutl"]
    return _of_etcd(member, RESTORE_CONTAINER, command, etcdutl_arguments(order), data)


def _etcd(
    member: Mapping[str, Any], order: RestoreOrder, data: Mapping[str, Any]
) -> dict[str, Any]:
    command = ["/usr/local/bin/etcd"]
    return _of_etcd(member, ETCD_CONTAINER, command, replay_arguments(order), data)


def _of_etcd(
    member: Mapping[str, Any],
    name: str,
    command: list[str],
    args: list[str],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    etcd = next(c for c in member["containers"] if c["name"] == ETCD_CONTAINER)
    return {
        "securityContext": container_security_context(),
        **{key: etcd[key] for key in _CONTAINER_FIELDS if key in etcd},
        "name": name,
        "image": etcd["image"],
        "command": command,
        "args": args,
        "volumeMounts": [data],
        "terminationMessagePath": MESSAGE_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
