"""What does a rolling upgrade cost those who write meanwhile, and what does it take beside the
restarts that it consists of?

Questions: three members at 200 writes a second go up one minor version: the longest time without an
acknowledged write, and the whole time beside three restarts of a pod of the same cluster, each from
its deletion to ready?  The same of a second minor version (whose log is put behind a snapshot
first) and of the way back (whose data etcd changes first)?  Does a larger volume restart anybody?
Limits: gap ≤ 1.5 s; the first upgrade ≤ 3 x a restart (median of three) + 6 s; growth restarts
nobody.  The other ways are printed: they wait for etcd where the first does not.

Usage: python -m bench.upgrade --kubeconfig FILE   (the operator runs already)
Run it where Services are routable (hack/node/node.py exec).
"""

import argparse
import asyncio
import itertools
import statistics
import sys
from pathlib import Path

from bench.member_clusters import QUIET_S, Managed, namespace, restarted
from bench.steady_writer import PER_S, SteadyWriter
from controllers.resources import PODS, SERVICES
from informers.wire import KubeApi, connect

MEMBERS = 3
GAP_LIMIT_S = 1.5
BESIDE_RESTARTS_S = 6.0
PATH = ("v3.5.35", "v3.6.16", "v3.7.3", "v3.6.16")


async def restart_s(api: KubeApi, space: str, name: str) -> float:
    """The median of one restart of each pod, as the operator would do it."""
    seconds = []
    for ordinal in range(MEMBERS):
        await asyncio.sleep(QUIET_S)
        seconds.append(await restarted(api, space, name, f"{name}-{ordinal}", at_once=False))
    await asyncio.sleep(QUIET_S)
    return statistics.median(seconds)


async def processes(api: KubeApi, space: str) -> dict[str, tuple[str, str]]:
    """Which process each member is: its pod's uid, and when its container began."""
    pods = await api.list(PODS, namespace=space)
    return {
        pod["metadata"]["name"]: (
            pod["metadata"]["uid"],
            pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"],
        )
        for pod in pods
    }


def verdict(what: str, value: float, limit: float, unit: str = " s") -> bool:
    is_met = value <= limit
    print(f"upgrade: {what}: {value:.1f}{unit}, limit {limit:.1f}{unit}: {_said(ok=is_met)}")
    return is_met


def _said(*, ok: bool) -> str:
    return "ok" if ok else "MISSED"


async def measure(api: KubeApi, space: str) -> bool:
    cluster = Managed(api, space, "up")
    await cluster.create(MEMBERS, version=PATH[0])
    service = await api.get(SERVICES, namespace=space, name="up")
    address = service["spec"]["clusterIP"]
    restart = await restart_s(api, space, "up")
    print(f"upgrade: a pod restarts within {restart:.1f} s")
    results = []
    for before, after in itertools.pairwise(PATH):
        async with SteadyWriter(address) as writer:
            seconds = await cluster.becomes(version=after)
            gap, rate = writer.longest_gap_s, writer.per_s
        way = f"{before} to {after} at {rate:.0f} of {PER_S} writes/s"
        results.append(verdict(f"{way}, longest gap", gap, GAP_LIMIT_S))
        if before == PATH[0]:
            limit = MEMBERS * restart + BESIDE_RESTARTS_S
            results.append(verdict(f"{before} to {after}, in all", seconds, limit))
        else:
            print(f"upgrade: {before} to {after}, in all: {seconds:.1f} s, {restart:.1f} a restart")
    running = await processes(api, space)
    seconds = await cluster.becomes(storage={"size": "2Gi"})
    others = len(running.items() - (await processes(api, space)).items())
    results.append(verdict(f"volumes grown in {seconds:.1f} s, restarted members", others, 0, ""))
    return all(results)


async def run(kubeconfig: str) -> int:
    async with (
        await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api,
        namespace(api, "upgrade") as space,
    ):
        return 0 if await measure(api, space) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, type=Path)
    given = parser.parse_args()
    sys.exit(asyncio.run(run(str(given.kubeconfig))))
