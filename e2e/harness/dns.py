"""The cluster's DNS, configured for a while as other clusters have it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.harness.kube import Kube, Object, run
from e2e.harness.node import inside
from e2e.harness.wait import until

SCRIPT = Path(__file__).with_name("ask_for_names_of_addresses.py")
NAMESPACE, NAME, SERVICE, LABELS = "kube-system", "coredns", "kube-dns", "k8s-app=kube-dns"
KNOWN = "kubernetes.default.svc.cluster.local"
# It is stopped by the test; this is only so that none is left behind.
LONGEST_S = 400


@asynccontextmanager
async def configured(kube: Kube, change: Callable[[str], str]) -> AsyncIterator[None]:
    """CoreDNS with another configuration, and then with its own again."""
    found = await kube.get("ConfigMap", NAMESPACE, NAME)
    assert found is not None
    own = found["data"]["Corefile"]
    changed = change(own)
    assert changed != own

    async def serves() -> bool:
        pods = await kube.list("Pod", NAMESPACE, LABELS)
        conditions = [c for pod in pods for c in pod["status"].get("conditions", [])]
        ready = [c["status"] for c in conditions if c["type"] == "Ready"]
        return ready == ["True"]

    async def answers() -> bool:
        lookup = ("-I", "-c", f"import socket; socket.gethostbyname('{KNOWN}')")
        return (await run(*inside(sys.executable, *lookup))).code == 0

    async def use(text: str) -> None:
        await kube.patch("ConfigMap", NAMESPACE, NAME, {"data": {"Corefile": text}})
        for pod in await kube.list("Pod", NAMESPACE, LABELS):
            await kube.delete("Pod", NAMESPACE, pod["metadata"]["name"], grace_s=0)
        await until("DNS to serve", serves, within_s=60.0)
        # Until the Service leads to the new pod.
        await until("DNS to answer", answers, within_s=60.0)

    await use(changed)
    try:
        yield
    finally:
        await use(own)


def with_cache(corefile: str, cache: str) -> str:
    """The configuration with another cache."""
    begins = corefile.index("cache 30 {")
    ends = corefile.index("}", begins) + 1
    return corefile[:begins] + cache + corefile[ends:]


@dataclass
class Asked:
    """What was answered so far about the names of addresses."""

    unknown: int = 0
    unknown_from_cache: int = 0
    known: int = 0


@asynccontextmanager
async def asked_for_names(kube: Kube, near: str) -> AsyncIterator[Asked]:
    """Somebody asks all the time which names the 254 addresses around this one have."""
    service: Object | None = await kube.get("Service", NAMESPACE, SERVICE)
    assert service is not None
    server, network = service["spec"]["clusterIP"], near.rpartition(".")[0]
    command = (sys.executable, "-I", SCRIPT, server, network, LONGEST_S)
    process = await asyncio.create_subprocess_exec(
        *map(str, inside(*command)), stdout=asyncio.subprocess.PIPE
    )
    asked, output = Asked(), process.stdout
    assert output is not None

    async def read() -> None:
        async for line in output:
            asked.unknown, asked.unknown_from_cache, asked.known = map(int, line.split())

    async def of_all() -> bool:
        return asked.unknown + asked.known > 0

    reader = asyncio.create_task(read())
    try:
        await until("all addresses to be asked for", of_all, within_s=30.0)
        yield asked
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        await reader
