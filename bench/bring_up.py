"""How long does the operator take to a serving cluster, beside the same objects without it, and
what does TLS add?

Question: from apply to three ready voters, what does the operator add to what Kubernetes and etcd
need anyway?  Floor: the very objects that we render, applied in one go by the same client.
And to Ready=True: what do certificates, and handshakes among members, add to a cluster in plain
text?
Workload: rounds in turn, floor, plain text and TLS alternating, on one node, images present,
volumes new.  Every second round begins from the other end, so that none always comes after the same
one.
Limit: median of the ratios operator : floor ≤ 1.25, TLS : plain text ≤ 1.15.

Usage: python bench/bring_up.py --kubeconfig FILE [--rounds 5]   (the operator runs already)
"""

import argparse
import asyncio
import functools
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapMember, BootstrapStatus
from bench.objects import unowned_objects
from controllers.cluster.membership import Membership
from controllers.cluster.render.identity import identity_of
from controllers.resources import BY_KIND, CLUSTERS, NAMESPACES, PODS
from informers.wire import KubeApi, connect

T = TypeVar("T")

LIMIT = 1.25
TLS_LIMIT = 1.15
DEADLINE_S = 120.0
SIZE = 3
SPEC = {
    "size": SIZE,
    "version": "v3.5.21",
    "storage": {"size": "1Gi"},
    "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    "security": {"tls": {"enabled": False}},
}
WITH_TLS = SPEC | {"security": {"tls": {"enabled": True}}}


def floor_objects(namespace: str, name: str) -> list[dict[str, Any]]:
    """What the operator would make, without an owner: the garbage collector would remove them."""
    spec = ClusterSpec.model_validate(SPEC)
    bootstrap = BootstrapStatus(
        token=f"floor-{name}",
        epoch=1,
        size=SIZE,
        members=tuple(BootstrapMember(name=f"{name}-{n}", ordinal=n) for n in range(SIZE)),
    )
    who = identity_of(namespace, name, f"floor-{name}", bootstrap)
    membership = Membership(
        formed=False, ordinals=tuple(range(SIZE)), late=(), opened=None, listed=()
    )
    return unowned_objects(who, spec, membership)


async def wait_ready(api: KubeApi, namespace: str, name: str) -> None:
    """Until three pods of that name are ready: etcd's /readyz says so of a voter only."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            pods = await api.list(
                PODS, namespace=namespace, label_selector=f"app.kubernetes.io/instance={name}"
            )
            if sum(map(is_ready, pods)) == SIZE:
                return
            await asyncio.sleep(0.05)


def is_ready(obj: dict[str, Any]) -> bool:
    conditions = obj.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def with_operator(
    api: KubeApi, namespace: str, name: str, spec: dict[str, Any]
) -> tuple[float, float]:
    """Seconds to three ready pods, and to Ready=True of the EtcdCluster."""
    body = {
        "apiVersion": "etcd.etcd.io/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    started = time.perf_counter()
    await api.create(CLUSTERS, body, namespace=namespace)
    await wait_ready(api, namespace, name)
    pods = time.perf_counter() - started
    async with asyncio.timeout(DEADLINE_S):
        while not is_ready(await api.get(CLUSTERS, namespace=namespace, name=name)):
            await asyncio.sleep(0.05)
    return pods, time.perf_counter() - started


async def without_operator(api: KubeApi, namespace: str, name: str) -> float:
    """Seconds to three ready pods."""
    objects = floor_objects(namespace, name)
    started = time.perf_counter()
    for obj in objects:
        await api.apply(
            BY_KIND[obj["kind"]],
            obj,
            namespace=namespace,
            name=obj["metadata"]["name"],
            field_manager="bench",
        )
    await wait_ready(api, namespace, name)
    return time.perf_counter() - started


async def in_new_namespace(
    api: KubeApi, prefix: str, round_: int, measure: Callable[[KubeApi, str, str], Awaitable[T]]
) -> T:
    """Measure in a namespace of its own, and wait until it is gone: rounds must not overlap."""
    namespace = f"bench-{prefix}-{round_}-{int(time.monotonic() * 1000) % 100000}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await api.create(NAMESPACES, body)
    try:
        return await measure(api, namespace, f"{prefix}{round_}")
    finally:
        await api.delete(NAMESPACES, name=namespace)
        async with asyncio.timeout(DEADLINE_S):
            while any(n["metadata"]["name"] == namespace for n in await api.list(NAMESPACES)):
                await asyncio.sleep(0.2)


async def one_round(api: KubeApi, round_: int) -> tuple[float, float, float, float]:
    """Seconds: floor, the operator's three pods in plain text, its Ready=True, that with TLS."""
    measured: dict[str, tuple[float, float]] = {}

    async def floor(api: KubeApi, namespace: str, name: str) -> tuple[float, float]:
        seconds = await without_operator(api, namespace, name)
        return seconds, seconds

    kinds: list[tuple[str, Callable[[KubeApi, str, str], Awaitable[tuple[float, float]]]]] = [
        ("floor", floor),
        ("plain", functools.partial(with_operator, spec=SPEC)),
        ("tls", functools.partial(with_operator, spec=WITH_TLS)),
    ]
    for kind, measure in kinds if round_ % 2 == 0 else reversed(kinds):
        measured[kind] = await in_new_namespace(api, kind, round_, measure)
    return measured["floor"][0], *measured["plain"], measured["tls"][1]


async def run(kubeconfig: str, rounds: int) -> int:
    async with await connect(kubeconfig=kubeconfig, user_agent="etcd-operator-bench") as api:
        print(
            f"{'round':>5} {'floor s':>8} {'operator s':>11} {'Ready=True s':>13} {'ratio':>6}"
            f" {'with TLS s':>11} {'ratio':>6}"
        )
        ratios, tls_ratios = [], []
        for round_ in range(rounds):
            floor, pods, ready, tls = await one_round(api, round_)
            ratios.append(ready / floor)
            tls_ratios.append(tls / ready)
            print(
                f"{round_:>5} {floor:>8.2f} {pods:>11.2f} {ready:>13.2f} {ratios[-1]:>6.2f}"
                f" {tls:>11.2f} {tls_ratios[-1]:>6.2f}",
                flush=True,
            )
    return judged("bring-up", ratios, LIMIT) + judged("bring-up with TLS", tls_ratios, TLS_LIMIT)


def judged(name: str, ratios: list[float], limit: float) -> int:
    """Tells how the median stands to its limit; 1 where it is beyond it."""
    median = statistics.median(ratios)
    is_ok = median <= limit
    print(f"{name}: median ratio {median:.2f}, limit {limit}: {'ok' if is_ok else 'MISSED'}")
    return 0 if is_ok else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sys.exit(min(1, asyncio.run(run(str(given.kubeconfig), given.rounds))))
