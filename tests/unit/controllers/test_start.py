"""The start with real informers against an API server that does not know the kind yet."""

from __future__ import annotations

import asyncio

import pytest

from controllers.manager import Manager
from controllers.runtime import Controller, Result
from controllers.wiring import EnqueueSelf
from informers.informer_set import InformerSet
from informers.queue import WorkQueue
from tests.unit.informers.api_faults import answer_status
from tests.unit.informers.watching import CONFIG_MAPS, config_map, path_of

pytestmark = pytest.mark.looptime


class Operator:
    """A manager of one informer and one controller, which notes when it reconciled what."""

    def __init__(self, api) -> None:
        queue = WorkQueue[str]("test")
        cache = InformerSet(api, CONFIG_MAPS)
        handler = cache.add_handler(EnqueueSelf(queue))
        controller = Controller("test", queue, self, sources={"configmaps": handler})
        self.manager = Manager(
            caches={"configmaps": cache}, controllers=[controller], die=pytest.fail
        )
        self.first = asyncio.Event()

    async def reconcile(self, key: str) -> Result:
        self.first.set()
        return Result()


@pytest.mark.parametrize("installed_after_s", [50, 1800])
async def test_c6_kind_that_is_installed_later_is_found(server, api, installed_after_s):
    server.put(path_of("a"), config_map())
    server.on_every("*", answer_status(404, "NotFound", "no such resource"))
    operator = Operator(api)
    async with asyncio.TaskGroup() as group:
        group.create_task(operator.manager.run())
        await asyncio.sleep(installed_after_s)
        server.on_every("*", None)
        await operator.first.wait()
        operator.manager.stop()

    assert asyncio.get_running_loop().time() < installed_after_s + 10
