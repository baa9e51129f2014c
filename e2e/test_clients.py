"""An application writes and reads through the client Service; its owner looks with etcdctl."""

from e2e.harness.cluster import EtcdCluster
from e2e.harness.writer import Writer


async def test_an_application_writes_and_reads_through_the_client_service(
    db: EtcdCluster,
) -> None:
    endpoints = (await db.status())["clientEndpoints"]
    assert endpoints == [f"http://db.{db.namespace}.svc.cluster.local:2379"]
    async with Writer(db) as writer:
        await writer.goes_on()
    assert writer.count >= 6
    for pod in await db.pods():
        await writer.nothing_is_lost(pod)


async def test_etcdctl_in_a_pod_needs_no_flag(db: EtcdCluster) -> None:
    listed = await db.etcdctl("db-0", "member", "list")
    assert [line.split(", ")[1] for line in listed.splitlines()] == ["started"] * 3
    assert {line.split(", ")[0] for line in listed.splitlines()} == set((await db.ids()).values())
    await db.etcdctl("db-1", "put", "by-hand", "yes")
    assert (await db.etcdctl("db-2", "get", "by-hand")).split() == ["by-hand", "yes"]


async def test_the_client_service_leads_to_ready_members_only(db: EtcdCluster) -> None:
    service = await db.kube.get("Service", db.namespace, "db")
    peers = await db.kube.get("Service", db.namespace, "db-peer")
    assert service is not None
    assert peers is not None
    assert not service["spec"].get("publishNotReadyAddresses")
    assert peers["spec"]["publishNotReadyAddresses"] is True
    assert peers["spec"]["clusterIP"] == "None"
