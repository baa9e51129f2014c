"""A user asks for what this version cannot do, or for what cannot be. Nothing is ignored in
silence: a condition names the field, and what runs goes on.
"""

import asyncio

import pytest

from e2e.harness.cluster import EtcdCluster, condition, manifest
from e2e.harness.kube import KUBECTL, Kube, Object, apply, run
from e2e.harness.wait import until

# reason, a word of the message, spec
NEVER_STARTED: tuple[tuple[str, str, Object], ...] = (
    (
        "InvalidSpec",
        "spec.security.auth.enabled",
        {"security": {"tls": {"enabled": False}, "auth": {"enabled": True}}},
    ),
    ("InvalidSpec", "max-txn-opps", {"options": {"extra": {"max-txn-opps": "256"}}}),
    (
        "InvalidSpec",
        "initial-cluster-state",
        {"options": {"extra": {"initial-cluster-state": "new"}}},
    ),
    ("InvalidSpec", "max-txn-ops", {"options": {"extra": {"max-txn-ops": "many"}}}),
    (
        "InvalidSpec",
        "spec.podTemplate.spec.containers[0].image",
        {"podTemplate": {"spec": {"containers": [{"name": "etcd", "image": "mine"}]}}},
    ),
    ("TemplateRefused", "dnsPolicy", {"podTemplate": {"spec": {"dnsPolicy": "Guess"}}}),
    ("InvalidSpec", "spec.version", {"version": "v3.4.30"}),
)

# reason, a word of the message, edit, the edit that takes it back
EDITS: tuple[tuple[str, str, Object, Object], ...] = (
    ("VersionRefused", "3.5.26 or newer first", {"version": "v3.6.16"}, {"version": "v3.5.21"}),
    (
        "VolumeRefused",
        "spec.storage.size",
        {"storage": {"size": "1Gi"}},
        {"storage": {"size": "10Gi"}},
    ),
    (
        "NotSupportedYet",
        "spec.clusterDomain",
        {"clusterDomain": "elsewhere.local"},
        {"clusterDomain": None},
    ),
)


async def test_a_spec_that_cannot_be_is_refused_before_anything_is_made(
    kube: Kube, namespace: str
) -> None:
    async def is_refused(number: int, reason: str, word: str, spec: Object) -> None:
        cluster = EtcdCluster(kube, namespace, f"refused-{number}")
        await cluster.apply(size=1, **spec)
        message = await cluster.shows(reason, within_s=30.0)
        assert word in message, message
        assert condition(await cluster.get(), "Stalled")["status"] == "True"
        await cluster.tells(reason)

    async with asyncio.TaskGroup() as group:
        for number, (reason, word, spec) in enumerate(NEVER_STARTED):
            group.create_task(is_refused(number, reason, word, spec))
    for kind in ("StatefulSet", "Service", "PersistentVolumeClaim"):
        assert await kube.list(kind, namespace) == [], f"a {kind} was made"


@pytest.mark.parametrize(
    ("reason", "word", "edit", "back"), EDITS, ids=[reason for reason, *_ in EDITS]
)
async def test_an_edit_that_cannot_be_done_is_named_and_the_cluster_goes_on(
    db: EtcdCluster, reason: str, word: str, edit: Object, back: Object
) -> None:
    uids = {name: pod["metadata"]["uid"] for name, pod in (await db.pods()).items()}
    await db.edit(**edit)
    message = await db.shows(reason, kind="UpToDate", within_s=20.0)
    assert word in message, message
    assert condition(await db.get(), "QuorumAvailable")["status"] == "True"
    await db.etcd().put(f"after {reason}", "served")
    assert await db.etcd("db-1").get(f"after {reason}") == "served"
    await db.edit(**back)
    await db.ready()
    assert {name: pod["metadata"]["uid"] for name, pod in (await db.pods()).items()} == uids


async def test_scaling_by_kubectl_to_an_even_number_is_refused(db: EtcdCluster) -> None:
    command = ("scale", "-n", db.namespace, "etcdcluster/db", "--replicas=4")
    ended = await run(KUBECTL, *command)
    assert ended.code != 0
    assert "size" in ended.err
    await db.ready()


async def test_a_refused_spec_can_be_corrected(cluster: EtcdCluster) -> None:
    await cluster.apply(size=1, podTemplate={"spec": {"dnsPolicy": "Guess"}})
    await cluster.shows("TemplateRefused", within_s=30.0)
    await cluster.edit(podTemplate={"spec": {"dnsPolicy": "ClusterFirst"}})
    await cluster.ready()


@pytest.mark.parametrize(
    ("kind", "spec", "reason"),
    [
        ("EtcdBackup", {"clusterName": "db", "storageType": "Local"}, "NotSupportedYet"),
        ("EtcdRestore", {"backupName": "nightly", "clusterName": "db"}, "BackupNotFound"),
    ],
)
async def test_backups_and_restores_say_what_keeps_them(
    kube: Kube, namespace: str, kind: str, spec: Object, reason: str
) -> None:
    ended = await apply(manifest(kind, namespace, "mine", spec))
    assert ended.code == 0, ended.err

    async def answer() -> Object | None:
        ready = condition(await kube.get(kind, namespace, "mine"), "Ready")
        return ready if ready.get("reason") == reason else None

    ready = await until(f"{kind} to be answered with {reason}", answer, within_s=20.0)
    assert ready is not None
    assert ready["status"] == "False"
