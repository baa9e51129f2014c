"""The owner thinks better of a downgrade when etcd has changed its data for it, and before any
member runs the older version: nobody is restarted, and what was changed is changed back.
"""

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube
from e2e.harness.membership import moment, served
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.test_upgrades import NEXT, PATCHED, SIZES, pod_uids, to

CHANGED_BACK_WITHIN_S = 60.0


async def forms(cluster: EtcdCluster) -> set[str]:
    """In which version's form the members have their data, by their own word."""
    pods = await cluster.pods()
    answers = [await cluster.etcd(pod).call("maintenance/status", {}) for pod in pods]
    return {answer.get("storageVersion", "") for answer in answers}


async def test_a_downgrade_is_cancelled_before_any_member_runs_the_older_version(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    cluster = EtcdCluster(kube, namespace, "rethought")
    await cluster.apply(size=3, version=NEXT, **SIZES)
    await cluster.ready()
    before = await pod_uids(cluster)
    async with served(cluster, measure, "a downgrade that was cancelled"):
        await cluster.edit(version=PATCHED)
        # Six seconds before the template would name the older version.
        fits = "the members' data to fit"
        await moment(cluster, fits, lambda status: (status.get("upgrade") or {}).get("fitSince"))
        assert await forms(cluster) == {"3.5.0"}

        await cluster.edit(version=NEXT)
        await cluster.tells("DowngradeCancelled", of="3.5")
        await cluster.shows("UpToDate", kind="UpToDate", status="True")

        async def is_changed_back() -> bool:
            return await forms(cluster) == {"3.6.0"}

        await until("the data to fit 3.6 again", is_changed_back, within_s=CHANGED_BACK_WITHIN_S)
        assert await pod_uids(cluster) == before
        measure("a downgrade after one that was cancelled", await to(cluster, PATCHED))
