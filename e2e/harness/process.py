"""The operator as a process of the test's own: it can be killed at any moment, and looked at."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.harness.kube import CHECKOUT

STOPPED_WITHIN_S = 20.0
# Several may run at once; nobody asks these.
QUIET = ("--metrics-bind", "0", "--health-bind", "0")
# Without a test nobody is left to stop it.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")


class OperatorProcess:
    """`python -m operator run`, once or several times after each other, with one log for all.

    `prefix` is a command that runs it somewhere else than here.
    """

    def __init__(
        self,
        log: Path,
        kubeconfig: Path,
        *flags: object,
        prefix: tuple[object, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        run = (sys.executable, "-m", "operator", "run", "--kubeconfig", kubeconfig, *flags)
        self._command = [str(word) for word in (*DIES_WITH_US, *prefix, *run)]
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, cwd=CHECKOUT, env=self._environment
            )

    async def stop(self) -> None:
        """Asked to end, it has to do so in order and in time."""
        process = self._running()
        try:
            process.terminate()
            async with asyncio.timeout(STOPPED_WITHIN_S):
                assert await process.wait() == 0, self.last_words()
        finally:
            await self.end()

    async def kill(self) -> None:
        self._running()
        await self.end()

    async def end(self) -> None:
        """Whatever its state: it is gone."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        """From here to the end of the block, where it is asked to end."""
        await self.start()
        try:
            yield
            await self.stop()
        except BaseException:
            print(self.last_words())
            raise
        finally:
            await self.end()

    @asynccontextmanager
    async def lives(self) -> AsyncIterator[None]:
        """From here to the end of the block, where it is killed without a farewell."""
        await self.start()
        try:
            yield
            self._running()
        except BaseException:
            print(self.last_words())
            raise
        finally:
            await self.end()

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def last_words(self) -> str:
        return self.log()[-3000:]

    def _running(self) -> asyncio.subprocess.Process:
        process = self._process
        assert process is not None, "it was never started"
        assert process.returncode is None, f"it ended by itself: {self.last_words()}"
        return process
