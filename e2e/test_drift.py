"""Somebody deletes or edits what the operator made. It comes back, unless the owner paused it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Object
from e2e.harness.report import Measure
from e2e.harness.wait import never, until
from e2e.harness.writer import Writer

OWNED = (
    ("Service", "db"),
    ("Service", "db-peer"),
    ("ConfigMap", "db-config"),
    ("PodDisruptionBudget", "db"),
)

# kind, name, what somebody does to it
EDITS: tuple[tuple[str, str, Object], ...] = (
    ("Service", "db", {"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}),
    ("Service", "db-peer", {"spec": {"publishNotReadyAddresses": False}}),
    ("PodDisruptionBudget", "db", {"spec": {"minAvailable": 0}}),
    ("StatefulSet", "db", {"spec": {"updateStrategy": {"type": "RollingUpdate"}}}),
    ("Service", "db", {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}),
)


def essence(obj: Object) -> Object:
    """An object without what the server counts and without who wrote what."""
    kept = ("labels", "ownerReferences", "name")
    metadata = {key: obj["metadata"].get(key) for key in kept}
    spec = {k: v for k, v in obj.get("spec", {}).items() if k not in ("clusterIP", "clusterIPs")}
    return {"metadata": metadata, "spec": spec, "data": obj.get("data")}


def restored(db: EtcdCluster, kind: str, name: str, old: Object) -> Callable[[], Awaitable[bool]]:
    async def probe() -> bool:
        now = await db.kube.get(kind, db.namespace, name)
        return now is not None and essence(now) == essence(old)

    return probe


async def read(db: EtcdCluster, kind: str, name: str) -> Object:
    found = await db.kube.get(kind, db.namespace, name)
    assert found is not None, f"{kind} {name} is missing"
    return found


async def test_deleted_objects_come_back(db: EtcdCluster) -> None:
    async def comes_back(kind: str, name: str) -> None:
        old = await read(db, kind, name)
        await db.kube.delete(kind, db.namespace, name)

        async def is_new() -> bool:
            now = await db.kube.get(kind, db.namespace, name)
            return (
                now is not None
                and now["metadata"]["uid"] != old["metadata"]["uid"]
                and essence(now) == essence(old)
            )

        await until(f"{kind} {name} to come back", is_new, within_s=20.0)

    async with asyncio.TaskGroup() as group:
        for kind, name in OWNED:
            group.create_task(comes_back(kind, name))
    await db.ready()


async def test_a_deleted_stateful_set_comes_back_with_the_same_members_and_data(
    db: EtcdCluster, measure: Measure
) -> None:
    before = await db.ids()
    async with Writer(db) as writer:
        old = await read(db, "StatefulSet", "db")
        await db.kube.delete("StatefulSet", db.namespace, "db")

        async def is_new() -> bool:
            now = await db.kube.get("StatefulSet", db.namespace, "db")
            return now is not None and now["metadata"]["uid"] != old["metadata"]["uid"]

        await until("StatefulSet db to come back", is_new, within_s=30.0)
        await writer.goes_on(within_s=90.0)
        await db.ready()
    await writer.nothing_is_lost()
    measure("longest gap between acknowledged writes, StatefulSet deleted", writer.longest_gap_s)
    assert await db.ids() == before


@pytest.mark.parametrize(("kind", "name", "edit"), EDITS, ids=lambda value: str(value)[:30])
async def test_an_edit_is_taken_back(db: EtcdCluster, kind: str, name: str, edit: Object) -> None:
    await edit_is_taken_back(db, kind, name, edit)


async def test_an_edited_configuration_file_is_taken_back(db: EtcdCluster) -> None:
    files = (await read(db, "ConfigMap", "db-config"))["data"]
    strange = dict.fromkeys(files, "initial-cluster-state: new")
    await edit_is_taken_back(db, "ConfigMap", "db-config", {"data": strange})


async def edit_is_taken_back(db: EtcdCluster, kind: str, name: str, edit: Object) -> None:
    old = await read(db, kind, name)
    edited = await db.kube.patch(kind, db.namespace, name, edit)
    assert essence(edited) != essence(old), "the edit changes something"
    await until(f"{kind} {name} to be put right", restored(db, kind, name, old), within_s=20.0)
    await db.ready()


async def test_nothing_is_put_right_while_the_owner_has_paused_it(db: EtcdCluster) -> None:
    budget = await read(db, "PodDisruptionBudget", "db")
    service = await read(db, "Service", "db-peer")
    await db.edit(paused=True)
    await db.shows("Paused", kind="Paused", status="True", within_s=20.0)
    await db.kube.delete("PodDisruptionBudget", db.namespace, "db")
    await db.kube.patch("Service", db.namespace, "db-peer", EDITS[1][2])

    async def somebody_acted() -> bool:
        edited = await read(db, "Service", "db-peer")
        is_back = await db.kube.get("PodDisruptionBudget", db.namespace, "db") is not None
        return is_back or bool(edited["spec"].get("publishNotReadyAddresses"))

    await never("something was changed in spite of the pause", somebody_acted, for_s=12.0)
    await db.etcd().put("while", "paused")

    await db.edit(paused=False)
    for kind, name, old in (
        ("PodDisruptionBudget", "db", budget),
        ("Service", "db-peer", service),
    ):
        await until(f"{kind} {name} to be put right", restored(db, kind, name, old), within_s=20.0)
    await db.ready()
    await db.shows("NotPaused", kind="Paused", status="False")
