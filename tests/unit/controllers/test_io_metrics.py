"""What a scrape sees of informers."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from controllers.io_metrics import CacheCollector
from informers.informer_set import InformerSet
from tests.unit.informers.watching import CONFIG_MAPS, config_map, eventually, path_of, running

pytestmark = pytest.mark.looptime


async def test_m6_reflectors_count_lists_and_watches(server, api):
    server.streaming_lists = False
    server.put(path_of("a"), config_map())
    informers, registry = InformerSet(api, CONFIG_MAPS), CollectorRegistry()
    registry.register(CacheCollector([informers]))

    def sample(name: str) -> float | None:
        return registry.get_sample_value(name, {"resource": "configmaps", "namespace": ""})

    before = [sample(f"reflector_{what}_total") for what in ("lists", "watches", "short_watches")]
    async with running(informers):
        await server.wait_watchers(1)
        await eventually(lambda: informers.has_synced)
        server.end_watches()
        await server.wait_watchers(0)
        await server.wait_watchers(1)

    assert before == [0, 0, 0]
    assert sample("reflector_lists_total") == len(server.seen("list"))
    assert sample("reflector_watches_total") == len(server.seen("watch"))
    assert sample("reflector_short_watches_total") == 1
    assert sample("etcd_operator_cache_objects") == 1
