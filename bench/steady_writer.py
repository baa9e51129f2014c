"""Writes at a steady rate through a cluster's client Service, and remembers when each was
acknowledged: the longest time without one is what clients notice of a restart.
"""

import asyncio
import base64
import contextlib
import itertools
import os
import time
from types import TracebackType
from typing import Self

import aiohttp

PER_S = 200
_ATTEMPT = aiohttp.ClientTimeout(total=1.0)
_RETRY_S = 0.1


class SteadyWriter:
    """One writer, one write after the other; behind its pace it catches up."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}:2379/v3/kv/put"
        self._acknowledged = [time.perf_counter()]

    @property
    def longest_gap_s(self) -> float:
        """Between two acknowledgements, up to now."""
        times = [*self._acknowledged, time.perf_counter()]
        return max(after - before for before, after in itertools.pairwise(times))

    @property
    def per_s(self) -> float:
        """Acknowledged writes a second so far."""
        return (len(self._acknowledged) - 1) / (time.perf_counter() - self._acknowledged[0])

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _write(self) -> None:
        began, done = time.perf_counter(), 0
        while True:
            # A connection lasts until it fails: another one may lead to another member.
            async with aiohttp.ClientSession(timeout=_ATTEMPT) as session:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    while True:
                        await self._put(session, done)
                        done += 1
                        await asyncio.sleep(max(0.0, began + done / PER_S - time.perf_counter()))
            await asyncio.sleep(_RETRY_S)

    async def _put(self, session: aiohttp.ClientSession, number: int) -> None:
        key = base64.b64encode(f"bench/{number % 1000}".encode()).decode()
        body = {"key": key, "value": base64.b64encode(os.urandom(64)).decode()}
        async with session.post(self._url, json=body) as answer:
            answer.raise_for_status()
            await answer.read()
        self._acknowledged.append(time.perf_counter())
