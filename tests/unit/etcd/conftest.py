"""What all tests of the etcd client share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from tests.unit.etcd.fake_member import FakeMember, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session", autouse=True)
def _no_implicit_event_loop() -> None:
    """Keeps `asyncio.get_event_loop()` from making a loop that nobody closes (sync test first)."""
    asyncio.set_event_loop(None)


@pytest.fixture
async def member() -> AsyncIterator[FakeMember]:
    async with serving() as running:
        yield running


@pytest.fixture
async def pool() -> AsyncIterator[ChannelPool]:
    opened = ChannelPool(DirectDialer())
    yield opened
    await opened.close()
