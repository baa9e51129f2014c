"""What does the operator's care cost when a cluster grows, and does one cluster wait for another?

Questions: from 3 to 5 members, how long beside the same two steps done by an attentive hand (add a
learner, its file and its pod, promote; asking etcd ten times a second)?  From 5 to 3?  And do four
clusters of seven, created at once, wait for each other?
Workload: rounds in turn, hand and operator alternating, six quiet seconds after each bring-up, so
that etcd lets new members in.
Limits: median ratio of growth ≤ 1.3; 5 to 3 ≤ 2 s; the slowest of four ≤ 1.5 x the slowest of four
without an operator (two cores are busy with 28 members starting, so one alone is no measure; its
time is printed, as are the operator's CPU seconds per cluster).

Usage: python -m bench.scale --kubeconfig FILE [--rounds 3]   (the operator runs already)
Run it where pods are routable (hack/node/node.py exec).
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from bench.by_hand import ByHand
from bench.member_clusters import QUIET_S, SPEC, Managed, namespace, wait_ready
from controllers.resources import PODS
from informers.wire import KubeApi, connect

GROWTH_LIMIT = 1.3
SHRINK_LIMIT_S = 2.0
TOGETHER_LIMIT = 1.5
CLUSTERS_AT_ONCE, LARGE = 4, 7
OPERATOR = "etcd-operator-system"


async def by_hand(api: KubeApi) -> float:
    """Seconds from 3 to 5 ready members."""
    async with namespace(api, "hand") as space:
        cluster = ByHand(api, space, "hand", SPEC, 3)
        await cluster.create()
        await wait_ready(api, space, "hand", 3)
        await asyncio.sleep(QUIET_S)
        began = time.perf_counter()
        await cluster.grow()
        await cluster.grow()
        await wait_ready(api, space, "hand", 5)
        return time.perf_counter() - began


async def by_operator(api: KubeApi) -> tuple[float, float]:
    """Seconds from 3 to 5, and from 5 to 3."""
    async with namespace(api, "scale") as space:
        cluster = Managed(api, space, "scaled")
        await cluster.create(3)
        await asyncio.sleep(QUIET_S)
        up = await cluster.scale(5)
        await asyncio.sleep(QUIET_S)
        return up, await cluster.scale(3)


async def operator_cpu_s(api: KubeApi) -> float:
    """Of the operator's process so far, by its own metrics."""
    label = "app.kubernetes.io/name=etcd-operator"
    pods = await api.list(PODS, namespace=OPERATOR, label_selector=label)
    address = pods[0]["status"]["podIP"]
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address}:8080/metrics") as answer,
    ):
        found = re.search(r"^process_cpu_seconds_total (\S+)", await answer.text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


async def created(api: KubeApi, count: int) -> tuple[list[float], float]:
    """Seconds to Ready of each of so many large clusters created at once; CPU seconds of all."""
    async with namespace(api, f"large-{count}") as space:
        before = await operator_cpu_s(api)
        clusters = [Managed(api, space, f"large{n}") for n in range(count)]
        seconds = await asyncio.gather(*(cluster.create(LARGE) for cluster in clusters))
        return list(seconds), await operator_cpu_s(api) - before


def verdict(what: str, value: float, limit: float, unit: str = "") -> bool:
    is_met = value <= limit
    print(f"{what}: {value:.2f}{unit}, limit {limit}{unit}: {'ok' if is_met else 'MISSED'}")
    return is_met


async def growth(api: KubeApi, rounds: int) -> bool:
    print(f"{'round':>5} {'3-5 by hand s':>14} {'3-5 operator s':>15} {'ratio':>6} {'5-3 s':>6}")
    ratios, downs = [], []
    for round_ in range(rounds):
        hand = await by_hand(api)
        up, down = await by_operator(api)
        ratios.append(up / hand)
        downs.append(down)
        print(f"{round_:>5} {hand:>14.2f} {up:>15.2f} {ratios[-1]:>6.2f} {down:>6.2f}")
    grows = verdict("3 to 5: median ratio", statistics.median(ratios), GROWTH_LIMIT)
    shrinks = verdict("5 to 3: median", statistics.median(downs), SHRINK_LIMIT_S, " s")
    return grows and shrinks


async def created_by_hand(api: KubeApi, count: int) -> list[float]:
    """The same objects without an operator: what node and etcd need on this machine."""
    async with namespace(api, f"floor-{count}") as space:
        names = [f"floor{n}" for n in range(count)]

        async def one(name: str) -> float:
            began = time.perf_counter()
            await ByHand(api, space, name, SPEC, LARGE).create()
            await wait_ready(api, space, name, LARGE)
            return time.perf_counter() - began

        return await asyncio.gather(*map(one, names))


async def together(api: KubeApi) -> bool:
    (alone,), cpu_alone = await created(api, 1)
    floor = await created_by_hand(api, CLUSTERS_AT_ONCE)
    seconds, cpu = await created(api, CLUSTERS_AT_ONCE)
    print(f"{LARGE} members: alone {alone:.2f} s; {CLUSTERS_AT_ONCE} at once {listed(seconds)} s")
    print(f"{CLUSTERS_AT_ONCE} at once by hand {listed(floor)} s")
    print(f"operator's CPU: {cpu_alone:.2f} s alone, {cpu / CLUSTERS_AT_ONCE:.2f} s per cluster")
    what = "four at once: slowest beside slowest by hand"
    return verdict(what, max(seconds) / max(floor), TOGETHER_LIMIT)


def listed(seconds: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds)


async def run(kubeconfig: str, rounds: int) -> int:
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        passed = [await growth(api, rounds), await together(api)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    sys.exit(asyncio.run(run(str(given.kubeconfig), given.rounds)))
