"""A machine under the cluster is emptied for repair, loses its power, or is cut off. The members
are on three of them, in three zones, so that no acknowledged write is lost, and each member comes
back as itself.

Needs three nodes, and a session of its own: hack/test.sh several-nodes.
"""

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.conftest import Namespaces, explain_failure
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.installation import Installation
from e2e.harness.kube import Kube
from e2e.harness.manifest import NAME, NAMESPACE
from e2e.harness.nodes import Nodes
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import never, until
from e2e.harness.writer import Writer

ZONE = "topology.kubernetes.io/zone"
GOES_ON_WITHIN_S = 30.0
BACK_WITHIN_S = 90.0
TAKEN_OVER_WITHIN_S = 25.0
SILENT_FOR_S = 15


@pytest_asyncio.fixture(loop_scope="session")
async def nodes(kube: Kube) -> AsyncIterator[Nodes]:
    """Whatever a test does to them, the next one finds all Ready."""
    nodes = Nodes(kube)
    if len(await nodes.all()) < 3:
        pytest.skip("needs three nodes: hack/test.sh several-nodes")
    yield nodes
    await nodes.mend()


@pytest_asyncio.fixture(loop_scope="session")
async def db(
    request: pytest.FixtureRequest,
    nodes: Nodes,
    kube: Kube,
    operator: Operator,
    namespaces: Namespaces,
    shared: list[EtcdCluster],
) -> AsyncIterator[EtcdCluster]:
    """A Ready cluster of three members that may not share a node. A test mends what it breaks."""
    if not shared:
        shared.append(EtcdCluster(kube, await namespaces.make("spread")))
        await shared[0].apply(size=3, placement={"spread": "Required"})
    await shared[0].ready(within_s=BACK_WITHIN_S)
    yield shared[0]
    await explain_failure(request.node, shared[0].namespace, operator)


async def places(db: EtcdCluster) -> dict[str, str]:
    """The node of each member's pod."""
    return {name: pod["spec"].get("nodeName", "") for name, pod in (await db.pods()).items()}


async def nodes_of_the_operator(kube: Kube) -> set[str]:
    pods = await kube.list("Pod", NAMESPACE, f"app.kubernetes.io/name={NAME}")
    return {pod["spec"].get("nodeName", "") for pod in pods}


async def a_victim(db: EtcdCluster, *, leads: bool) -> str:
    """A member that leads, or not, and that does not share its node with the operator."""
    where, taken = await places(db), await nodes_of_the_operator(db.kube)
    leader = await db.leader()
    free = [name for name, node in where.items() if node not in taken]
    if not leads:
        return next(name for name in free if name != leader)
    if leader not in free:
        await db.etcd(leader).move_leader((await db.ids())[free[0]])
    return leader if leader in free else free[0]


async def others_lead(db: EtcdCluster, ids: dict[str, str], victim: str) -> None:
    """Waits until the others agree on a leader among them."""
    others = [name for name in ids if name != victim]

    async def led() -> bool:
        leaders = {await db.etcd(name).leader_id() for name in others}
        return len(leaders) == 1 and leaders <= {ids[name] for name in others}

    await until(f"a leader other than {victim}", led, within_s=GOES_ON_WITHIN_S)


async def test_members_are_on_different_nodes_in_different_zones_and_so_are_their_volumes(
    db: EtcdCluster, nodes: Nodes
) -> None:
    where, machines = await places(db), await nodes.all()
    assert len(set(where.values())) == len(where) == 3
    zones = {machines[node]["metadata"]["labels"][ZONE] for node in where.values()}
    assert len(zones) == 3
    for member, node in where.items():
        claim = await db.kube.get("PersistentVolumeClaim", db.namespace, f"data-{member}")
        assert claim is not None
        assert claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node


@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
async def test_a_node_is_drained_but_not_a_second_one_until_the_member_is_back(
    db: EtcdCluster, nodes: Nodes, measure: Measure, leads: bool
) -> None:
    before, victim = await db.ids(), await a_victim(db, leads=leads)
    where = await places(db)
    second = next(node for name, node in where.items() if name != victim)
    async with Writer(db) as writer:
        drained = await nodes.drain(where[victim])
        assert drained.code == 0, drained.err
        await writer.goes_on()
        refused = await nodes.drain(second, limit_s=8)
        assert refused.code != 0
        assert "disruption budget" in refused.err
        await writer.goes_on()
        for node in (where[victim], second):
            await nodes.uncordon(node)
        await db.ready(within_s=BACK_WITHIN_S)
        await writer.goes_on()
    await writer.nothing_is_lost()
    kind = "leader" if leads else "follower"
    measure(f"longest gap between writes, the {kind}'s node drained", writer.longest_gap_s)
    assert await db.ids() == before
    assert (await places(db))[victim] == where[victim]


@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
async def test_a_node_loses_power_and_its_member_comes_back_with_it(
    db: EtcdCluster, nodes: Nodes, measure: Measure, leads: bool
) -> None:
    before, victim = await db.ids(), await a_victim(db, leads=leads)
    node = (await places(db))[victim]
    async with Writer(db) as writer:
        await nodes.stop(node)
        await others_lead(db, before, victim)
        await writer.goes_on()
        await nodes.noticed(node)
        await is_missed(db, victim)
        await nodes.start(node)
        await nodes.back(node)
        await db.ready(within_s=BACK_WITHIN_S)
        await writer.goes_on()
    await writer.nothing_is_lost()
    kind = "leader" if leads else "follower"
    measure(f"longest gap between writes, the {kind}'s node lost", writer.longest_gap_s)
    assert await db.ids() == before


@pytest.mark.parametrize("leads", [False, True], ids=["follower", "leader"])
async def test_a_node_is_cut_off_and_its_member_catches_up_afterwards(
    db: EtcdCluster, nodes: Nodes, measure: Measure, leads: bool
) -> None:
    before, victim = await db.ids(), await a_victim(db, leads=leads)
    pod = await db.pod(victim)
    assert pod is not None
    node = pod["spec"]["nodeName"]
    async with Writer(db) as writer:
        await nodes.cut(node)
        await others_lead(db, before, victim)
        await writer.goes_on()
        await nodes.noticed(node)
        await is_missed(db, victim)
        await nodes.heal(node)
        await nodes.back(node)
        await db.ready(within_s=BACK_WITHIN_S)
        await writer.goes_on()
    await writer.nothing_is_lost()
    await writer.nothing_is_lost(victim)
    kind = "leader" if leads else "follower"
    measure(f"longest gap between writes, the {kind}'s node cut off", writer.longest_gap_s)
    assert await db.ids() == before
    after = await db.pod(victim)
    assert after is not None
    assert after["metadata"]["uid"] == pod["metadata"]["uid"]


async def test_a_member_whose_node_stays_away_is_replaced_once_on_another_node(
    nodes: Nodes, cluster: EtcdCluster, measure: Measure
) -> None:
    await cluster.apply(size=3, recovery={"nodeLossSeconds": SILENT_FOR_S})
    await cluster.ready()
    before, victim = await cluster.ids(), await a_victim(cluster, leads=True)
    node = (await places(cluster))[victim]
    async with Writer(cluster) as writer:
        await nodes.stop(node)
        began = time.monotonic()

        async def is_elsewhere() -> bool:
            return (await places(cluster)).get(victim) not in (None, "", node)

        await until(f"{victim} to be on another node", is_elsewhere, within_s=90.0)
        await cluster.ready()
        measure(
            f"node lost to its member replaced, {SILENT_FOR_S} s of it waiting",
            time.monotonic() - began,
        )
        await writer.goes_on()
    await writer.nothing_is_lost()
    after = await cluster.ids()
    assert after.pop(victim) != before.pop(victim)
    assert after == before
    replaced = (await cluster.status()).get("replacements", [])
    assert [one["name"] for one in replaced] == [victim]


@pytest.mark.inside_only("the operator on this machine is on none of the nodes")
async def test_an_operator_is_cut_off_and_the_one_on_another_node_takes_over(
    nodes: Nodes, installation: Installation, cluster: EtcdCluster, measure: Measure
) -> None:
    first = await installation.leader()
    node = (await installation.pods())[first]["spec"]["nodeName"]
    await nodes.cordon(node)
    await installation.scale(2)
    await nodes.uncordon(node)
    await nodes.cut(node)
    began = time.monotonic()
    second = await installation.leader(other_than=first, within_s=TAKEN_OVER_WITHIN_S)
    measure("leading operator cut off to the other one leading", time.monotonic() - began)
    await cluster.apply(size=3)
    await cluster.ready()
    formed = await cluster.ids()
    await nodes.heal(node)
    await nodes.back(node)

    async def harm() -> object:
        status = await cluster.status()
        return first in await installation.holder() or status["bootstrap"]["epoch"] != 1

    await never(f"{first} did harm after {second} had taken over", harm, for_s=6.0)
    assert await cluster.ids() == formed
    await installation.scale(1)


async def is_missed(db: EtcdCluster, victim: str) -> None:
    """Waits until the owner is told that the member is away, and that quorum is not."""

    async def told() -> bool:
        cluster = await db.get()
        away = [m["name"] for m in cluster["status"]["members"] if not m["ready"]]
        return away == [victim] and condition(cluster, "QuorumAvailable")["status"] == "True"

    await until(f"{victim} to be missed", told, within_s=GOES_ON_WITHIN_S)
