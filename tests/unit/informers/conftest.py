"""A scriptable API server, and the real wire connected to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from informers.kubeconfig import Endpoint
from informers.wire import KubeApi, connect_to
from tests.unit.informers.api_server import ApiServer, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class FixedSource:
    """Always the same endpoint, or the next of those queued."""

    endpoint: Endpoint
    renewed: list[Endpoint] = field(default_factory=list)
    max_age_s: float | None = None

    async def load(self) -> Endpoint:
        return self.renewed.pop(0) if self.renewed else self.endpoint


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with running_server() as running:
        yield running


@pytest.fixture
def source(server: ApiServer) -> FixedSource:
    return FixedSource(Endpoint(url=server.url, namespace="default", authorization="Bearer old"))


@pytest.fixture
async def api(source: FixedSource) -> AsyncIterator[KubeApi]:
    async with await connect_to(source, user_agent="informers-tests") as connected:
        yield connected
