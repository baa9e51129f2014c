"""A machine under the cluster is emptied for repair, loses its power, or is cut off. The members
are on three of them, in three zones, so that no acknowledged write is lost, and each member comes
back as itself.

Needs three nodes, and a session of its own: hack/test.sh several-nodes.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.conftest import Namespaces, explain_failure
from e2e.harness import installation
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.installation import Installation
from e2e.harness.kube import Kube
from e2e.harness.nodes import Nodes
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer

ZONE = "topology.kubernetes.io/zone"
GOES_ON_WITHIN_S = 30.0
BACK_WITHIN_S = 90.0


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
    operator: Installation,
    namespaces: Namespaces,
    shared: list[EtcdCluster],
) -> AsyncIterator[EtcdCluster]:
    """A Ready cluster of three members that may not share a node. A test mends what it breaks."""
    if not shared:
        shared.append(EtcdCluster(kube, await namespaces.make("spread")))
        await shared[0].apply(size=3, placement={"spread": "Required"})
    await shared[0].ready(within_s=BACK_WITHIN_S)
    yield shared[0]
    await explain_failure(request.node, shared[0].namespace)


async def places(db: EtcdCluster) -> dict[str, str]:
    """The node of each member's pod."""
    return {name: pod["spec"].get("nodeName", "") for name, pod in (await db.pods()).items()}


async def nodes_of_the_operator(kube: Kube) -> set[str]:
    labels = f"app.kubernetes.io/name={installation.NAME}"
    pods = await kube.list("Pod", installation.NAMESPACE, labels)
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


async def is_missed(db: EtcdCluster, victim: str) -> None:
    """Waits until the owner is told that the member is away, and that quorum is not."""

    async def told() -> bool:
        cluster = await db.get()
        away = [m["name"] for m in cluster["status"]["members"] if not m["ready"]]
        return away == [victim] and condition(cluster, "QuorumAvailable")["status"] == "True"

    await until(f"{victim} to be missed", told, within_s=GOES_ON_WITHIN_S)
