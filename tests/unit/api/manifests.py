"""Builders of manifests, and the tables that unit and integration tests share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SAMPLES = HERE.parents[2] / "manifests" / "samples"


def cluster(spec=None, *, name="demo", **fields):
    """An EtcdCluster as the API server would give it."""
    return {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"name": name, "namespace": "default", "uid": "u-1", "generation": 1},
        "spec": spec or {},
        **fields,
    }


@dataclass(frozen=True)
class Refused:
    """One manifest that must not pass: see refused_manifests.yaml."""

    by: str
    error: str
    manifest: dict[str, Any]

    def __str__(self):
        name, spec = self.manifest["metadata"]["name"], self.manifest["spec"]
        return f"{self.error}-{spec or name}"


def refused_manifests():
    rows = yaml.safe_load((HERE / "refused_manifests.yaml").read_text(encoding="utf-8"))
    return [
        Refused(row["by"], row["error"], cluster(row["spec"], name=row.get("name", "demo")))
        for row in rows
    ]


def replaced_operators_manifests():
    text = (HERE / "manifests_of_replaced_operator.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load_all(text))


def samples():
    return [
        manifest
        for path in sorted(SAMPLES.glob("etcd_v1alpha1_*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
