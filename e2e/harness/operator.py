"""What tests may do to the operator, wherever it runs: `--operator inside` is its Deployment in the
cluster (`installation.py`), `--operator outside` a process on this machine (`outside.py`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from e2e.harness.process import OperatorProcess


class Operator(Protocol):
    """One operator, for all namespaces. A test that stops it starts it again."""

    async def start(self) -> None:
        """Installs what is missing, and waits until it is at work."""

    async def stop(self) -> None:
        """It is asked to end, and has to do so in order; when this returns, nothing is left."""

    async def kill(self) -> None:
        """No farewell: the process is killed, and another one takes its place at once."""

    async def at_work(self) -> None:
        """Waits until it reconciles."""

    async def logs(self) -> str:
        """All that it has logged, one line for each entry."""

    async def metrics(self) -> str:
        """Its page of metrics."""

    async def explain(self) -> str:
        """After a failure: its state and its last words."""

    async def process(
        self, folder: Path, namespace: str, *, may_forward: bool = True
    ) -> OperatorProcess:
        """Another operator where this one runs, not started yet, for one namespace, with the rights
        of the shipped role. Outside it needs to forward ports as well, which it may or may not.
        """


@asynccontextmanager
async def absent(operator: Operator) -> AsyncIterator[None]:
    """No operator from here to the end of the block."""
    await operator.stop()
    try:
        yield
    finally:
        await operator.start()
