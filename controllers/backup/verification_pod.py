"""The pod that tries out a backup: it is restored as for a member, and an etcd serves it.

    fetch     `agent verify fetch`      the backup → restore/snapshot.db, proven whole
    restore   `etcdutl`                 → restore/data, as in a restore
    etcd      serves restore/data to this pod alone
    agent     `agent verify compare`    asks it, tells what came of it, and ends etcd

All of it is in an emptyDir, and goes with the pod. The agent's word counts, whatever becomes of
etcd: told to end it does so by the signal, which Kubernetes takes for a failure. Pure.
"""

from typing import Any, Final

from api.labels import DATA_MOUNT_PATH, ETCD_CONTAINER
from api.v1alpha1.backup import BackupSpec
from controllers.backup.order import GIVE_UP, USAGE
from controllers.backup.pod import agent_pod
from controllers.pod_security import container_security_context
from controllers.restore.order import (
    FETCH_CONTAINER,
    RESTORE_CONTAINER,
    RestoreOrder,
    etcdutl_arguments,
)
from controllers.restore.private_etcd import LOOPBACK_PEER_URL, private_etcd_arguments

# Below the volume's root: the certificate of this etcd, and of whoever calls it.
TLS_FOLDER: Final = "tls"
PEER_URL: Final = LOOPBACK_PEER_URL
_VOLUME: Final = "data"
# 128 and the number of SIGTERM.
_ENDED_BY_THE_AGENT: Final = 143
# etcd's log, and what the file system needs.
_SPARE_BYTES: Final = 256 << 20
_MOUNT: Final = {"name": _VOLUME, "mountPath": DATA_MOUNT_PATH}


def verification_pod(
    spec: BackupSpec, image: str, etcd_image: str, order: RestoreOrder, database_size: int
) -> dict[str, Any]:
    """The pod's spec. image: the operator's; database_size: in bytes."""
    text = order.model_dump_json(by_alias=True)
    pod = agent_pod(spec, image, ["verify", "fetch", "--order", text])
    (fetch,) = pod["containers"]
    agent = {**fetch, "args": ["agent", "verify", "compare", "--order", text], "env": []}
    space = 2 * database_size + _SPARE_BYTES
    tool = _of_etcd(
        RESTORE_CONTAINER, etcd_image, ["/usr/local/bin/etcdutl", *etcdutl_arguments(order)]
    )
    etcd = _of_etcd(ETCD_CONTAINER, etcd_image, ["/usr/local/bin/etcd", *etcd_arguments(order)])
    return {
        **pod,
        "shareProcessNamespace": True,
        "volumes": [*pod["volumes"], {"name": _VOLUME, "emptyDir": {"sizeLimit": str(space)}}],
        "initContainers": [
            {
                **fetch,
                "name": FETCH_CONTAINER,
                "volumeMounts": [*fetch["volumeMounts"], _MOUNT],
                "resources": _with_space(fetch["resources"], space),
            },
            tool,
        ],
        "containers": [
            {
                **agent,
                "volumeMounts": [_MOUNT],
                "resources": _with_space(agent["resources"], space),
            },
            etcd,
        ],
    }


def etcd_arguments(order: RestoreOrder) -> list[str]:
    """What etcd is called with."""
    return private_etcd_arguments(order, tls_folder=TLS_FOLDER, listen_peer_url=order.peer_url)


def failure_rules() -> list[dict[str, Any]]:
    """Of the Job's podFailurePolicy, after those that every Job of ours has."""
    return [
        _fail(FETCH_CONTAINER, [USAGE, GIVE_UP]),
        _fail(ETCD_CONTAINER, [_ENDED_BY_THE_AGENT]),
    ]


def _fail(container: str, codes: list[int]) -> dict[str, Any]:
    on = {"containerName": container, "operator": "In", "values": codes}
    return {"action": "FailJob", "onExitCodes": on}


def _with_space(resources: dict[str, Any], space: int) -> dict[str, Any]:
    """The scheduler then finds a node that has it."""
    return {**resources, "requests": {**resources["requests"], "ephemeral-storage": str(space)}}


def _of_etcd(name: str, image: str, command: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "volumeMounts": [_MOUNT],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # How much memory it takes depends on the keys that are in it.
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "securityContext": container_security_context(),
    }
