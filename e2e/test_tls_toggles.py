"""TLS is switched on, and off again, on a cluster that a client writes to all the time: it takes
the URL that it is told to go over to, and misses nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.harness.client_pod import CREDENTIALS, call_from_a_pod
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object
from e2e.harness.operator import Operator
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer
from e2e.test_tls import client_secret

PODS = ("db-0", "db-1", "db-2")
GRACE = "10s"
LONGEST_GAP_S = 2.0


def tls(*, on: bool, **halves: bool) -> Object:
    return {"security": {"tls": {"enabled": on, "rotationGracePeriod": GRACE, **halves}}}


def scheme(*, on: bool) -> str:
    return "https" if on else "http"


def say(endpoint: Path, url: str) -> None:
    """All at once, as whoever reads it may do so at any moment."""
    written = endpoint.with_suffix(".new")
    written.write_text(url)
    written.replace(endpoint)


async def change(cluster: EtcdCluster) -> Object:
    found: Object = (await cluster.status()).get("tls", {}).get("change") or {}
    return found


@contextlib.asynccontextmanager
async def application(cluster: EtcdCluster, folder: Path) -> AsyncIterator[tuple[Path, Path]]:
    """A file with the URL that the cluster's clients are to use, and a folder with what they show:
    there before the URL asks for it.
    """
    endpoint, credentials = folder.with_suffix(".url"), folder
    has_credentials = False

    async def look() -> None:
        nonlocal has_credentials
        status = await cluster.status()
        going = (status.get("tls") or {}).get("change") or {}
        new = scheme(on=going.get("enabled", False))
        urls = status["clientEndpoints"]
        url = next((one for one in urls if one.startswith(f"{new}://")), urls[0])
        if url.startswith("https://") and not has_credentials:
            await client_secret(cluster, credentials)
            has_credentials = True
        say(endpoint, url)

    async def follow() -> None:
        while True:
            await asyncio.sleep(1.0)
            await look()

    await look()
    following = asyncio.create_task(follow())
    try:
        yield endpoint, credentials
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def switched(cluster: EtcdCluster, *, client: bool, peer: bool) -> None:
    """Waits until TLS is so with clients and among the members, and nothing of it is left to do."""

    async def over() -> bool:
        return (await cluster.status()).get("tls") == {"client": client, "peer": peer}

    await until(f"TLS to be {client} with clients, {peer} with peers", over, within_s=240.0)
    await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=120.0)
    status = await cluster.status()
    urls = [one.partition("://")[0] for one in status["clientEndpoints"]]
    assert urls == [scheme(on=client)]
    for pod in PODS[: len(status["members"])]:
        listed = await cluster.etcdctl(pod, "member", "list")
        for line in listed.splitlines():
            _, _, _, peer_urls, client_urls, _ = line.split(", ")
            assert (peer_urls.partition("://")[0], "," in peer_urls) == (scheme(on=peer), False)
            assert client_urls.partition("://")[0] == scheme(on=client)


async def answers(cluster: EtcdCluster, kube: Kube, *, on: bool) -> bool:
    """Whether clients are served in that way."""
    url = f"{scheme(on=on)}://db.{cluster.namespace}.svc:2379"
    shown = CREDENTIALS if on else ()
    done, _ = await call_from_a_pod(
        kube, cluster.namespace, "db-client-tls", url, *shown, "get", "x"
    )
    return done


@pytest.mark.timeout(600)
@pytest.mark.long
async def test_tls_is_switched_on_and_off_while_a_client_writes(
    cluster: EtcdCluster, kube: Kube, tmp_path: Path, measure: Measure
) -> None:
    await cluster.apply(size=3, **tls(on=False))
    await cluster.ready()
    for on in (True, False):
        async with (
            application(cluster, tmp_path / scheme(on=on)) as (endpoint, credentials),
            Writer(cluster, credentials, endpoint=endpoint) as writer,
        ):
            began = time.monotonic()
            await cluster.edit(**tls(on=on))
            await switched(cluster, client=on, peer=on)
            measure(f"TLS of 3 members, {'on' if on else 'off'}", time.monotonic() - began)
            await writer.goes_on()
        measure(f"longest gap between writes, TLS {'on' if on else 'off'}", writer.longest_gap_s)
        assert writer.longest_gap_s <= LONGEST_GAP_S
        for pod in PODS:
            await writer.nothing_is_lost(pod)
        assert await answers(cluster, kube, on=on)
        assert not await answers(cluster, kube, on=not on)
    await cluster.tells("TLSSwitching", of="second peer URL")
    await cluster.tells("TLSSwitching", of="by http and https until")
    await cluster.tells("TLSSwitched", of="TLS with clients is off")


@pytest.mark.timeout(400)
@pytest.mark.long
async def test_operator_that_is_killed_in_every_phase_goes_on(
    cluster: EtcdCluster, kube: Kube, operator: Operator, tmp_path: Path, measure: Measure
) -> None:
    """Members have a pod of theirs killed as well."""
    await cluster.apply(size=3, **tls(on=False))
    await cluster.ready()
    killed: list[str] = []

    async def kill_in_each_phase() -> bool:
        going = await change(cluster)
        if going and going["phase"] not in killed:
            pod = PODS[len(killed) % len(PODS)]
            killed.append(going["phase"])
            await operator.kill()
            await kube.delete("Pod", cluster.namespace, pod)
        return not going and bool(killed)

    async with (
        application(cluster, tmp_path / "application") as (endpoint, credentials),
        Writer(cluster, credentials, endpoint=endpoint) as writer,
    ):
        began = time.monotonic()
        await cluster.edit(**tls(on=False, peerTLSEnabled=True))
        await until("the switch to be over", kill_in_each_phase, within_s=240.0)
        await switched(cluster, client=False, peer=True)
        seconds = time.monotonic() - began
        measure(f"TLS among 3 members, operator and pods killed {len(killed)} times", seconds)
        await writer.goes_on()
    measure("longest gap between writes, operator and pods killed", writer.longest_gap_s)
    assert {"Preparing", "Switching"} <= set(killed)
    await writer.nothing_is_lost("db-1")


async def test_tls_with_clients_alone_can_be_taken_back_while_both_ways_are_served(
    cluster: EtcdCluster, kube: Kube
) -> None:
    await cluster.apply(size=1, **tls(on=False))
    await cluster.ready()
    serving = {"enabled": False, "rotationGracePeriod": "1h"}
    await cluster.edit(security={"tls": {**serving, "clientTLSEnabled": True}})

    async def both_are_served() -> bool:
        return (await change(cluster)).get("phase") == "Serving"

    await until("clients to be served in both ways", both_are_served, within_s=120.0)
    schemes = [one.partition("://")[0] for one in (await cluster.status())["clientEndpoints"]]
    assert schemes == ["http", "https"]
    assert await answers(cluster, kube, on=True)
    assert await answers(cluster, kube, on=False)
    message = await cluster.shows("SwitchingTLS", kind="UpToDate", status="False")
    assert "clients have until" in message

    await cluster.edit(security={"tls": {"clientTLSEnabled": False, "rotationGracePeriod": "1s"}})
    await switched(cluster, client=False, peer=False)
    assert not await answers(cluster, kube, on=True)
    assert await answers(cluster, kube, on=False)
    assert (await cluster.members()).keys() == {"db-0"}
