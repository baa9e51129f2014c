"""What do 1,000 idle EtcdClusters cost the operator, and how soon does it know them after a start?

Workload: the operator as a process of its own against a real API server without nodes; EtcdClusters
that are paused, so that nothing is made for them and no etcd is asked.  It runs twice: with none,
which ends with one that shows what status they get; and with 1,000 that have that status, as after
a restart.
Limits: all are synced and reconciled once in ≤ 5 s after the start (its CPU time is shown beside);
resident memory grows by ≤ 60 kB per EtcdCluster against the first run; nothing is written.

Usage: python bench/many_clusters.py
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from api_server import cluster, fill, free_port, limit, memory_mb, running

from controllers.resources import CLUSTERS
from informers.wire import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from api_server import ApiServer

COUNT = 1_000
SIZE_BYTES = 2_000
SYNC_LIMIT_S = 5.0
MEMORY_LIMIT_KB = 60.0
DEADLINE_S = 40.0
RECONCILE_DEADLINE_S = 20.0  # enough to see by how much the limit is missed
SETTLE_S = 2.0
TICKS_PER_S = 100
# Of so long a time it computes less than that when there is nothing to do.
REST_S, REST_CPU_S = 0.2, 0.03


@dataclass(frozen=True)
class Look:
    """At a running operator: seconds of wall and CPU time since its start, memory in MB."""

    wall_s: float
    cpu_s: float
    memory_mb: float

    def row(self, name: str) -> str:
        return f"  {name:<28}{self.wall_s:8.2f}{self.cpu_s:8.2f}{self.memory_mb:10.1f}"


class Running:
    """An operator process."""

    def __init__(self, session: aiohttp.ClientSession, pid: int, metrics: str, health: str) -> None:
        self._session = session
        self._pid = pid
        self._metrics = metrics
        self._health = health
        self._started = time.perf_counter()

    def look(self) -> Look:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
        return Look(time.perf_counter() - self._started, cpu_s, memory_mb(self._pid))

    async def ready(self) -> Look:
        """Once all caches are in."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with self._session.get(f"http://{self._health}/readyz") as answer:
                        if answer.status == 200:
                            return self.look()
                await asyncio.sleep(0.02)

    async def reconciled(self, count: int) -> tuple[Look, int]:
        """Once there were so many reconciles, or the time is over; and how many there were."""
        end = time.perf_counter() + RECONCILE_DEADLINE_S
        while True:
            look = await self._idle()
            done = int(await self._sum("controller_runtime_reconcile_total"))
            if done >= count or time.perf_counter() > end:
                return look, done

    async def _idle(self) -> Look:
        """When it began to rest. Asking it all the time would be most of its work."""
        look = self.look()
        while True:
            await asyncio.sleep(REST_S)
            before, look = look, self.look()
            if look.cpu_s - before.cpu_s <= REST_CPU_S:
                return before

    async def writes(self) -> float:
        """Requests to the API server that replaced a status."""
        return await self._sum("rest_client_requests_total", verb="update")

    async def _sum(self, name: str, verb: str = "") -> float:
        async with self._session.get(f"http://{self._metrics}/metrics") as answer:
            text = await answer.text()
        lines = re.findall(rf"^{name}(\{{.*\}}) (\S+)", text, re.MULTILINE)
        wanted = f'verb="{verb}"' if verb else ""
        ours = (value for labels, value in lines if wanted in labels)
        return sum(map(float, ours))


@contextlib.asynccontextmanager
async def operator(kubeconfig: str) -> AsyncIterator[Running]:
    metrics, health = (f"127.0.0.1:{free_port()}" for _ in range(2))
    async with aiohttp.ClientSession() as session:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "operator", "run", "--kubeconfig", kubeconfig, "--log-level", "error"),
            *("--metrics-bind", metrics, "--health-bind", health),
        )
        try:
            yield Running(session, process.pid, metrics, health)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 15)


async def without_any(server: ApiServer) -> tuple[Look, str]:
    """A look at an operator without EtcdClusters, and then at what it makes of one, as JSON."""
    async with operator(server.kubeconfig) as process:
        await process.ready()
        await asyncio.sleep(SETTLE_S)
        look = process.look()
        # One that was never started makes the operator ask the server for strangers' objects.
        first = cluster(0, size_bytes=SIZE_BYTES)
        await fill(server, [{**first, "status": {"appliedSpec": first["spec"]}}])
        await process.reconciled(1)
        async with (
            await connect(kubeconfig=server.kubeconfig, user_agent="etcd-operator-bench") as api,
            asyncio.timeout(DEADLINE_S),
        ):
            obj: dict[str, Any] = {}
            while "observedGeneration" not in obj.get("status", {}):
                await asyncio.sleep(0.1)
                obj = await api.get(CLUSTERS, namespace="default", name="cluster-00000")
        return look, json.dumps(obj["status"])


def settled(status: str) -> Iterator[dict[str, Any]]:
    """EtcdClusters as the operator leaves them."""
    for number in range(COUNT):
        obj = cluster(number, size_bytes=SIZE_BYTES)
        name = obj["metadata"]["name"]
        yield {**obj, "status": json.loads(status.replace("cluster-00000", name))}


async def with_all(kubeconfig: str) -> tuple[Look, Look, int, Look, float]:
    """When ready, when all are reconciled, in the end; and the writes it made."""
    async with operator(kubeconfig) as process:
        ready = await process.ready()
        reconciled, done = await process.reconciled(COUNT)
        await asyncio.sleep(SETTLE_S)
        return ready, reconciled, done, process.look(), await process.writes()


def main() -> bool:
    with running() as server:
        before, status = asyncio.run(without_any(server))
        asyncio.run(fill(server, settled(status)))
        ready, reconciled, done, after, writes = asyncio.run(with_all(server.kubeconfig))
    print("operator with EtcdClusters of 2 kB    wall s   CPU s memory MB")
    print(before.row("none, idle"))
    print(ready.row(f"{COUNT}, caches synced"))
    print(reconciled.row(f"{COUNT}, {done} reconciles"))
    print(after.row(f"{COUNT}, idle"))
    each_kb = (after.memory_mb - before.memory_mb) * 1e3 / COUNT
    return all(
        [
            limit("many_clusters caches synced after", ready.wall_s, SYNC_LIMIT_S, "s"),
            limit("many_clusters each reconciled after", reconciled.wall_s, SYNC_LIMIT_S, "s"),
            limit("many_clusters memory each", each_kb, MEMORY_LIMIT_KB, "kB"),
            limit("many_clusters statuses written again", writes, 0, "writes"),
        ]
    )


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
