"""A user names an etcd version, with or without the v, and gets it with fitting probes."""

import asyncio

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.wait import until

RUNNABLE = ("3.5.35", "v3.6.16", "3.7.3")


async def rendered_container(cluster: EtcdCluster) -> Object:
    async def stateful_set() -> Object | None:
        return await cluster.kube.get("StatefulSet", cluster.namespace, cluster.name)

    found = await until("the StatefulSet", stateful_set, within_s=30.0)
    assert found is not None
    container: Object = found["spec"]["template"]["spec"]["containers"][0]
    return container


async def test_an_old_version_written_without_v_gets_the_probes_that_it_knows(
    cluster: EtcdCluster,
) -> None:
    await cluster.apply(size=1, version="3.5.9")
    container = await rendered_container(cluster)
    await cluster.delete()
    assert container["image"] == "quay.io/coreos/etcd:v3.5.9"
    live = container["livenessProbe"]["httpGet"]
    ready = container["readinessProbe"]["httpGet"]
    assert live["path"].startswith("/health?")
    assert "serializable=true" in live["path"]
    assert ready["path"] == "/health"
    assert live["port"] == ready["port"] == 2381
    await cluster.gone()


async def test_a_newer_version_gets_livez_and_readyz(db: EtcdCluster) -> None:
    container = await rendered_container(db)
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


async def test_every_supported_minor_runs_and_keeps_a_key(kube: Kube, namespace: str) -> None:
    async def runs(version: str) -> None:
        number = version.removeprefix("v")
        cluster = EtcdCluster(kube, namespace, f"v{number.replace('.', '-')}")
        await cluster.apply(size=1, version=version)
        await cluster.ready()
        pod = f"{cluster.name}-0"
        assert f"etcdctl version: {number}" in await cluster.etcdctl(pod, "version")
        await cluster.etcd().put("hello", "world")
        assert await cluster.etcd().get("hello") == "world"
        assert (await cluster.status())["version"].startswith(f"v{number.rpartition('.')[0]}")

    async with asyncio.TaskGroup() as group:
        for version in RUNNABLE:
            group.create_task(runs(version))
