"""The owner wants other volumes: larger ones, where they are; another class or smaller ones by
replacing member after member.  The node's own provisioner plays the storage's part.
"""

import asyncio

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.membership import served
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import TimedOutError, until

SIZE = {"size": "1Gi"}
DONE_WITHIN_S = 180.0
PROVISIONER = "node.etcd-operator.io/volumes"


async def runs(cluster: EtcdCluster) -> dict[str, tuple[str, int, str]]:
    """Which process each member is: the pod's uid, its restarts, and when it began."""
    found = {}
    for name, pod in (await cluster.pods()).items():
        (container,) = pod["status"]["containerStatuses"]
        began = container["state"]["running"]["startedAt"]
        found[name] = (pod["metadata"]["uid"], container["restartCount"], began)
    return found


async def volumes(cluster: EtcdCluster) -> dict[str, Object]:
    """The claims of the members by name."""
    claims = await cluster.kube.list("PersistentVolumeClaim", cluster.namespace)
    named = {claim["metadata"]["name"]: claim for claim in claims}
    return {name: c for name, c in named.items() if name.startswith(f"data-{cluster.name}-")}


async def template(cluster: EtcdCluster) -> Object:
    """What the StatefulSet would make of a claim today; empty while there is none."""
    made = await cluster.kube.get("StatefulSet", cluster.namespace, cluster.name)
    if made is None or "deletionTimestamp" in made["metadata"]:
        return {}
    spec: Object = made["spec"]["volumeClaimTemplates"][0]["spec"]
    return spec


async def released(cluster: EtcdCluster) -> None:
    """Until the StatefulSet is on its way out, without its pods."""
    async for made in cluster.kube.watch(
        "StatefulSet", cluster.namespace, cluster.name, for_s=60.0
    ):
        if "deletionTimestamp" in made["metadata"]:
            return
    raise TimedOutError("the StatefulSet was not released")


async def has_grown(cluster: EtcdCluster, size: str) -> float:
    """Until volumes and claim template have this size, and the cluster says that it is done."""
    began = asyncio.get_running_loop().time()

    async def everywhere() -> bool:
        claims = (await volumes(cluster)).values()
        sizes = {claim["status"].get("capacity", {}).get("storage") for claim in claims}
        made = (await template(cluster)).get("resources", {}).get("requests", {})
        return sizes == {size} and made.get("storage") == size

    await until(f"volumes of {size}", everywhere, within_s=60.0)
    await cluster.shows("UpToDate", kind="UpToDate", status="True")
    await cluster.ready()
    return asyncio.get_running_loop().time() - began


async def test_volumes_grow_and_nothing_is_restarted(
    kube: Kube, namespace: str, operator: Operator, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "grows")
    await cluster.apply(size=3, storage=SIZE)
    await cluster.ready()
    before = await runs(cluster)
    async with served(cluster, measure, "volumes that grow"):
        await cluster.edit(storage={"size": "2Gi"})
        measure("three volumes grown (the node's own provisioner)", await has_grown(cluster, "2Gi"))
        await cluster.edit(storage={"size": "3Gi"})
        await released(cluster)
        await operator.kill()
        await has_grown(cluster, "3Gi")
    assert await runs(cluster) == before
    await cluster.edit(size=5)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=DONE_WITHIN_S)
    sizes = {
        claim["spec"]["resources"]["requests"]["storage"]
        for claim in (await volumes(cluster)).values()
    }
    assert sizes == {"3Gi"}
    assert before.items() <= (await runs(cluster)).items()


async def test_what_volumes_can_not_become_is_refused_with_the_way_out(
    kube: Kube, namespace: str
) -> None:
    cluster = EtcdCluster(kube, namespace, "rigid")
    rigid = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": f"{namespace}-rigid"},
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    await kube.create("StorageClass", None, rigid)
    try:
        await cluster.apply(size=1, storage={**SIZE, "storageClassName": f"{namespace}-rigid"})
        await cluster.ready()
        before = await runs(cluster)
        await cluster.edit(storage={"size": "2Gi"})
        said = await cluster.shows("VolumeRefused", kind="UpToDate")
        assert "must support resize" in said
        await cluster.edit(storage={"size": "512Mi"})
        said = await cluster.shows("VolumeRefused", kind="UpToDate")
        assert "storage.migrationPolicy to Replace" in said
        await cluster.edit(storage={"migrationPolicy": "Replace"})
        said = await cluster.shows("VolumeRefused", kind="UpToDate")
        assert "Set spec.size to 3 as well" in said
        await cluster.edit(storage={"size": "1Gi", "storageClassName": "no-such-class"}, size=3)
        said = await cluster.shows("VolumeRefused", kind="UpToDate")
        assert 'no StorageClass "no-such-class"' in said
        await cluster.edit(storage={"storageClassName": f"{namespace}-rigid"})
        await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=DONE_WITHIN_S)
        await cluster.ready()
        assert before.items() <= (await runs(cluster)).items()
    finally:
        await kube.delete("StorageClass", None, f"{namespace}-rigid")


async def test_members_move_to_smaller_volumes_of_another_class(
    kube: Kube, namespace: str, operator: Operator, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "moves")
    await cluster.apply(size=3, storage={**SIZE, "storageClassName": "standard"})
    await cluster.ready()
    ids = await cluster.ids()
    new = {"size": "512Mi", "storageClassName": "limited", "migrationPolicy": "Replace"}
    async with served(cluster, measure, "members that move to other volumes"):
        began = asyncio.get_running_loop().time()
        await cluster.edit(storage=new)

        async def first_has_moved() -> bool:
            claims = (await volumes(cluster)).values()
            return any(claim["spec"]["storageClassName"] == "limited" for claim in claims)

        await until("the first of them to move", first_has_moved, within_s=60.0)
        await operator.kill()

        async def all_have_moved() -> bool:
            claims = (await volumes(cluster)).values()
            classes = [claim["spec"]["storageClassName"] for claim in claims]
            return classes == ["limited"] * 3

        await until("all to have moved", all_have_moved, within_s=DONE_WITHIN_S)
        await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=DONE_WITHIN_S)
        await cluster.ready()
        measure("three members on other volumes", asyncio.get_running_loop().time() - began)
    assert not ids.items() & (await cluster.ids()).items()
    sizes = [c["status"]["capacity"]["storage"] for c in (await volumes(cluster)).values()]
    assert sizes == ["512Mi"] * 3
