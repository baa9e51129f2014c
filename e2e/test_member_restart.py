"""A member's process or pod dies, and so does the operator: members come back as themselves, and no
acknowledged write is lost.
"""

import pytest

from e2e.harness import node
from e2e.harness.cluster import EtcdCluster
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer


async def another_pod(db: EtcdCluster, name: str, old_uid: str) -> None:
    async def is_ready() -> bool:
        pod = await db.pod(name)
        if pod is None or pod["metadata"]["uid"] == old_uid:
            return False
        conditions = pod["status"].get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    await until(f"a new pod {name} to be ready", is_ready, within_s=60.0)


@pytest.mark.essential
async def test_members_whose_pods_are_killed_come_back_as_the_same_members(
    db: EtcdCluster, operator: Operator, measure: Measure
) -> None:
    before = await db.ids()
    leader = await db.leader()
    follower = next(name for name in before if name != leader)
    async with Writer(db) as writer:
        for victim in (follower, leader):
            pod = await db.pod(victim)
            assert pod is not None
            await db.kube.delete("Pod", db.namespace, victim, grace_s=0)
            await another_pod(db, victim, pod["metadata"]["uid"])
            await db.ready()
            await writer.goes_on()
        await operator.kill()
        await writer.goes_on()
    await writer.nothing_is_lost()
    measure(
        "longest gap between acknowledged writes, pods and operator killed", writer.longest_gap_s
    )
    assert await db.ids() == before
    await operator.at_work()


async def test_a_leader_that_crashes_costs_no_write_and_comes_back_in_its_pod(
    db: EtcdCluster, measure: Measure
) -> None:
    before, leader = await db.ids(), await db.leader()
    pod = await db.pod(leader)
    assert pod is not None
    async with Writer(db) as writer:
        await node.signal(pod, "etcd", "KILL")
        await writer.goes_on()

        async def restarted() -> bool:
            now = await db.pod(leader)
            assert now is not None
            assert now["metadata"]["uid"] == pod["metadata"]["uid"]
            return bool(now["status"]["containerStatuses"][0]["restartCount"])

        await until(f"{leader} to be restarted", restarted, within_s=30.0)
        await db.ready()
        await writer.goes_on()
    await writer.nothing_is_lost()
    measure("longest gap between acknowledged writes, leader crashed", writer.longest_gap_s)
    assert await db.ids() == before
