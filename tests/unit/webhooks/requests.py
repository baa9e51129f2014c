"""Builders of requests for admission, and rules that tests script."""

import json
from dataclasses import dataclass, field

from tests.unit.api.manifests import cluster


def review(obj=None, stored=None, **fields):
    """The body of a request: a creation, an update or a deletion by what is given."""
    operation = "DELETE" if obj is None else "CREATE" if stored is None else "UPDATE"
    kind = (obj or stored or {}).get("kind", "EtcdCluster")
    request = {
        "uid": "r-1",
        "kind": {"group": "etcd.etcd.io", "version": "v1alpha1", "kind": kind},
        "resource": {"group": "etcd.etcd.io", "version": "v1alpha1", "resource": "x"},
        "operation": operation,
        "userInfo": {"username": "somebody"},
        "object": obj,
        "oldObject": stored,
        "dryRun": False,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
    return json.dumps({**body, "request": {**request, **fields}}).encode()


def started(spec=None, **metadata):
    """A stored EtcdCluster that has members."""
    members = [{"name": "demo-0", "ordinal": 0, "started": True}]
    bootstrap = {"token": "u-1-1", "epoch": 1, "size": 1, "members": members}
    obj = cluster(spec, status={"clusterID": "cafe", "bootstrap": bootstrap})
    obj["metadata"] |= metadata
    return obj


@dataclass
class ScriptedRules:
    """Says what it was told to say of every EtcdCluster, and counts how often it was asked."""

    refused: tuple = ()
    advised: tuple = ()
    ending: bool = False
    missing: frozenset = frozenset()
    asked: list = field(default_factory=list)

    def refusals(self, cluster, stored):
        self.asked.append(cluster)
        return self.refused

    def advice(self, cluster, stored):
        return self.advised

    async def is_ending(self, namespace):
        self.asked.append(namespace)
        return self.ending

    async def missing_secrets(self, namespace, names):
        self.asked.append((namespace, names))
        return self.missing & names
