"""What does the operator cost while nothing happens?

Question: with one idle three-member cluster, how much memory and CPU does the operator take, how
soon after its start does it reconcile, and does it write to the API server?
Workload: the operator as a process of its own, without a Lease held by anybody else; first idle,
then under 200 writes a second to etcd.  API writes are counted in the operator's own metrics, by
verb, and its Lease's renewals are left out.
Limits: resident memory ≤ 100 MB, CPU ≤ 1 % of a core, start to first reconcile ≤ 2 s, no writes.

Usage: python bench/footprint.py --kubeconfig FILE [--seconds 300]
Run it where pods are routable (hack/node/node.py exec), with no other operator running.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from controllers.resources import CLUSTERS, NAMESPACES, PODS
from informers.wire import KubeApi, connect

MEMORY_LIMIT_MB = 100.0
CPU_LIMIT_PERCENT = 1.0
START_LIMIT_S = 2.0
WRITES_PER_S = 200
DEADLINE_S = 120.0
METRICS = "127.0.0.1:18080"
HEALTH = "127.0.0.1:18081"
WRITE_VERBS = ("create", "update", "patch", "delete")
NAMESPACE = "bench-footprint"
NAME = "idle"


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process: CPU seconds since its start, resident memory in MB, API writes so far."""

    cpu_s: float
    memory_mb: float
    api_writes: int


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def api_writes(metrics: str) -> int:
    """All writes but those to Leases, from the text that Prometheus scrapes."""
    total = 0
    for line in metrics.splitlines():
        match = re.match(r"rest_client_requests_total\{(.*)\} (\S+)", line)
        if match is None or 'resource="leases"' in match[1]:
            continue
        if any(f'verb="{verb}"' in match[1] for verb in WRITE_VERBS):
            total += int(float(match[2]))
    return total


async def usage(session: aiohttp.ClientSession, pid: int) -> Usage:
    async with session.get(f"http://{METRICS}/metrics") as answer:
        return Usage(cpu_seconds(pid), memory_mb(pid), api_writes(await answer.text()))


@contextlib.asynccontextmanager
async def operator(kubeconfig: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The operator as users start it; ended with SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "operator", "run", "--kubeconfig", kubeconfig, "--namespace", NAMESPACE),
        # As in a pod, where it would be chosen by itself.
        *("--etcd-dialer", "direct"),
        *("--metrics-bind", METRICS, "--health-bind", HEALTH, "--log-level", "warning"),
        *("--leader-elect", "--leader-elect-namespace", NAMESPACE),
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 15)


async def first_reconcile(session: aiohttp.ClientSession, started: float) -> float:
    """Seconds from the start of the process to the end of its first reconcile."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"http://{METRICS}/metrics") as answer:
                    if reconciles(await answer.text()) > 0:
                        return time.perf_counter() - started
            await asyncio.sleep(0.01)


def reconciles(metrics: str) -> float:
    pattern = r'controller_runtime_reconcile_total\{controller="etcdcluster".*\} (\S+)'
    return sum(float(match[1]) for match in re.finditer(pattern, metrics))


async def wait_ready(api: KubeApi) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            obj = await api.get(CLUSTERS, namespace=NAMESPACE, name=NAME)
            conditions = obj.get("status", {}).get("conditions", ())
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(0.2)


async def write_steadily(session: aiohttp.ClientSession, address: str, seconds: float) -> int:
    """Put small keys through etcd's own HTTP gateway at a steady rate; returns how many."""
    loop = asyncio.get_running_loop()
    begin, done = loop.time(), 0
    while (now := loop.time()) < begin + seconds:
        key = base64.b64encode(f"bench/{done % 1000}".encode()).decode()
        body = {"key": key, "value": base64.b64encode(os.urandom(64)).decode()}
        async with session.post(f"http://{address}:2379/v3/kv/put", json=body) as answer:
            answer.raise_for_status()
        done += 1
        await asyncio.sleep(max(0.0, begin + done / WRITES_PER_S - now))
    return done


def rows(label: str, before: Usage, after: Usage, seconds: float) -> Iterator[tuple[str, bool]]:
    cpu = 100 * (after.cpu_s - before.cpu_s) / seconds
    writes = after.api_writes - before.api_writes
    yield (
        f"{label:<18} memory {after.memory_mb:6.1f} MB  limit {MEMORY_LIMIT_MB:g}",
        (after.memory_mb <= MEMORY_LIMIT_MB),
    )
    yield f"{label:<18} CPU    {cpu:6.2f} %   limit {CPU_LIMIT_PERCENT:g}", cpu <= CPU_LIMIT_PERCENT
    yield f"{label:<18} writes {writes:6d}     limit 0 (in {seconds:.0f} s)", writes == 0


async def measure(kubeconfig: str, seconds: float) -> bool:
    async with (
        await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api,
        aiohttp.ClientSession() as session,
    ):
        await api.create(NAMESPACES, _namespace())
        try:
            await api.create(CLUSTERS, _cluster(), namespace=NAMESPACE)
            return await _measure(api, session, kubeconfig, seconds)
        finally:
            await api.delete(NAMESPACES, name=NAMESPACE)


async def _measure(
    api: KubeApi, session: aiohttp.ClientSession, kubeconfig: str, seconds: float
) -> bool:
    async with operator(kubeconfig):
        await wait_ready(api)
    started = time.perf_counter()
    async with operator(kubeconfig) as process:
        start = await first_reconcile(session, started)
        text = f"{'start':<18} first reconcile {start:.2f} s  limit {START_LIMIT_S:g}"
        results = [(text, start <= START_LIMIT_S)]
        # The first look at the cluster after a start may still have something to write.
        await asyncio.sleep(15)
        before = await usage(session, process.pid)
        await asyncio.sleep(seconds)
        after = await usage(session, process.pid)
        results += rows("idle", before, after, seconds)
        pod = await api.get(PODS, namespace=NAMESPACE, name=f"{NAME}-0")
        count = await write_steadily(session, pod["status"]["podIP"], seconds)
        loaded = await usage(session, process.pid)
        results += rows(f"{count / seconds:.0f} writes/s", after, loaded, seconds)
    for text, ok in results:
        print(f"footprint: {text}: {'ok' if ok else 'MISSED'}")
    return all(ok for _, ok in results)


def _namespace() -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _cluster() -> dict[str, object]:
    return {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "size": 3,
            "version": "v3.5.21",
            "storage": {"size": "1Gi"},
            "security": {"tls": {"enabled": False}},
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--seconds", type=float, default=300)
    given = parser.parse_args()
    sys.exit(0 if asyncio.run(measure(given.kubeconfig, given.seconds)) else 1)
