"""What only the machine under a Kubernetes can do: signals to containers, hands on volumes.

Everything goes through `hack/node/node.py exec`, inside the node's namespaces.
"""

import sys

from e2e.harness.kube import CHECKOUT, Kube, Object, run

CONTAINERD = "/run/containerd/containerd.sock"
PODS = "/run/node/kubelet/pods"


def inside(*command: object) -> tuple[object, ...]:
    """The command that runs `command` where pods and Services are routable."""
    return (sys.executable, CHECKOUT / "hack/node/node.py", "exec", "--", *command)


async def run_inside(*command: object, limit_s: float = 30.0) -> str:
    ended = await run(*inside(*command), limit_s=limit_s)
    assert ended.code == 0, f"{command}: {ended.err}"
    return ended.out


async def process_id(pod: Object, container: str) -> int:
    """The process ID, inside the node, of a container's first process."""
    statuses = pod["status"].get("containerStatuses", [])
    url = next(status["containerID"] for status in statuses if status["name"] == container)
    container_id = url.removeprefix("containerd://")
    tasks = await run_inside("ctr", "--address", CONTAINERD, "-n", "k8s.io", "tasks", "ls")
    for line in tasks.splitlines()[1:]:
        words = line.split()
        if words[0] == container_id:
            return int(words[1])
    raise AssertionError(f"{pod['metadata']['name']} has no running container {container}")


async def signal(pod: Object, container: str, name: str) -> None:
    """Sends a signal (KILL, STOP, CONT) to a container's first process."""
    await run_inside("kill", f"-{name}", await process_id(pod, container))


async def volume_folder(kube: Kube, namespace: str, claim_name: str) -> str:
    """Where, inside the node, the files of a claim's volume are."""
    claim = await kube.get("PersistentVolumeClaim", namespace, claim_name)
    assert claim is not None
    volume = await kube.get("PersistentVolume", None, claim["spec"]["volumeName"])
    assert volume is not None
    folder: str = volume["spec"]["local"]["path"]
    return folder


async def lose_data_and_crash(kube: Kube, pod: Object) -> None:
    """Empties a member's volume and kills its process: it writes nothing in between."""
    meta = pod["metadata"]
    folder = await volume_folder(kube, meta["namespace"], f"data-{meta['name']}")
    process = await process_id(pod, "etcd")
    script = f"kill -STOP {process} && find {folder} -mindepth 1 -delete; kill -KILL {process}"
    await run_inside("sh", "-c", script)


async def mounted_configuration(pod: Object) -> str:
    """The member's configuration file as the pod sees it now."""
    container = next(c for c in pod["spec"]["containers"] if c["name"] == "etcd")
    flag = next(a for a in container["args"] if a.startswith("--config-file="))
    name = flag.rpartition("/")[2].replace("$(POD_NAME)", pod["metadata"]["name"])
    folder = f"{PODS}/{pod['metadata']['uid']}/volumes/kubernetes.io~configmap/config"
    return await run_inside("cat", f"{folder}/{name}")
