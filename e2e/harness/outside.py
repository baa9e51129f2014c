"""The operator as a process on this machine, outside of the node's network, as on a laptop."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.harness.kube import CHECKOUT, KUBECONFIG

STOPPED_WITHIN_S = 20.0


class OperatorOutside:
    """`python -m operator run` with the user's own kubeconfig, for one namespace."""

    def __init__(self, namespace: str, log: Path) -> None:
        self._namespace = namespace
        self._log = log

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        """From here to the end of the block, where it is asked to end and has to do so in order."""
        flags = ("--namespace", self._namespace, "--metrics-bind", "0", "--health-bind", "0")
        command = (sys.executable, "-m", "operator", "run", "--kubeconfig", KUBECONFIG, *flags)
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *map(str, command), stdout=log, stderr=log, cwd=CHECKOUT
            )
        try:
            yield
            assert process.returncode is None, f"it ended by itself: {self.last_words()}"
            process.terminate()
            async with asyncio.timeout(STOPPED_WITHIN_S):
                assert await process.wait() == 0, self.last_words()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def last_words(self) -> str:
        return self._log.read_text()[-3000:]
