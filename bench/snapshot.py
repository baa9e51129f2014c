"""How fast is a backup taken, beside etcd's own client?

Question: a member's database goes to a local store (parts, hashes, the manifest: what `agent
snapshot` does once it has found its member), beside `etcdctl snapshot save` of the same database to
a file, in turn; once more with compression and encryption.
Limits: median speed ≥ 0.9 x etcdctl's, ≥ 0.6 x with both on; memory of the process ≤ 128 MiB.

Usage: python -m bench.snapshot [--mebibytes 256] [--rounds 5] [--folder DIR]
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.databases import Running, filled, run
from cli.agent.memory import use_few_arenas
from etcd.dialer import DirectDialer, Endpoint
from etcd.pool import ChannelPool
from snapshots.capture import CaptureRequest, capture
from snapshots.encryption import EncryptionKey
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store

PLAIN_LIMIT = 0.9
SEALED_LIMIT = 0.6
MEMORY_LIMIT_MIB = 128


async def take(port: int, folder: Path, *, sealed: bool) -> dict[str, float]:
    """One backup, in this process; what it cost, and the memory of the process at its most."""
    store = open_store(LocalLocation(folder=folder), WorkloadIdentity())
    pool = ChannelPool(DirectDialer())
    endpoint = Endpoint(
        cluster="ns/bench",
        namespace="ns",
        pod="bench-0",
        pod_uid="bench-0",
        address="127.0.0.1",
        fqdn="localhost",
        port=port,
    )
    request = CaptureRequest(
        backup="bench",
        epoch=0,
        namespace="ns",
        name="bench",
        uid="bench",
        member="bench-0",
        compress=sealed,
        key=EncryptionKey(id="bench", secret=os.urandom(32)) if sealed else None,
    )
    begun, cpu = time.perf_counter(), time.process_time()
    await capture(pool.client(endpoint), store, request, now=lambda: datetime.now(UTC))
    spent = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    await pool.close()
    return {**spent, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def ours(running: Running, folder: Path, *, sealed: bool) -> dict[str, float]:
    """The same in a process of its own."""
    await asyncio.to_thread(folder.mkdir)
    way = "sealed" if sealed else "plain"
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.snapshot", "--take", way),
        *("--folder", folder, "--port", str(running.member.client_port)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await child.communicate()
    if child.returncode:
        raise RuntimeError("the backup was not taken")
    shutil.rmtree(folder)
    found: dict[str, float] = json.loads(said)
    return found


async def etcdctl(running: Running, file: Path) -> float:
    begun = time.perf_counter()
    await run("etcdctl", "--endpoints", running.member.client_url, "snapshot", "save", file)
    seconds = time.perf_counter() - begun
    await asyncio.to_thread(file.unlink)
    return seconds


def verdict(what: str, value: float, limit: float, *, is_met: bool) -> bool:
    print(f"snapshot: {what}: {value:.2f}, limit {limit}: {'ok' if is_met else 'MISSED'}")
    return is_met


async def measure(folder: Path, mebibytes: int, rounds: int) -> bool:
    plain, sealed, memory = [], [], []
    async with filled(folder / "etcd", mebibytes) as running:
        size = (await running.client.maintenance.status()).db_size / (1 << 20)
        print(f"snapshot: database of {size:.0f} MiB")
        for number in range(rounds):
            by_hand = await etcdctl(running, folder / "by-hand.db")
            one = await ours(running, folder / "store", sealed=False)
            other = await ours(running, folder / "store", sealed=True)
            plain.append(by_hand / one["seconds"])
            sealed.append(by_hand / other["seconds"])
            memory += [one["mib"], other["mib"]]
            print(
                f"snapshot: round {number + 1}: etcdctl {by_hand:.2f} s; ours"
                f" {one['seconds']:.2f} s ({one['cpu']:.2f} s of CPU), compressed and encrypted"
                f" {other['seconds']:.2f} s ({other['cpu']:.2f})"
            )
    ratio, sealed_ratio, most = statistics.median(plain), statistics.median(sealed), max(memory)
    return all(
        [
            verdict("median speed", ratio, PLAIN_LIMIT, is_met=ratio >= PLAIN_LIMIT),
            verdict(
                "median speed, compressed and encrypted",
                sealed_ratio,
                SEALED_LIMIT,
                is_met=sealed_ratio >= SEALED_LIMIT,
            ),
            verdict("memory in MiB", most, MEMORY_LIMIT_MIB, is_met=most <= MEMORY_LIMIT_MIB),
        ]
    )


async def main(given: Any) -> int:  # noqa: ANN401 - what argparse gives
    if given.take:
        use_few_arenas()
        print(json.dumps(await take(given.port, given.folder, sealed=given.take == "sealed")))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        return 0 if await measure(Path(made), given.mebibytes, given.rounds) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--take", choices=["plain", "sealed"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    sys.exit(asyncio.run(main(parser.parse_args())))
