"""Each node makes and deletes the volumes that lie on it, and leaves alone those of others."""

from pathlib import Path
from typing import Any

import provisioner
import pytest

CLASS = "/apis/storage.k8s.io/v1/storageclasses/standard"


class Api:
    """The API server as far as volumes go: objects by path, and what was asked for."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {
            CLASS: {
                "metadata": {"name": "standard"},
                "provisioner": provisioner.PROVISIONER,
                "reclaimPolicy": "Delete",
            }
        }
        self.deleted: list[str] = []

    def get(self, path: str) -> Any:
        return self.things.get(path)

    def create(self, path: str, thing: dict[str, Any]) -> int:
        self.things[f"{path}/{thing['metadata']['name']}"] = thing
        return 201

    def delete(self, path: str, uid: str) -> None:
        self.deleted.append(path)

    def volumes(self) -> list[Any]:
        return [thing for thing in self.things.values() if thing.get("kind") == "PersistentVolume"]


def claim(node: str | None) -> dict[str, Any]:
    annotations = {provisioner.SELECTED_NODE: node} if node else {}
    return {
        "metadata": {"name": "data-0", "namespace": "ns", "uid": "1", "annotations": annotations},
        "spec": {
            "storageClassName": "standard",
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def released(volume: dict[str, Any]) -> dict[str, Any]:
    metadata = {**volume["metadata"], "uid": "2"}
    return {**volume, "metadata": metadata, "status": {"phase": "Released"}}


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_volume_lies_on_the_node_that_the_scheduler_chose(api: Api, tmp_path: Path):
    provisioner.Volumes(api, "node-2", tmp_path).claim(claim("node-2"))
    (volume,) = api.volumes()
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["node-2"]
    assert [Path(volume["spec"]["local"]["path"])] == list(tmp_path.iterdir())


@pytest.mark.parametrize("node", ["node-1", None], ids=["another node", "none yet"])
def test_a_claim_that_is_not_for_this_node_waits(api: Api, tmp_path: Path, node: str | None):
    provisioner.Volumes(api, "node-2", tmp_path).claim(claim(node))
    assert not api.volumes()
    assert not list(tmp_path.iterdir())


def test_a_volume_that_was_given_back_is_deleted_with_its_files(api: Api, tmp_path: Path):
    volumes = provisioner.Volumes(api, "node-2", tmp_path)
    volumes.claim(claim("node-2"))
    volumes.volume(released(api.volumes()[0]))
    assert api.deleted == [f"{provisioner.PV}/pvc-1"]
    assert not list(tmp_path.iterdir())


def test_a_volume_of_a_lost_node_waits_for_that_node(api: Api, tmp_path: Path):
    provisioner.Volumes(api, "node-2", tmp_path).claim(claim("node-2"))
    provisioner.Volumes(api, "node-1", tmp_path).volume(released(api.volumes()[0]))
    assert not api.deleted
    assert list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "size"), [("1Gi", 2**30), ("500M", 500_000_000), ("1e3", 1000), ("10", 10)]
)
def test_sizes_are_read_as_kubernetes_writes_them(text: str, size: int):
    assert provisioner.quantity(text) == size


@pytest.mark.parametrize("text", ["", "1XiB", "-1"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="quantity"):
        provisioner.quantity(text)
