"""How soon is a lost member replaced, and a killed one back?

Questions: a member in the middle loses claim and pod: how long until another one votes in its
place?  A pod is killed: how long until its member is a healthy voter again, beside the same objects
without an operator?
Workload: three members of 3.6.16 after six quiet seconds; rounds in turn, hand and operator
alternating, each with several kills: kubelet asks for readiness every two seconds, which blurs one.
Limits: replaced in ≤ 20 s (median); ratio of the medians of the killed pod ≤ 1.2.

Usage: python -m bench.replace --kubeconfig FILE [--rounds 2]   (the operator runs already)
Run it where pods are routable (hack/node/node.py exec).
"""

import argparse
import asyncio
import statistics
import sys
from pathlib import Path

from bench.by_hand import ByHand
from bench.member_clusters import QUIET_S, SPEC, Managed, namespace, restarted, wait_ready
from informers.wire import KubeApi, connect

REPLACED_LIMIT_S = 20.0
BACK_LIMIT = 1.2
MIDDLE = 1
KILLS = 4


async def killed(api: KubeApi, space: str, name: str) -> list[float]:
    """Seconds from the end of a pod to its successor's being ready, again and again."""
    seconds = []
    for _ in range(KILLS):
        await asyncio.sleep(QUIET_S)
        seconds.append(await restarted(api, space, name, f"{name}-{MIDDLE}"))
    return seconds


async def without_operator(api: KubeApi) -> list[float]:
    async with namespace(api, "hand") as space:
        cluster = ByHand(api, space, "hand", SPEC, 3)
        await cluster.create()
        await wait_ready(api, space, "hand", 3)
        return await killed(api, space, "hand")


async def with_operator(api: KubeApi) -> tuple[list[float], float]:
    """The same, and the seconds from the loss of a volume to another voter."""
    async with namespace(api, "replace") as space:
        cluster = Managed(api, space, "lossy")
        await cluster.create(3)
        back = await killed(api, space, "lossy")
        await asyncio.sleep(QUIET_S)
        return back, await cluster.lose(MIDDLE)


async def run(kubeconfig: str, rounds: int) -> int:
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        print(f"{'round':>5} {'bare s':>7} {'operator s':>11} {'replaced s':>11}")
        bare: list[float] = []
        back: list[float] = []
        replaced: list[float] = []
        for round_ in range(rounds):
            bare += (alone := await without_operator(api))
            again, lost = await with_operator(api)
            back += again
            replaced.append(lost)
            medians = (statistics.median(alone), statistics.median(again))
            print(f"{round_:>5} {medians[0]:>7.2f} {medians[1]:>11.2f} {lost:>11.2f}")
    ratio = statistics.median(back) / statistics.median(bare)
    seconds = statistics.median(replaced)
    is_met = ratio <= BACK_LIMIT and seconds <= REPLACED_LIMIT_S
    print(
        f"replace: killed pod {ratio:.2f} x bare, limit {BACK_LIMIT}; lost member replaced in"
        f" {seconds:.1f} s, limit {REPLACED_LIMIT_S} s: {'ok' if is_met else 'MISSED'}"
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    sys.exit(asyncio.run(run(str(given.kubeconfig), given.rounds)))
