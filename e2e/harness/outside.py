"""The operator as a process on this machine, outside of the node's network, as on a laptop: with
the administrator's own kubeconfig, and etcd through the API server's port-forward.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from e2e.harness import manifest, rights
from e2e.harness.installation import STARTED_WITHIN_S, Installation
from e2e.harness.kube import KUBECONFIG, Kube
from e2e.harness.process import QUIET, OperatorProcess
from e2e.harness.wait import UnavailableError, until

LAST_LINES = 150
ANSWERED_WITHIN_S = 5.0


class OperatorOutside:
    """Its roles and kinds are installed as in any cluster, but no Deployment."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self._kube = kube
        self._is_prepared = False
        self._metrics, self._health = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        flags = ("--metrics-bind", self._metrics, "--health-bind", self._health)
        self._process = OperatorProcess(folder / "operator.log", KUBECONFIG, *flags)

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        """From here to the end of the block, where it has to end in order."""
        try:
            await self.start()
            yield
            await self.stop()
        finally:
            await self._process.end()

    async def start(self) -> None:
        if not self._is_prepared:
            await manifest.install_all_but_the_deployment()
            await Installation(self._kube).stop()
            self._is_prepared = True
        await self._process.start()
        await self.at_work()

    async def stop(self) -> None:
        await self._process.stop()

    async def kill(self) -> None:
        await self._process.kill()
        await self._process.start()

    async def at_work(self) -> None:
        async def is_ready() -> bool:
            return bool(await self._page(self._health, "readyz"))

        await until("the operator outside to be ready", is_ready, within_s=STARTED_WITHIN_S)

    async def logs(self) -> str:
        return self._process.log()

    async def metrics(self) -> str:
        return await self._page(self._metrics, "metrics")

    async def explain(self) -> str:
        return "\n".join(self._process.log().splitlines()[-LAST_LINES:])

    async def process(
        self, folder: Path, namespace: str, *, may_forward: bool = True
    ) -> OperatorProcess:
        if may_forward:
            await rights.grant_port_forwards(namespace)
        kubeconfig = rights.kubeconfig_of(self._kube, {"token": await rights.token()})
        file = rights.write(folder / "kubeconfig", kubeconfig)
        flags = ("--namespace", namespace, *QUIET)
        return OperatorProcess(folder / "operator.log", file, *flags)

    async def _page(self, address: str, name: str) -> str:
        limit = aiohttp.ClientTimeout(total=ANSWERED_WITHIN_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(f"http://{address}/{name}") as response,
            ):
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"{name}: {error!r}") from error
        if response.status != 200:
            raise UnavailableError(f"{name}: {response.status} {text}")
        return text


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
