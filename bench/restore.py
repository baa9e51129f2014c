"""How long does a backup take to become a member's data, beside etcd's own tool alone?

Question: a backup in a local store becomes a data directory by what a restore's pod runs (`agent
restore fetch`, `etcdutl snapshot restore`, `agent restore finish`, each a process of its own),
beside `etcdutl snapshot restore` of the same snapshot file, in turn.
Limit: median ratio ≤ 1.3.  The starts of the two processes are in it, and printed.

Usage: python -m bench.restore [--mebibytes 256] [--rounds 5] [--folder DIR]
"""

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path

from api.labels import DATA_MOUNT_PATH
from bench.databases import VERSION, agent, filled, run
from controllers.restore.order import RestoreOrder, etcdutl_arguments
from snapshots.capture import CaptureRequest, capture
from snapshots.fetch import fetch
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.manifest import Manifest
from snapshots.stores import open_store

LIMIT = 1.3
BACKUP = "bench"


async def timed(work: Awaitable[None]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def stored(folder: Path, mebibytes: int) -> Manifest:
    """A backup in `folder/store`, and the same as `folder/plain.db`."""
    (folder / "store").mkdir()
    store = open_store(LocalLocation(folder=folder / "store"), WorkloadIdentity())
    request = CaptureRequest(
        backup=BACKUP,
        epoch=0,
        namespace="bench",
        name="bench",
        uid="bench",
        member="bench-0",
        compress=False,
        key=None,
    )
    async with filled(folder / "etcd", mebibytes) as running:
        manifest = await capture(running.client, store, request, now=lambda: datetime.now(UTC))
    shutil.rmtree(folder / "etcd")
    await fetch(store, manifest.folder(BACKUP), manifest, folder / "plain.db")
    return manifest


class Restores:
    """Both ways, each into a folder of its own that is gone afterwards."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = folder
        self._root = folder / "member"
        self._order = RestoreOrder.model_validate(
            {
                "local": {"claimName": "bench"},
                "token": "bench",
                "folder": manifest.folder(BACKUP).path,
                "member": "bench-0",
                "peerURL": "http://127.0.0.1:2380",
                "etcdVersion": VERSION,
            }
        )

    async def fetch(self) -> None:
        await self._agent("fetch")

    async def etcdutl(self) -> None:
        given = etcdutl_arguments(self._order)
        await run("etcdutl", *(one.replace(DATA_MOUNT_PATH, str(self._root)) for one in given))

    async def finish(self) -> None:
        await self._agent("finish")

    async def plain(self) -> float:
        target = self._folder / "plain"
        seconds = await timed(
            run(
                "etcdutl",
                *("snapshot", "restore", self._folder / "plain.db", "--data-dir", target),
            )
        )
        shutil.rmtree(target)
        return seconds

    async def ours(self) -> tuple[float, float, float]:
        self._root.mkdir()
        steps = await timed(self.fetch()), await timed(self.etcdutl()), await timed(self.finish())
        shutil.rmtree(self._root)
        return steps

    async def _agent(self, step: str) -> None:
        order = self._order.model_dump_json(by_alias=True)
        await agent(
            sys.executable,
            *("restore", step, "--order", order, "--message", self._folder / "message"),
            *("--volume", self._folder / "store", "--root", self._root),
        )


async def measure(folder: Path, mebibytes: int, rounds: int) -> bool:
    manifest = await stored(folder, mebibytes)
    restores = Restores(folder, manifest)
    size = manifest.database.size / (1 << 20)
    start = statistics.median([await timed(_start()) for _ in range(3)])
    print(f"restore: database of {size:.0f} MiB; a start of the agent alone takes {start:.2f} s")
    ratios = []
    for number in range(rounds):
        plain = await restores.plain()
        steps = await restores.ours()
        ratios.append(sum(steps) / plain)
        said = ", ".join(f"{one:.2f}" for one in steps)
        print(
            f"restore: round {number + 1}: etcdutl {plain:.2f} s; ours {sum(steps):.2f} s"
            f" (fetch, etcdutl, finish: {said}); ratio {ratios[-1]:.2f}"
        )
    ratio = statistics.median(ratios)
    is_met = ratio <= LIMIT
    print(f"restore: median ratio: {ratio:.2f}, limit {LIMIT}: {'ok' if is_met else 'MISSED'}")
    return is_met


async def _start() -> None:
    await agent(sys.executable, "restore", "finish", "--help")


async def main(folder: Path | None, mebibytes: int, rounds: int) -> int:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        return 0 if await measure(Path(made), mebibytes, rounds) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.folder, given.mebibytes, given.rounds)))
