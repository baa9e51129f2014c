"""The owner changes options, resources and pods while clients write: members are restarted one
after the other, the leader last; what does not heal stops, and the next edit goes on from there.
"""

import asyncio

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.membership import served
from e2e.harness.operator import Operator, absent
from e2e.harness.report import Measure
from e2e.harness.wait import until

SIZES = {"storage": {"size": "1Gi"}}
ROLLED_WITHIN_S = 120.0
NOWHERE = {"spec": {"nodeSelector": {"no-such-label": "anywhere"}}}


async def pods_are(cluster: EtcdCluster, what: str, wanted: Object) -> float:
    """Until every pod has these annotations or labels and the cluster is Ready again."""
    began = asyncio.get_running_loop().time()

    async def is_so() -> bool:
        pods = await cluster.pods()
        have = [pod["metadata"].get(what, {}) for pod in pods.values()]
        return all(wanted.items() <= one.items() for one in have)

    await until(f"all pods of {cluster.name} with {wanted}", is_so, within_s=ROLLED_WITHIN_S)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S)
    await cluster.ready()
    return asyncio.get_running_loop().time() - began


async def uids(cluster: EtcdCluster) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in (await cluster.pods()).items()}


async def options_reach(cluster: EtcdCluster) -> bool:
    """Whether every member really runs with the option, as the file it was started with says."""
    data = await cluster.kube.get("ConfigMap", cluster.namespace, f"{cluster.name}-config")
    assert data is not None
    return all('"snapshot-count": 4321' in text for text in data["data"].values())


async def test_options_labels_and_requested_restarts_reach_every_member(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "rolls")
    await cluster.apply(size=3, **SIZES)
    await cluster.ready()
    before = await uids(cluster)
    async with served(cluster, measure, "three rolls"):
        labels = {"team": "storage"}
        await cluster.edit(
            options={"snapshotCount": 4321}, podTemplate={"metadata": {"labels": labels}}
        )
        measure(
            "an edit of options and labels, three members",
            await pods_are(cluster, "labels", labels),
        )
        await until("old files to be gone", lambda: options_reach(cluster), within_s=30.0)
        asked = {"etcd.etcd.io/restart": "now"}
        metadata = {"metadata": {"annotations": asked}}
        await kube.patch("EtcdCluster", namespace, cluster.name, metadata)
        measure(
            "a restart of three members on request", await pods_are(cluster, "annotations", asked)
        )
    assert not before.items() & (await uids(cluster)).items()


async def test_resources_change_in_place(kube: Kube, namespace: str, measure: Measure) -> None:
    """Where the server and the node can (Kubernetes 1.33 and later): the processes stay."""
    cluster = EtcdCluster(kube, namespace, "resized")
    small = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
    await cluster.apply(size=3, resources=small, **SIZES)
    await cluster.ready()
    before = await processes(cluster)
    large = {"requests": {"cpu": "30m", "memory": "96Mi"}, "limits": {"memory": "320Mi"}}

    async def have_them() -> bool:
        pods = (await cluster.pods()).values()
        return all(in_force(pod) == large for pod in pods)

    async with served(cluster, measure, "resources changed in place"):
        began = asyncio.get_running_loop().time()
        await cluster.edit(resources=large)
        await until("all members to have their resources", have_them, within_s=60.0)
        await cluster.shows("UpToDate", kind="UpToDate", status="True")
        await cluster.ready()
        measure("resources of three members", asyncio.get_running_loop().time() - began)
    assert await processes(cluster) == before
    assert "in place" in await cluster.tells("MemberResized")

    more_than_any_node = {"requests": {"cpu": "900", "memory": "96Mi"}}
    await cluster.edit(resources=more_than_any_node)
    said = await cluster.shows("RolloutBlocked", kind="UpToDate", within_s=120.0)
    assert "stay on the older one" in said
    await cluster.edit(resources=large)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S)
    assert len(before.items() & (await processes(cluster)).items()) == 2


async def processes(cluster: EtcdCluster) -> dict[str, tuple[str, str]]:
    """Which process each member is: the pod's uid, and when the container began."""
    return {
        name: (
            pod["metadata"]["uid"],
            pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"],
        )
        for name, pod in (await cluster.pods()).items()
    }


def in_force(pod: Object) -> Object:
    """The resources that the container runs with, as kubelet says."""
    (container,) = pod["status"]["containerStatuses"]
    found: Object = container.get("resources", {})
    return found


async def test_a_roll_that_does_not_heal_stops_and_the_next_edit_goes_on(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "blocked")
    await cluster.apply(size=3, **SIZES)
    await cluster.ready()
    before = await uids(cluster)
    async with served(cluster, measure, "a roll that stopped"):
        await cluster.edit(podTemplate=NOWHERE)
        said = await cluster.shows("RolloutBlocked", kind="UpToDate", within_s=90.0)
        assert "stay on the older one" in said
        assert len(before.items() & (await uids(cluster)).items()) == 2
        labels = {"mended": "yes"}
        await cluster.edit(podTemplate={"metadata": {"labels": labels}, "spec": None})
        measure("a corrected edit, from the edit to all", await pods_are(cluster, "labels", labels))


async def test_an_edit_that_the_server_refuses_touches_nobody(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "untaken")
    await cluster.apply(size=1, **SIZES)
    await cluster.ready()
    before = await uids(cluster)
    bad = {
        "spec": {"containers": [{"name": "beside", "image": "x", "ports": [{"containerPort": 0}]}]}
    }
    await cluster.edit(podTemplate=bad)
    said = await cluster.shows("TemplateRefused", kind="UpToDate")
    assert "containerPort" in said
    await cluster.edit(podTemplate=None)
    await cluster.shows("UpToDate", kind="UpToDate", status="True")
    assert await uids(cluster) == before
    measure("pods restarted by a refused edit", 0)


async def test_what_may_wait_waits_for_a_window_or_for_consent(
    kube: Kube, namespace: str, operator: Operator, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "patient")
    closed = [{"schedule": "0 3 1 1 *", "duration": "1m"}]
    await cluster.apply(size=1, maintenanceWindows=closed, **SIZES)
    await cluster.ready()
    before = await uids(cluster)
    await cluster.edit(options={"snapshotCount": 4321})
    said = await cluster.shows("WaitingForWindow", kind="UpToDate")
    assert "opens at" in said
    assert await uids(cluster) == before
    await cluster.edit(maintenanceWindows=None)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S)
    assert await uids(cluster) != before

    # As if an operator before this one had made the pods a little otherwise.
    other = {"podTemplate": {"metadata": {"annotations": {"made-by": "another"}}}}
    async with absent(operator):
        path = "EtcdCluster", namespace, cluster.name
        await kube.patch(*path, {"status": {"rendered": other}}, subresource="status")
    said = await cluster.shows(
        "OperatorChanges", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S
    )
    assert "podTemplate.metadata.annotations.made-by" in said
    before = await uids(cluster)
    await cluster.edit(recovery={"nodeLossSeconds": 700})
    await operator.kill()
    await cluster.shows("OperatorChanges", kind="UpToDate", status="True")
    assert await uids(cluster) == before
    await cluster.edit(acceptOperatorChanges=True)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=ROLLED_WITHIN_S)
    assert await uids(cluster) != before
    measure("pods restarted by another operator without consent", 0)


async def test_a_member_that_can_not_start_follows_the_corrected_option_without_quorum(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    """All members down for the same reason: nobody is left to ask, and the edit must reach them."""
    cluster = EtcdCluster(kube, namespace, "allbad")
    await cluster.apply(size=1, podTemplate={"spec": {"terminationGracePeriodSeconds": 5}}, **SIZES)
    await cluster.ready()
    await cluster.edit(podTemplate=NOWHERE)
    await cluster.shows("RolloutBlocked", kind="UpToDate", within_s=90.0)
    await cluster.edit(podTemplate=None)
    measure("a single member back on a corrected template", await cluster.ready(60.0))
