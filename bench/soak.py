"""Do operators keep seeing every change, and keep their size, while all around them fails?

Question: after half an hour of faults, is every cache, handler and reconciler right, did never two
lead at once, and did no task, socket or memory leak?
Workload: two operators in this process, of ConfigMaps and EtcdClusters, against a real API server
behind bench/soak_proxy.py; 20 writes a second. Rounds of about a minute: first faults every few
seconds (the API server killed and started; connections cut and frozen; 429; watches ended, aborted
and expired; the leader stopped, cancelled and kept from its Lease), then a rest until all is right.
Limits, at each rest: right within 60 s (a silent watch is left after 20 s here, the opening of one
after 16 s, an informer's pauses are a few seconds, a Lease runs out after 8 s); tasks as at the
start; file descriptors no more than the connections that so many workers can use. At the end:
nothing left of them; at most a quarter of the reconciles failed (each asks the server, which is
away a third of the time; retries without backoff would be many times the successes); anonymous
memory rises ≤ 0.3 MB trimmed (what the allocator keeps for later is given back, in a fork, so that
the process itself goes on as it is) and ≤ 0.5 MB as it is, and Python objects ≤ 150, a minute, by
least squares over the second half (a leaked operator has some thousand objects, a leaked connection
some dozens; the heap of a quiet process moves by 0.1 MB).

Usage: python -m bench.soak [--minutes 30] [--seed N] [--log-level critical]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import logging
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import structlog
import uvloop
import yaml

from bench.api_server import before_others
from bench.soak_measures import Sample, descriptors, sample, slope, tasks
from bench.soak_operator import NAMESPACE, RESOURCES, WORKERS, Operator, Record
from controllers.resources import CLUSTERS, CONFIG_MAPS, NAMESPACES
from informers.errors import KubeError, NotFoundError
from informers.kubeconfig import KubeconfigSource
from informers.resource import Resource
from informers.wire import KubeApi, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[1]
CRDS = Resource(
    *("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
    namespaced=False,
)
LAG_INTERVAL_S = 0.1
NAMES = ("a", "b")
OBJECTS = 150  # of each kind, at most
WRITES_PER_S = 10  # of each kind
FAULTS_S = 30.0  # of each round
SETTLE_LIMIT_S = 60.0
START_DEADLINE_S = 120.0
# A connection to a frozen peer waits for its goodbye as long as uvloop's TLS has patience: 30 s.
END_DEADLINE_S = 40.0
ERRORS_LIMIT = 0.25
TRIMMED_LIMIT_MB_PER_MINUTE = 0.3
MEMORY_LIMIT_MB_PER_MINUTE = 0.5
OBJECTS_LIMIT_PER_MINUTE = 150
SAMPLES_TO_JUDGE = 6  # a line through fewer says nothing
# Each operator: a watch and WORKERS calls for each kind, and its Lease. The writers: one each, and
# the lists that we compare with.
SOCKETS_LIMIT = len(NAMES) * (len(RESOURCES) * (1 + WORKERS) + 1) + len(RESOURCES) + 1
FAULTS = {
    "restart": 2,
    "cut": 3,
    "freeze": 2,
    "storm": 2,
    "drop": 3,
    "stop": 1,
    "cancel": 1,
    "hold": 1,
}


# ---------------------------------------------------------------------- programs around us
@dataclass(frozen=True, slots=True)
class Child:
    """A program that is told things line by line; it ends when its standard input does."""

    process: asyncio.subprocess.Process

    async def tell(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{words}\n".encode())
        await self.process.stdin.drain()

    async def answer(self, beginning: str) -> str:
        """The next line that begins so; RuntimeError for one that tells of a failure."""
        assert self.process.stdout is not None
        async with asyncio.timeout(START_DEADLINE_S):
            while line := (await self.process.stdout.readline()).decode().strip():
                if line.startswith(beginning):
                    return line
                if line.startswith("FAILED"):
                    break
        raise RuntimeError(line or "the program ended")


@contextlib.asynccontextmanager
async def child(*command: str) -> AsyncIterator[Child]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=pipe, stdout=pipe, cwd=ROOT
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 20)


# ---------------------------------------------------------------------- writing
@dataclass
class Writer:
    """Makes, changes and deletes objects of one kind, at random, until it is told to rest."""

    api: KubeApi
    resource: Resource
    rng: random.Random
    resting: bool = False
    present: set[str] = field(default_factory=set)
    done: int = 0
    failed: int = 0

    async def run(self) -> None:
        while not self.resting:
            try:
                await self._write(f"x{self.rng.randrange(OBJECTS)}")
                self.done += 1
            except KubeError:
                self.failed += 1
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) / WRITES_PER_S)

    async def _write(self, name: str) -> None:
        where: dict[str, Any] = {"namespace": NAMESPACE, "name": name, "timeout_s": 5}
        if self.rng.random() < 0.25:
            with contextlib.suppress(NotFoundError):
                await self.api.delete(self.resource, **where)
            return
        body = object_of(self.resource, name, str(self.done) * 100)
        await self.api.apply(self.resource, body, field_manager="soak", **where)


def object_of(resource: Resource, name: str, text: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": NAMESPACE, "annotations": {"text": text}}
    head = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
    if resource is CONFIG_MAPS:
        return head | {"data": {"text": text}}
    return head | {"spec": {"size": 3, "version": "v3.5.21", "storage": {"size": "1Gi"}}}


async def prepare(api: KubeApi) -> None:
    """Our namespace and the kinds of the operator."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await api.create(NAMESPACES, body)
    text = (ROOT / "manifests" / "crds" / "etcd.etcd.io.yaml").read_text()
    for crd in yaml.safe_load_all(text):
        await api.create(CRDS, crd)
    async with asyncio.timeout(START_DEADLINE_S):
        while True:
            with contextlib.suppress(NotFoundError):
                await api.list(CLUSTERS)
                return
            await asyncio.sleep(0.1)


# ---------------------------------------------------------------------- faults
@dataclass
class Faults:
    """Makes one fault after the other, at random."""

    server: Child
    proxy: Child
    operators: list[Operator]
    rng: random.Random
    made: Counter[str] = field(default_factory=Counter)

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            (kind,) = self.rng.choices(list(FAULTS), list(FAULTS.values()))
            await self._make(kind)
            self.made[kind] += 1
            await asyncio.sleep(self.rng.uniform(2.0, 5.0))
        for name in NAMES:
            await self.proxy.tell(f"storm {name} 0")
            await self.proxy.tell(f"hold {name} 0")

    async def _make(self, kind: str) -> None:
        name = self.rng.choice(NAMES)
        leader = next((each for each in self.operators if each.leads), self.operators[0])
        match kind:
            case "restart":
                await self._restart()
            case "storm":
                await self.proxy.tell(f"storm {name} {self.rng.uniform(2, 8):.1f}")
            case "drop":
                await self.proxy.tell(f"drop {name} {self.rng.choice(('end', 'abort', 'expire'))}")
            case "stop":
                leader.stop()
            case "cancel":
                leader.cancel()
            case "hold":
                await self.proxy.tell(f"hold {leader.name} 9")
            case _:
                await self.proxy.tell(f"{kind} {name}")

    async def _restart(self) -> None:
        for verb in ("kill", "start"):
            await self.server.tell(f"{verb} kube-apiserver")
            await self.server.answer(f"OK {verb}")
            await asyncio.sleep(self.rng.uniform(0.0, 2.0))


# ---------------------------------------------------------------------- judging
def overlaps(leading: list[tuple[float, float, str]]) -> list[str]:
    """Pairs of operators whose work overlapped."""
    return [
        f"{later[2]} led {earlier[1] - later[0]:.3f} s before {earlier[2]} had ended"
        for earlier, later in itertools.pairwise(sorted(leading))
        if later[0] < earlier[1]
    ]


# ---------------------------------------------------------------------- the soak
class Soak:
    """Rounds of faults and rests, and what was found."""

    def __init__(
        self, api: KubeApi, faults: Faults, record: Record, writers: list[Writer], base_fds: int
    ) -> None:
        self.api = api
        self.faults = faults
        self.record = record
        self.writers = writers
        self.base_fds = base_fds
        self.base_tasks = 0
        self.samples: list[Sample] = []
        self.settled_s: list[float] = []
        # Of each round: how late the loop was at most, and how long this thread computed meanwhile.
        self.late_s = [(0.0, 0.0)]
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    @property
    def minutes(self) -> float:
        return (self._loop.time() - self._began) / 60

    async def measure_lag(self) -> None:
        """Until cancelled. A lag beyond the watchdog's patience has the process ended, rightly."""
        while True:
            due, computed = time.monotonic() + LAG_INTERVAL_S, time.thread_time()
            await asyncio.sleep(LAG_INTERVAL_S)
            lag = time.monotonic() - due, time.thread_time() - computed
            self.late_s[-1] = max(self.late_s[-1], lag)

    async def begin(self) -> None:
        """Without faults all must become right, and then there are as many tasks as ever."""
        await self._settle()
        self.base_tasks = len(tasks())
        print(f"soak: {self.base_tasks} tasks, {descriptors()} descriptors at the start")

    async def round(self) -> None:
        for writer in self.writers:
            writer.resting = False
        async with asyncio.TaskGroup() as group:
            for writer in self.writers:
                group.create_task(writer.run())
            await self.faults.run(FAULTS_S)
            for writer in self.writers:
                writer.resting = True
        self.settled_s.append(await self._settle())
        self.samples.append(await sample(self.minutes))
        self._report()
        self.late_s.append((0.0, 0.0))

    async def _settle(self) -> float:
        """Seconds until nothing is wrong; at the deadline what is wrong is noted."""
        began = self._loop.time()
        while (wrong := await self._wrong()) is not None:
            if self._loop.time() > began + SETTLE_LIMIT_S:
                self.record.fault(f"not right after {SETTLE_LIMIT_S:.0f} s: {wrong}")
                break
            await asyncio.sleep(0.2)
        return self._loop.time() - began

    async def _wrong(self) -> str | None:
        if sum(each.leads for each in self.faults.operators) != 1:
            return "nobody leads, or two do"
        for at, resource in enumerate(RESOURCES):
            there = await self._there(resource)
            for operator in self.faults.operators:
                if operator.life is None:
                    return f"operator {operator.name} does not run"
                kind = operator.life.kinds[at]
                if wrong := kind.missing(there, leads=operator.leads):
                    return f"operator {operator.name}: {wrong}"
        if self.base_tasks and len(tasks()) != self.base_tasks:
            return f"{len(tasks())} tasks instead of {self.base_tasks}: {tasks()}"
        if (count := descriptors()) > self.base_fds + SOCKETS_LIMIT:
            return f"{count} descriptors are open"
        return None

    async def _there(self, resource: Resource) -> dict[str, str]:
        listed = await self.api.list(resource, namespace=NAMESPACE)
        metas = (obj["metadata"] for obj in listed)
        return {f"{NAMESPACE}/{meta['name']}": meta["resourceVersion"] for meta in metas}

    def _report(self) -> None:
        done, failed = sum(w.done for w in self.writers), sum(w.failed for w in self.writers)
        now, made = self.samples[-1], dict(sorted(self.faults.made.items()))
        print(
            f"soak: minute {self.minutes:4.1f}: {done} writes ({failed} failed), right after"
            f" {self.settled_s[-1]:4.1f} s; {sum(made.values())} faults {made};"
            f" led {len(self.record.leading)} times; tasks {len(tasks())}, descriptors"
            f" {descriptors()} (limit {self.base_fds + SOCKETS_LIMIT}), memory"
            f" {now.memory_mb:.1f} MB ({now.trimmed_mb:.1f} trimmed), {now.objects} objects;"
            f" {late(self.late_s[-1])};"
            f" wrong: {len(self.record.faults)}",
            flush=True,
        )


def verdict(soak: Soak) -> bool:
    record = soak.record
    rows = [(what, False) for what in (*overlaps(record.leading), *record.faults)]
    rows.append((f"led {len(record.leading)} times, ends: {dict(record.ends)}", True))
    settled_s = soak.settled_s
    rows.append((f"right after {median(settled_s):.1f} s, at most {max(settled_s):.1f} s", True))
    rows.append((late(max(soak.late_s)), True))
    rows.append(reconciles(record))
    rows += growth(soak.samples[len(soak.samples) // 2 :])
    for text, ok in rows:
        print(f"soak: {text}: {'ok' if ok else 'FAILED'}")
    return all(ok for _, ok in rows)


def late(lag: tuple[float, float]) -> str:
    late_ms, computed_ms = (seconds * 1e3 for seconds in lag)
    return f"the loop was at most {late_ms:.0f} ms late, having computed for {computed_ms:.0f} ms"


def reconciles(record: Record) -> tuple[str, bool]:
    share = record.errors / max(record.reconciles, 1)
    text = f"{record.reconciles} reconciles, of them failed {share:.1%}  limit {ERRORS_LIMIT:.0%}"
    return text, record.reconciles > 0 and share <= ERRORS_LIMIT


def growth(samples: list[Sample]) -> list[tuple[str, bool]]:
    if len(samples) < SAMPLES_TO_JUDGE:
        return [("too short to judge growth", True)]
    found = [
        ("MB, trimmed", [each.trimmed_mb for each in samples], TRIMMED_LIMIT_MB_PER_MINUTE),
        ("MB, as it is", [each.memory_mb for each in samples], MEMORY_LIMIT_MB_PER_MINUTE),
        ("Python objects", [each.objects for each in samples], OBJECTS_LIMIT_PER_MINUTE),
    ]
    minutes = [each.minute for each in samples]
    rises = [(what, slope(minutes, values), limit) for what, values, limit in found]
    return [
        (f"{what}: {rise:+.3f} a minute  limit {limit:g}", rise <= limit)
        for what, rise, limit in rises
    ]


async def nothing_left(record: Record, base_tasks: int, base_fds: int) -> None:
    """Note what is still there when all operators have ended and all clients are closed."""
    loop = asyncio.get_running_loop()
    end = loop.time() + END_DEADLINE_S
    while loop.time() < end and (len(tasks()), descriptors()) != (base_tasks, base_fds):
        await asyncio.sleep(0.1)
    if len(tasks()) != base_tasks:
        record.fault(f"tasks are left: {tasks()}")
    if descriptors() != base_fds:
        record.fault(f"{descriptors() - base_fds} descriptors are left")
    threads = [thread.name for thread in threading.enumerate()]
    if "watchdog" in threads:
        record.fault("a watchdog is left")
    print(
        f"soak: left over: {len(tasks()) - base_tasks} tasks,"
        f" {descriptors() - base_fds} descriptors"
    )


async def run(folder: str, minutes: float, seed: int) -> bool:
    record, rng = Record(), random.Random(seed)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: record.fault(f"the loop tells: {context}")
    )
    program = str(ROOT / "hack" / "apiserver" / "apiserver.py")
    async with child(program, "run", "--dir", folder) as server:
        await server.answer("READY")
        async with child("-m", "bench.soak_proxy", "--dir", folder, *NAMES) as proxy:
            ports = json.loads(await proxy.answer("{"))
            return await soak(folder, ports, Faults(server, proxy, [], rng), record, minutes)


async def soak(
    folder: str, ports: dict[str, int], faults: Faults, record: Record, minutes: float
) -> bool:
    kubeconfig = f"{folder}/kubeconfig"
    endpoint = await KubeconfigSource(kubeconfig).load()
    base_tasks, base_fds = len(tasks()), descriptors()
    async with await connect(kubeconfig=kubeconfig, user_agent="soak-writer") as api:
        await prepare(api)
        seeds = (faults.rng.random() for _ in RESOURCES)
        writers = [
            Writer(api, resource, random.Random(seed))
            for resource, seed in zip(RESOURCES, seeds, strict=True)
        ]
        faults.operators += [
            Operator(name, replace(endpoint, url=f"https://127.0.0.1:{ports[name]}"), record)
            for name in NAMES
        ]
        async with asyncio.TaskGroup() as group:
            for operator in faults.operators:
                group.create_task(operator.run(), name=f"supervisor-{operator.name}")
            found = Soak(api, faults, record, writers, base_fds)
            lag = group.create_task(found.measure_lag(), name="lag")
            await found.begin()
            while found.minutes < minutes:
                await found.round()
            lag.cancel()
            for operator in faults.operators:
                operator.close()
    await nothing_left(record, base_tasks, base_fds)
    return verdict(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--log-level", default="critical")
    given = parser.parse_args()
    level = logging.getLevelNamesMapping()[given.log_level.upper()]
    logging.basicConfig(level=level)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))
    # Kept from the processor for half a second, a leader may find its Lease gone: no fault of ours.
    conditions = before_others()
    print(f"soak: {given.minutes:g} minutes, seed {given.seed}, {conditions}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        ok = uvloop.run(run(folder, given.minutes, given.seed))
    print(f"soak: {given.minutes:g} minutes, seed {given.seed}: {'ok' if ok else 'FAILED'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
