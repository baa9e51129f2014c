"""How long do a list and an index of 10,000 objects take, and how much memory, beside client-go?

Workload: 10,000 EtcdClusters of 2 kB, managedFields included, in a real API server; our
`InformerSet` with an index by owner and a handler, against a dynamic informer of client-go with
the same (bench/client_go), once with its default streaming list and once with a plain one.  Each
round starts all three as fresh processes, in turn, after one small list each, so that none pays for
TLS.
Limits: no more time than the quicker client-go (the median of the rounds' ratios; in CPU time too,
for the neighbours of this machine), at most a third of the memory the smaller one adds, no pause of
the garbage collector beyond 10 ms.

Usage: python bench/list_index.py [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hack"))

from api_server import cluster, fill, limit, memory_mb, running, stopwatch
from lib import cache

from controllers.resources import CLUSTERS
from informers.informer_set import InformerSet
from informers.store import by_owner
from informers.wire import connect

COUNT = 10_000
SIZE_BYTES = 2_000
PAUSE_LIMIT_MS = 10.0
CHILD_DEADLINE_S = 60
GO_BUILD_DEADLINE_S = 600
GO_SOURCES = Path(__file__).parent / "client_go"

THEIRS = ("client-go, streaming", "client-go, plain list")

Figures = dict[str, float]


class Count:
    """A handler that does nothing else."""

    def __init__(self) -> None:
        self.added = 0

    def on_add(self, obj: object, *, initial: bool) -> None:
        self.added += 1

    def on_update(self, old: object, new: object) -> None: ...

    def on_delete(self, obj: object) -> None: ...


class Pauses:
    """How long the garbage collector kept everything waiting."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._started = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._started = now
        else:
            self.longest_s = max(self.longest_s, now - self._started)


async def ours(kubeconfig: str) -> Figures:
    """Of this process, which should have done nothing before."""
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        await api.list_page(CLUSTERS, params={"limit": "1"})
        gc.collect()
        informers, handler = InformerSet(api, CLUSTERS, indexers={"owner": by_owner}), Count()
        informers.add_handler(handler)
        pauses, before = Pauses(), memory_mb()
        wall, cpu = stopwatch()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(informers.run())
            await informers.wait_synced()
            end, cpu_end = stopwatch()
            rss_mb = memory_mb()
            await asyncio.sleep(1)
            assert handler.added == len(informers.keys()) == COUNT
            settled_mb = memory_mb()
            task.cancel()
    return {
        "seconds": end - wall,
        "cpu_seconds": cpu_end - cpu,
        "added_mb": rss_mb - before,
        "rss_mb": rss_mb,
        "settled_rss_mb": settled_mb,
        "pause_ms": pauses.longest_s * 1e3,
    }


def client_go_program() -> Path:
    """Built once per content, as all Go programs here."""
    sources = [GO_SOURCES / name for name in ("main.go", "go.mod", "go.sum")]

    def build(target: Path) -> None:
        command = ["go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-o"]
        subprocess.run(
            [*command, str(target / "client-go"), "."],
            cwd=GO_SOURCES,
            check=True,
            timeout=GO_BUILD_DEADLINE_S,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
        )

    version = subprocess.run(["go", "version"], check=True, capture_output=True, timeout=30)
    key = cache.digest([*sources, version.stdout])
    return cache.cached("bench-client-go", key, build, quiet=True) / "client-go"


def figures_of(command: list[str]) -> Figures:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=CHILD_DEADLINE_S)
    found: Any = json.loads(done.stdout)
    return {name: float(value) for name, value in found.items()}


def measure(rounds: int) -> bool:
    program = client_go_program()
    with running() as server:
        asyncio.run(fill(server, (cluster(n, size_bytes=SIZE_BYTES) for n in range(COUNT))))
        client_go = [str(program), server.kubeconfig, str(COUNT)]
        commands = {
            "ours": [sys.executable, __file__, "--child", server.kubeconfig],
            THEIRS[0]: ["env", "KUBE_FEATURE_WatchListClient=true", *client_go],
            THEIRS[1]: ["env", "KUBE_FEATURE_WatchListClient=false", *client_go],
        }
        # The server's first answers fill its own caches: a run that does not count.
        figures_of(commands["ours"])
        found: dict[str, list[Figures]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                found[name].append(figures_of(command))
    return report(found)


def report(found: dict[str, list[Figures]]) -> bool:
    columns = ("seconds", "cpu_seconds", "added_mb", "rss_mb", "settled_rss_mb")
    print(f"{COUNT} objects of {SIZE_BYTES} bytes".ljust(36), *(f"{c:>15}" for c in columns))
    for name, rounds in found.items():
        values = (median(figures[column] for figures in rounds) for column in columns)
        print(f"{name}, median of {len(rounds)}".ljust(36), *(f"{v:15.2f}" for v in values))

    def ratio(column: str) -> float:
        rounds = zip(found["ours"], *(found[name] for name in THEIRS), strict=True)
        return median(
            left[column] / min(right[column] for right in rights) for left, *rights in rounds
        )

    longest = max(figures["pause_ms"] for figures in found["ours"])
    return all(
        [
            limit("list_index time to client-go's", ratio("seconds"), 1.0, "x"),
            limit("list_index CPU time to client-go's", ratio("cpu_seconds"), 1.0, "x"),
            limit("list_index memory added to client-go's", ratio("added_mb"), 1 / 3, "x"),
            limit("list_index longest GC pause", longest, PAUSE_LIMIT_MS, "ms"),
        ]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", metavar="KUBECONFIG", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(uvloop.run(ours(given.child))))
        sys.exit(0)
    sys.exit(0 if measure(given.rounds) else 1)
