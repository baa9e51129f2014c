"""A typing error is refused at `kubectl apply`, with the name of the field that is wrong."""

import asyncio

from e2e.harness.cluster import manifest
from e2e.harness.kube import Kube, Object, apply
from e2e.harness.operator import Operator

# the field that the message names, and a manifest's kind, name and spec
CLUSTERS: tuple[tuple[str, str, Object], ...] = (
    ("spec.size", "db", {"size": 2}),
    ("spec.size", "db", {"size": 4}),
    ("spec.size", "db", {"size": 11}),
    ("spec.size", "db", {"size": -1}),
    ("spec.size", "db", {"size": "three"}),
    ("metadata.name", "Db", {"size": 1}),
    ("metadata.name", "9db", {"size": 1}),
    ("metadata.name", "db-peer", {"size": 1}),
    ("metadata.name", "d" * 46, {"size": 1}),
    ("spec.version", "db", {"version": "latest"}),
    ("spec.version", "db", {"version": "3.5"}),
    ("spec.repository", "db", {"repository": "quay.io/coreos/etcd:v3.5.21"}),
    ("spec.storage.size", "db", {"storage": {"size": "ten gigabytes"}}),
    ("spec.storage.size", "db", {"storage": {"size": "0"}}),
    ("spec.storage.deletionPolicy", "db", {"storage": {"deletionPolicy": "Keep"}}),
    ("spec.resources.limits.memory", "db", {"resources": {"limits": {"memory": "1 GB"}}}),
    ("spec.options.quotaBackendBytes", "db", {"options": {"quotaBackendBytes": "8GiB"}}),
    (
        "spec.options.autoCompaction.retention",
        "db",
        {"options": {"autoCompaction": {"retention": "1 hour"}}},
    ),
    ("spec.options.electionTimeout", "db", {"options": {"electionTimeout": 200}}),
    ("spec.service.type", "db", {"service": {"type": "External"}}),
)
BACKUPS: tuple[tuple[str, str, Object], ...] = (
    (
        "spec.retentionPolicy.maxAge",
        "nightly",
        {"clusterName": "db", "storageType": "Local", "retentionPolicy": {"maxAge": "a month"}},
    ),
    ("spec.storageType", "nightly", {"clusterName": "db", "storageType": "Tape"}),
)
AT_ONCE = 4


async def test_malformed_manifests_are_refused_by_field(
    kube: Kube, operator: Operator, namespace: str
) -> None:
    few = asyncio.Semaphore(AT_ONCE)
    problems: list[str] = []

    async def is_refused(kind: str, field: str, name: str, spec: Object) -> None:
        async with few:
            ended = await apply(manifest(kind, namespace, name, spec))
        if ended.code == 0:
            problems.append(f"{kind} {name} {spec} was accepted")
        elif field not in ended.err:
            problems.append(f"{kind} {name} {spec}: {field} is not named in: {ended.err}")

    async with asyncio.TaskGroup() as group:
        for field, name, spec in CLUSTERS:
            group.create_task(is_refused("EtcdCluster", field, name, spec))
        for field, name, spec in BACKUPS:
            group.create_task(is_refused("EtcdBackup", field, name, spec))
    assert not problems, "\n".join(problems)
    assert await kube.list("EtcdCluster", namespace) == []
