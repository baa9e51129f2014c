"""Both authorities of a cluster are replaced while a client writes all the time: it reads its files
anew for each connection, as kubelet brings them to an application, and notices nothing.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer

TLS: Object = {"security": {"tls": {"enabled": True, "rotationGracePeriod": "15s"}}}
LONGEST_GAP_S = 2.0


@contextlib.asynccontextmanager
async def mounted(cluster: EtcdCluster, folder: Path) -> AsyncIterator[Path]:
    """The client's Secret as a folder that follows it, as kubelet has it in an application's pod:
    all files change at once.
    """

    async def copy() -> None:
        name = f"{cluster.name}-client-tls"
        secret = await cluster.kube.get("Secret", cluster.namespace, name)
        assert secret is not None
        data = folder.with_name(secret["metadata"]["resourceVersion"])
        if data.exists():
            return
        data.mkdir()
        for key, value in secret["data"].items():
            (data / key).touch(mode=0o600)
            (data / key).write_bytes(base64.b64decode(value))
        link = folder.with_name("new")
        link.symlink_to(data)
        link.replace(folder)

    async def follow() -> None:
        while True:
            await asyncio.sleep(1.0)
            await copy()

    await copy()
    following = asyncio.create_task(follow())
    try:
        yield folder
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def rotate(cluster: EtcdCluster, which: str) -> None:
    metadata = {"annotations": {"etcd.etcd.io/rotate-authority": which}}
    await cluster.kube.patch("EtcdCluster", cluster.namespace, cluster.name, {"metadata": metadata})


async def authorities(cluster: EtcdCluster) -> Object:
    found: Object = (await cluster.status())["authorities"]
    return found


async def rotated(cluster: EtcdCluster, before: Object, *names: str) -> None:
    """Waits until these authorities are others, and nothing of it is left to do."""

    async def over() -> bool:
        now = await authorities(cluster)
        return "rotation" not in now and all(now[name] != before[name] for name in names)

    await until("the authorities to be replaced", over, within_s=280.0)
    await cluster.shows("UpToDate", kind="UpToDate", status="True")
    await cluster.shows("CertificatesValid", kind="TLSReady", status="True")


@pytest.mark.timeout(360)
async def test_both_authorities_are_replaced_and_no_write_is_lost(
    cluster: EtcdCluster, kube: Kube, tmp_path: Path, measure: Measure
) -> None:
    await cluster.apply(size=3, **TLS)
    await cluster.ready()
    before = await authorities(cluster)
    async with mounted(cluster, tmp_path / "client") as folder:
        async with Writer(cluster, folder) as writer:
            began = time.monotonic()
            await rotate(cluster, "all")
            await rotated(cluster, before, "client", "peer")
            measure("rotation of both authorities of 3 members", time.monotonic() - began)
            await writer.goes_on()
        measure("longest gap between writes, rotation of both", writer.longest_gap_s)
        assert writer.longest_gap_s <= LONGEST_GAP_S
        for pod in ("db-0", "db-1", "db-2"):
            await writer.nothing_is_lost(pod)
    await cluster.tells("AuthorityRotated")
    for name, authority in (("db-ca", "client"), ("db-peer-ca", "peer")):
        secret = await kube.get("Secret", cluster.namespace, name)
        assert secret is not None
        assert "next-tls.key" not in secret["data"], authority


@pytest.mark.timeout(300)
@pytest.mark.long
async def test_operator_that_is_killed_in_every_long_phase_goes_on(
    cluster: EtcdCluster, operator: Operator, tmp_path: Path, measure: Measure
) -> None:
    await cluster.apply(size=3, version="v3.7.3", **TLS)
    await cluster.ready()
    before = await authorities(cluster)
    killed: list[str] = []

    async def kill_in_each_phase() -> bool:
        rotation = (await authorities(cluster)).get("rotation")
        if rotation is not None and rotation["phase"] not in killed:
            killed.append(rotation["phase"])
            await operator.kill()
        return rotation is None and bool(killed)

    async with mounted(cluster, tmp_path / "client") as folder:
        async with Writer(cluster, folder) as writer:
            began = time.monotonic()
            await rotate(cluster, "client")
            await until("the rotation to be over", kill_in_each_phase, within_s=200.0)
            await rotated(cluster, before, "client")
            measure(f"rotation, operator killed {len(killed)} times", time.monotonic() - began)
        assert {"Trusting", "Replacing", "Dropping"} <= set(killed)
        assert writer.longest_gap_s <= LONGEST_GAP_S
        await writer.nothing_is_lost("db-1")
