"""A real API server with our CRDs for a benchmark, and objects put into its etcd by the thousand.

Benchmarks that need objects, but no pods, start it themselves: `hack/apiserver` on loopback.
Objects go straight into that server's etcd, a hundred to a transaction: ten thousand creates
through the API would take longer than all that is measured.  What clients see is the same, as the
API server reads, defaults and watches what etcd holds.  Never for a cluster of anybody's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from controllers.resources import CLUSTERS
from informers.errors import KubeError
from informers.wire import KubeApi, connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 20.0
CRDS_DEADLINE_S = 20.0
FILL_DEADLINE_S = 30.0
USER_AGENT = "etcd-operator-bench"
# etcd's default for --max-txn-ops is 128.
_PUTS_PER_TXN = 100
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """`kubeconfig` is the administrator's; `etcd` the URL of the server's own etcd."""

    kubeconfig: str
    etcd: str


@contextlib.contextmanager
def running() -> Iterator[ApiServer]:
    """Raises TimeoutError when it is not ready in time; ended with all its children."""
    command = [sys.executable, str(ROOT / "hack/apiserver/apiserver.py"), "run", "--dir"]
    with tempfile.TemporaryDirectory(prefix="bench-apiserver-") as folder:
        process = subprocess.Popen(
            [*command, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            kubeconfig = _wait_ready(process)
            asyncio.run(_install_crds(kubeconfig))
            yield ApiServer(kubeconfig, _etcd_of(Path(folder)))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_DEADLINE_S)


def _wait_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_DEADLINE_S)
    words = process.stdout.readline().split() if readable else []
    if words[:1] != ["READY"]:
        raise TimeoutError(f"hack/apiserver is not ready: {' '.join(words)}")
    return words[1]


def _etcd_of(folder: Path) -> str:
    """Its address is nowhere but in the API server's command line."""
    pid = json.loads((folder / "pids.json").read_text())["kube-apiserver"]
    flags = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return next(f.partition("=")[2] for f in flags if f.startswith("--etcd-servers="))


async def _install_crds(kubeconfig: str) -> None:
    documents = yaml.safe_load_all((ROOT / "manifests/crds/etcd.etcd.io.yaml").read_text())
    async with await connect(kubeconfig=kubeconfig, user_agent=USER_AGENT) as api:
        for crd in filter(None, documents):
            await api.request("POST", _CRDS, body=json.dumps(crd).encode())
        await _wait_served(api)


async def _wait_served(api: KubeApi) -> None:
    async with asyncio.timeout(CRDS_DEADLINE_S):
        while True:
            with contextlib.suppress(KubeError):
                await api.list_page(CLUSTERS, params={"limit": "1"})
                return
            await asyncio.sleep(0.05)


async def _put_all(etcd: str, objects: Iterable[Mapping[str, Any]]) -> None:
    objects = iter(objects)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        while some := list(itertools.islice(objects, _PUTS_PER_TXN)):
            body = {"success": [{"requestPut": _put(obj)} for obj in some]}
            async with session.post(f"{etcd}/v3/kv/txn", json=body) as answer:
                answer.raise_for_status()


async def fill(server: ApiServer, objects: Iterable[Mapping[str, Any]]) -> None:
    """Put them, and wait until the API server's cache has them."""
    await _put_all(server.etcd, objects)
    async with await connect(kubeconfig=server.kubeconfig, user_agent=USER_AGENT) as api:
        page = json.loads(await api.list_page(CLUSTERS, params={"limit": "1"}))
        params = {"limit": "1", "resourceVersion": page["metadata"]["resourceVersion"]}
        async with asyncio.timeout(FILL_DEADLINE_S):
            while True:
                # Refused while the cache is behind.
                with contextlib.suppress(KubeError):
                    await api.list_page(CLUSTERS, params=params)
                    return
                await asyncio.sleep(0.05)


def _put(obj: Mapping[str, Any]) -> dict[str, str]:
    meta = obj["metadata"]
    key = f"/registry/{CLUSTERS.group}/{CLUSTERS.plural}/{meta['namespace']}/{meta['name']}"
    return {"key": _encode(key.encode()), "value": _encode(json.dumps(obj).encode())}


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def cluster(number: int, *, size_bytes: int = 0, **metadata: object) -> dict[str, Any]:
    """An EtcdCluster as it is stored: paused, with managedFields, padded to `size_bytes` of JSON.

    Ten of them share a controlling owner.
    """
    owner = str(uuid.UUID(int=number // 10))
    meta: dict[str, Any] = {
        "name": f"cluster-{number:05}",
        "namespace": "default",
        "uid": str(uuid.UUID(int=1_000_000 + number)),
        "generation": 1,
        "creationTimestamp": "2025-01-01T00:00:00Z",
        "labels": {"app.kubernetes.io/part-of": "bench"},
        "ownerReferences": [
            {
                "apiVersion": "example.com/v1",
                "kind": "Team",
                "name": f"team-{number // 10}",
                "uid": owner,
                "controller": True,
            }
        ],
        "managedFields": [_managed_fields("kubectl"), _managed_fields("etcd-operator")],
        **metadata,
    }
    obj = {
        "apiVersion": CLUSTERS.api_version,
        "kind": CLUSTERS.kind,
        "metadata": meta,
        "spec": {
            "size": 3,
            "version": "v3.5.21",
            "paused": True,
            "storage": {"size": "1Gi", "deletionPolicy": "Retain"},
            "security": {"tls": {"enabled": False}},
        },
    }
    missing = size_bytes - len(json.dumps(obj, separators=(",", ":")))
    if missing > 0:
        meta["annotations"] = {"example.com/note": "x" * max(0, missing - 37)}
    return obj


def _managed_fields(manager: str) -> dict[str, Any]:
    names = ("size", "version", "paused", "storage")
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": CLUSTERS.api_version,
        "time": "2025-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/part-of": {}}},
            "f:spec": {f"f:{name}": {} for name in names},
        },
    }


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def limit(name: str, value: float, at_most: float, unit: str) -> bool:
    """Print a measured value beside its limit; whether it is kept."""
    kept = value <= at_most
    print(f"{name}: {value:.3g} {unit}, limit {at_most:.3g}: {'ok' if kept else 'MISSED'}")
    return kept


def memory_mb(pid: int | str = "self") -> float:
    """Resident, of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def stopwatch() -> tuple[float, float]:
    """Now, in wall and in CPU seconds."""
    return time.perf_counter(), time.process_time()


def before_others() -> str:
    """Run this process ahead of the machine's other work, where that is allowed; what came of it.

    A delay of milliseconds on a busy machine is else the scheduler's and not ours.
    """
    with contextlib.suppress(PermissionError):
        # Children do not inherit it.
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(1))
    first = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
    return f"{'ahead of others' if first else 'among others'}, load {os.getloadavg()[0]:.0f}"


@contextlib.contextmanager
def oversleeping() -> Iterator[list[float]]:
    """Milliseconds by which a process that only sleeps woke up late, filled at the end.

    What the machine alone does to a delay: other work on it, and other machines on its host.
    """
    late: list[float] = []
    command = [sys.executable, str(ROOT / "bench/oversleep.py")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield late
        finally:
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=STOP_DEADLINE_S)
            late += [float(value) for value in output.split()]
