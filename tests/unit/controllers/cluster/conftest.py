"""A writer on behalf of the cluster that the builders make."""

import asyncio

import pytest

from controllers.writer import Writer
from informers.expectations import OwnWrites


@pytest.fixture
async def writer(api) -> Writer:
    own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
    return Writer(api, own_writes, "prod/db", remaining_s=lambda: 60.0)
