"""The storage of one node: makes, grows and deletes the volumes that lie on it. Not for people.

A volume is a folder on the node's disk, or, with the class parameter `limited`, a tmpfs of the
size asked for. As a PersistentVolume of kind `local` it gets its owner and mode (fsGroup) from
kubelet, as a real disk does. A grown request is answered by growing the tmpfs, where there is one,
and by saying the new capacity: this plays the part of a storage driver's resizer.
"""

from __future__ import annotations

import http.client
import json
import queue
import re
import shutil
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
from lib import kube, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVISIONER = "node.etcd-operator.io/volumes"
VOLUMES = config.RUN / "volumes"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PVC = "/api/v1/persistentvolumeclaims"
PV = "/api/v1/persistentvolumes"
WATCH_S = 300
PAUSE_S = 0.5

Object = dict[str, Any]

_UNITS = {"": 1, "m": 0.001}
_UNITS |= {f"{unit}": 1000**power for power, unit in enumerate("kMGTP", 1)}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGTP", 1)}


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)", text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"not a quantity: {text!r}")
    return int(float(match[1]) * _UNITS[match[2]])


class Volumes:
    """Of one node, as folders of `root`."""

    def __init__(self, api: kube.Api, node: str, root: Path = VOLUMES) -> None:
        self.api = api
        self.node = node
        self.root = root

    def claim(self, claim: Object) -> None:
        """Makes the volume of a claim, or grows it."""
        if claim["metadata"].get("deletionTimestamp"):
            return
        bound = claim["spec"].get("volumeName")
        if claim.get("status", {}).get("phase") == "Bound" and bound:
            self.grow(claim, bound)
        elif not bound and self._is_here(claim):
            self.provision(claim)

    def _is_here(self, claim: Object) -> bool:
        """The scheduler has chosen this node for the claim's pod."""
        chosen = claim["metadata"].get("annotations", {}).get(SELECTED_NODE)
        return bool(chosen == self.node)

    def _is_ours(self, volume: Object) -> bool:
        annotations = volume["metadata"].get("annotations", {})
        return annotations.get(PROVISIONED_BY) == PROVISIONER and _node_of(volume) == self.node

    def provision(self, claim: Object) -> None:
        name = claim["spec"].get("storageClassName")
        storage_class = self.api.get(f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        if storage_class is None or storage_class["provisioner"] != PROVISIONER:
            return
        volume = f"pvc-{claim['metadata']['uid']}"
        size = claim["spec"]["resources"]["requests"]["storage"]
        limited = storage_class.get("parameters", {}).get("limited") == "true"
        folder = self.root / volume
        if not folder.exists():
            folder.mkdir(mode=0o755)
            if limited:
                namespaces.mount("tmpfs", folder, "tmpfs", data=f"size={quantity(size)},mode=755")
        status = self.api.create(PV, _volume(volume, claim, storage_class, size, folder))
        if status not in (201, 409):
            print(f"{volume}: answer {status} to its creation", flush=True)

    def grow(self, claim: Object, name: str) -> None:
        asked = claim["spec"]["resources"]["requests"]["storage"]
        has = claim["status"].get("capacity", {}).get("storage", "0")
        if quantity(asked) <= quantity(has):
            return
        volume = self.api.get(f"{PV}/{name}")
        if volume is None or not self._is_ours(volume):
            return
        folder = Path(volume["spec"]["local"]["path"])
        if folder.is_mount():
            data = f"size={quantity(asked)}"
            namespaces.mount("tmpfs", folder, "tmpfs", namespaces.MS_REMOUNT, data)
        self.api.patch(f"{PV}/{name}", {"spec": {"capacity": {"storage": asked}}})
        meta = claim["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/persistentvolumeclaims/{meta['name']}"
        # An empty list: kubelet's and the controllers' notes on a resize that is done.
        status = {"capacity": {"storage": asked}, "conditions": []}
        self.api.patch(f"{path}/status", {"status": status})
        print(f"{name}: grown from {has} to {asked}", flush=True)

    def volume(self, volume: Object) -> None:
        """Deletes a volume that its claim has given back, if its policy is to delete it."""
        if not self._is_ours(volume) or volume.get("status", {}).get("phase") != "Released":
            return
        if volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete":
            return
        name = volume["metadata"]["name"]
        folder = Path(volume["spec"]["local"]["path"])
        if folder.is_mount():
            namespaces.unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)
        self.api.delete(f"{PV}/{name}", volume["metadata"]["uid"])
        print(f"{name}: deleted", flush=True)


def _node_of(volume: Object) -> str:
    """As _volume writes it."""
    term = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]
    return str(term["matchExpressions"][0]["values"][0])


def _volume(name: str, claim: Object, storage_class: Object, size: str, folder: Path) -> Object:
    node = claim["metadata"]["annotations"][SELECTED_NODE]
    host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": "Filesystem",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                **{key: claim["metadata"][key] for key in ("name", "namespace", "uid")},
            },
            "local": {"path": str(folder)},
            "nodeAffinity": {
                "required": {"nodeSelectorTerms": [{"matchExpressions": [host]}]},
            },
        },
    }


def _follow(api: kube.Api, path: str, events: queue.Queue[tuple[str, Object]]) -> None:
    """Everything there is, then every change, for ever. A lost watch begins anew."""
    while True:
        try:
            for thing in _changes(api, path):
                events.put((path, thing))
        except (OSError, http.client.HTTPException, ValueError) as failure:
            print(f"{path}: {failure}", flush=True)
        time.sleep(PAUSE_S)


def _changes(api: kube.Api, path: str) -> Iterator[Object]:
    listed = api.get(path)
    if listed is None:
        raise ValueError("not there")
    yield from listed["items"]
    version = urllib.parse.quote(listed["metadata"]["resourceVersion"])
    query = f"watch=true&resourceVersion={version}&timeoutSeconds={WATCH_S}"
    for line in api.stream(f"{path}?{query}", WATCH_S + 10.0):
        event = json.loads(line)
        if event["type"] == "ERROR":
            return
        if event["type"] != "DELETED":
            yield event["object"]


def main() -> None:
    kubeconfig, node = sys.argv[1:]
    configuration = kube.Configuration.read(Path(kubeconfig))
    events: queue.Queue[tuple[str, Object]] = queue.Queue()
    for path in (PVC, PV):
        arguments = (kube.Api(configuration), path, events)
        threading.Thread(target=_follow, args=arguments, daemon=True).start()
    volumes = Volumes(kube.Api(configuration), node)
    while True:
        path, thing = events.get()
        try:
            (volumes.claim if path == PVC else volumes.volume)(thing)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as failure:
            print(f"{thing['metadata']['name']}: {failure!r}; again in {PAUSE_S} s", flush=True)
            threading.Timer(PAUSE_S, events.put, [(path, thing)]).start()


if __name__ == "__main__":
    main()
