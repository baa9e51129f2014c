"""An upgraded cluster has no way back around etcd's own: what leads nowhere is refused with words,
an image set by hand is put back, and a member that is made to start on an older one keeps its data.
"""

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.membership import claim_uids, served
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.test_upgrades import NEXT, OLD, PATCHED, SIZES, pod_uids, to

IMAGE = "quay.io/coreos/etcd"
# reason, words of the message, edit
REFUSED: tuple[tuple[str, str, Object], ...] = (
    ("InvalidSpec", "3.5, 3.6, 3.7", {"version": "v3.9.0"}),
    ("VersionRefused", "the first version it may go to is 3.5.26", {"version": OLD}),
    (
        "InvalidSpec",
        "Set spec.repository and spec.version instead",
        {"podTemplate": {"spec": {"containers": [{"name": "etcd", "image": f"{IMAGE}:{OLD}"}]}}},
    ),
)


def image_of(pod_spec: Object) -> str:
    return str(next(c["image"] for c in pod_spec["containers"] if c["name"] == "etcd"))


async def test_an_upgraded_member_goes_back_by_no_other_way_than_etcds(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "oneway")
    await cluster.apply(size=3, version=PATCHED, **SIZES)
    await cluster.ready()
    await to(cluster, NEXT)
    ids, claims, before = await cluster.ids(), await claim_uids(cluster), await pod_uids(cluster)
    async with served(cluster, measure, "refused ways back"):
        for reason, words, edit in REFUSED:
            await cluster.edit(**edit)
            said = await cluster.shows(reason, kind="UpToDate")
            assert words in said, said
            await cluster.edit(version=NEXT, podTemplate=None)
            await cluster.shows("UpToDate", kind="UpToDate", status="True")
        await put_back(cluster)
        assert await pod_uids(cluster) == before

        await made_to_start_on_an_older_one(cluster, f"{cluster.name}-1")
    assert (await cluster.ids(), await claim_uids(cluster)) == (ids, claims)


async def put_back(cluster: EtcdCluster) -> None:
    """The StatefulSet is told by hand to run the older version."""

    async def made() -> Object:
        found = await cluster.kube.get("StatefulSet", cluster.namespace, cluster.name)
        assert found is not None
        return found

    before = (await made())["metadata"]["generation"]
    command = ("set", "image", "-n", cluster.namespace, f"statefulset/{cluster.name}")
    await kubectl(*command, f"etcd={IMAGE}:{PATCHED}")

    async def is_put_back() -> bool:
        now = await made()
        was_changed = now["metadata"]["generation"] >= before + 2
        return was_changed and image_of(now["spec"]["template"]["spec"]) == f"{IMAGE}:{NEXT}"

    await until("the image to be put back", is_put_back, within_s=20.0)
    await cluster.ready()


async def made_to_start_on_an_older_one(cluster: EtcdCluster, name: str) -> None:
    """One pod gets the older image by hand: etcd itself refuses, and a new pod is all it takes."""
    command = ("set", "image", "-n", cluster.namespace, f"pod/{name}")
    await kubectl(*command, f"etcd={IMAGE}:{PATCHED}")
    said = await cluster.shows("CrashLooping", within_s=90.0)
    assert name in said
    await cluster.kube.delete("Pod", cluster.namespace, name)

    async def is_newer() -> bool:
        pod = await cluster.pod(name)
        return pod is not None and image_of(pod["spec"]) == f"{IMAGE}:{NEXT}"

    await until(f"{name} to be made anew", is_newer, within_s=60.0)
    await cluster.ready()
