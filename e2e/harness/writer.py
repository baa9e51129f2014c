"""A client that writes while a test breaks things, and then wants its writes back."""

import asyncio
import itertools
import json
import secrets
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.harness.cluster import EtcdCluster
from e2e.harness.etcd import decode
from e2e.harness.node import inside
from e2e.harness.wait import until

SCRIPT = Path(__file__).with_name("write_all_the_time.py")
# It is stopped by the test; this is only so that none is left behind.
LONGEST_S = 400


class Writer:
    """Writes to the client Service of a cluster from entering to leaving the `async with`."""

    def __init__(
        self, cluster: EtcdCluster, *credentials: Path, endpoint: Path | None = None
    ) -> None:
        """`credentials`: with TLS, the folder with what the client's Secret holds. `endpoint`: a
        file with the URL, where that changes meanwhile.
        """
        self._cluster = cluster
        self._credentials = credentials
        self._endpoint = endpoint
        self._prefix = f"written/{secrets.token_hex(4)}/"
        self._acknowledged: list[float] = []

    async def __aenter__(self) -> Self:
        url = self._endpoint or (await self._cluster.status())["clientEndpoints"][0]
        command = (sys.executable, "-I", SCRIPT, url, self._prefix, LONGEST_S, *self._credentials)
        self._process = await asyncio.create_subprocess_exec(
            *map(str, inside(*command)), stdout=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.ensure_future(self._read())
        await self.goes_on()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            number, seconds = line.split()
            assert int(number) == len(self._acknowledged)
            self._acknowledged.append(float(seconds))

    @property
    def count(self) -> int:
        return len(self._acknowledged)

    @property
    def longest_gap_s(self) -> float:
        """The longest time between two acknowledgements."""
        times = self._acknowledged
        return max((later - sooner for sooner, later in itertools.pairwise(times)))

    async def goes_on(self, within_s: float = 30.0) -> None:
        """Waits for acknowledgements from now on."""
        seen = self.count

        async def more() -> bool:
            return self.count >= seen + 3

        await until("writes to be acknowledged", more, within_s=within_s)

    async def nothing_is_lost(self, pod: str | None = None) -> None:
        """Every acknowledged write can be read, with its value."""
        stored = await self._stored(pod)
        wanted = {f"{self._prefix}{number}": f"value {number}" for number in range(self.count)}
        lost = wanted.items() - stored.items()
        assert not lost, (
            f"{len(lost)} of {self.count} acknowledged writes are lost: {sorted(lost)[:10]}"
        )

    async def _stored(self, pod: str | None) -> dict[str, str]:
        if not self._credentials:
            return await self._cluster.etcd(pod).under(self._prefix)
        # The API server's proxy has no certificate; etcdctl in the pod has one.
        asked = ("get", "--prefix", self._prefix, "-w", "json")
        answer = await self._cluster.etcdctl(pod or f"{self._cluster.name}-0", *asked)
        return {decode(kv["key"]): decode(kv["value"]) for kv in json.loads(answer)["kvs"]}
