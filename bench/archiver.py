"""How fast are changes kept, and how fast replayed?

Question: the archiver of a continuous backup, a process of its own with compression and encryption
on, catches up with a real etcd that has many revisions ahead of it, each a put of 256 bytes; then
they are replayed into an etcd as a restore's pod starts it, beside a plain client that does the
same puts one after the other into another such etcd, in turn.
Limits: archived ≥ 5,000 revisions a second; memory of the process ≤ 192 MiB; replayed ≥ 5,000
revisions a second, or median time ≤ 1.5 x the plain client's.

Usage: python -m bench.archiver [--revisions 30000] [--rounds 3] [--folder DIR]
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.databases import VERSION
from cli.agent.memory import use_few_arenas
from etcd.client import EtcdClient
from etcd.dialer import DirectDialer, Endpoint
from etcd.ids import cluster_id_hex
from etcd.kv_types import Put
from etcd.pool import ChannelPool
from snapshots.changes.archiver import ArchiveRequest, Progress, archive
from snapshots.changes.history import Base, Way, read_chains
from snapshots.changes.layout import LogFolder
from snapshots.changes.reading import read_changes
from snapshots.changes.replay import Target, flags_for_replay, replay
from snapshots.encryption import EncryptionKey
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import Store, open_store
from tests.integration.etcd.processes import Cluster, wait_for

ARCHIVED_LIMIT = 5000
REPLAYED_LIMIT = 5000
RATIO_LIMIT = 1.5
MEMORY_LIMIT_MIB = 192
VALUE_BYTES = 256
_KEYS = 1000
_AT_ONCE = 64
# An etcd without any write of its users.
_BASE = Base(path="bench", revision=1, completed=datetime(2026, 1, 1, tzinfo=UTC))
_KEY = EncryptionKey(id="bench", secret=bytes(32))


def put(number: int, value: bytes) -> Put:
    return Put(key=b"bench/%d" % (number % _KEYS), value=value)


def endpoint(port: int) -> Endpoint:
    return Endpoint(
        cluster="ns/bench",
        namespace="ns",
        pod="bench-0",
        pod_uid="bench-0",
        address="127.0.0.1",
        fqdn="localhost",
        port=port,
    )


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[tuple[int, EtcdClient]]:
    """An empty etcd as a restore's pod starts it; its port and its client."""
    extra = {**flags_for_replay(), "quota-backend-bytes": 8 << 30, "unsafe-no-fsync": True}
    cluster = Cluster(folder, VERSION, 1, extra=extra)
    pool = ChannelPool(DirectDialer())
    (member,) = cluster.members
    try:
        cluster.start()
        client = pool.client(endpoint(member.client_port))
        await wait_for(lambda: _leader(client))
        yield member.client_port, client
    finally:
        await pool.close()
        cluster.kill()


async def _leader(client: EtcdClient) -> object:
    return (await client.maintenance.status(timeout_s=2)).leader


async def fill(client: EtcdClient, revisions: int) -> None:
    numbers = iter(range(revisions))

    async def write() -> None:
        for number in numbers:
            await client.kv.put(put(number, os.urandom(VALUE_BYTES)))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(write())


# ---------------------------------------------------------------- in a process of its own


async def keep(client: EtcdClient, store: Store, revisions: int) -> None:
    """All of them, from the opening of the watch until the last one is stored."""
    status = await client.maintenance.status()
    request = ArchiveRequest(
        log=LogFolder(cluster_id=status.cluster_id, epoch=0, name="bench"),
        cluster=cluster_id_hex(status.cluster_id),
        flush_interval=timedelta(seconds=20),
        max_bytes=10 << 20,
        compress=True,
        key=_KEY,
    )
    progress, stop = Progress(), asyncio.Event()

    async def stop_at_the_end() -> None:
        while (progress.seen or 0) < _BASE.revision + revisions:
            await asyncio.sleep(0.01)
        stop.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_at_the_end())
        await archive(
            client,
            store,
            request,
            bases=(_BASE,),
            stop=stop,
            progress=progress,
            now=lambda: datetime.now(UTC),
        )


async def play(client: EtcdClient, store: Store, revisions: int) -> None:
    (chain,) = await read_chains(store, "")
    last = _BASE.revision + revisions
    await replay(
        client,
        read_changes(store, Way(base=_BASE, chain=chain, revision=last, time=None), (_KEY,)),
        base_revision=_BASE.revision,
        moved_by=0,
        target=Target(revision=last),
    )


async def write_plainly(client: EtcdClient, revisions: int) -> None:
    value = os.urandom(VALUE_BYTES)
    for number in range(revisions):
        await client.kv.put(put(number, value))


async def work(what: str, port: int, folder: Path, revisions: int) -> dict[str, float]:
    """What it took, and the memory of the process at its most."""
    pool = ChannelPool(DirectDialer())
    client = pool.client(endpoint(port))
    store = open_store(LocalLocation(folder=folder), WorkloadIdentity())
    begun, cpu = time.perf_counter(), time.process_time()
    match what:
        case "keep":
            await keep(client, store, revisions)
        case "replay":
            await play(client, store, revisions)
        case "plain":
            await write_plainly(client, revisions)
    spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    await pool.close()
    return {**spent, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


# ---------------------------------------------------------------- the measurement


async def child(what: str, port: int, folder: Path, revisions: int) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.archiver", "--work", what, "--folder", folder),
        *("--port", str(port), "--revisions", str(revisions)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        message = f"{what} failed"
        raise RuntimeError(message)
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def verdict(what: str, value: float, limit: float, *, is_met: bool) -> bool:
    print(f"archiver: {what}: {value:.2f}, limit {limit}: {'ok' if is_met else 'MISSED'}")
    return is_met


async def archived(folder: Path, revisions: int, rounds: int) -> list[dict[str, float]]:
    """The log of the last round stays in folder/store-0."""
    found = []
    async with started(folder / "source") as (port, client):
        await fill(client, revisions)
        for number in reversed(range(rounds)):
            store = folder / f"store-{number}"
            await asyncio.to_thread(store.mkdir)
            one = await child("keep", port, store, revisions)
            found.append(one)
            print(
                f"archiver: kept {revisions / one['seconds']:.0f} revisions a second,"
                f" {one['cpu'] / revisions * 1e6:.0f} ms of CPU for 1,000, {one['mib']:.0f} MiB"
            )
    return found


async def replayed(folder: Path, revisions: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of ours, and of the plain client."""
    found = []
    for number in range(rounds):
        spent = {}
        for what in ("plain", "replay"):
            async with started(folder / f"{what}-{number}") as (port, _):
                spent[what] = await child(what, port, folder / "store-0", revisions)
        ours, plain = spent["replay"], spent["plain"]
        found.append((ours["seconds"], plain["seconds"]))
        print(
            f"archiver: replayed {revisions / ours['seconds']:.0f} revisions a second"
            f" ({ours['cpu'] / revisions * 1e6:.0f} ms of CPU for 1,000, {ours['mib']:.0f} MiB),"
            f" plain {revisions / plain['seconds']:.0f}"
            f" ({plain['cpu'] / revisions * 1e6:.0f});"
            f" ratio {ours['seconds'] / plain['seconds']:.2f}"
        )
    return found


async def measure(folder: Path, revisions: int, rounds: int) -> bool:
    kept = await archived(folder, revisions, rounds)
    pairs = await replayed(folder, revisions, rounds)
    per_s = revisions / statistics.median(one["seconds"] for one in kept)
    memory = max(one["mib"] for one in kept)
    replays = revisions / statistics.median(ours for ours, _ in pairs)
    ratio = statistics.median(ours / plain for ours, plain in pairs)
    fast = replays >= REPLAYED_LIMIT
    return all(
        [
            verdict("archived a second", per_s, ARCHIVED_LIMIT, is_met=per_s >= ARCHIVED_LIMIT),
            verdict("memory in MiB", memory, MEMORY_LIMIT_MIB, is_met=memory <= MEMORY_LIMIT_MIB),
            verdict(
                f"replay beside a plain client ({replays:.0f} revisions a second)",
                ratio,
                RATIO_LIMIT,
                is_met=fast or ratio <= RATIO_LIMIT,
            ),
        ]
    )


async def main(given: Any) -> int:  # noqa: ANN401 - what argparse gives
    if given.work:
        use_few_arenas()
        print(json.dumps(await work(given.work, given.port, given.folder, given.revisions)))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        return 0 if await measure(Path(made), given.revisions, given.rounds) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revisions", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--work", choices=["keep", "replay", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    sys.exit(asyncio.run(main(parser.parse_args())))
