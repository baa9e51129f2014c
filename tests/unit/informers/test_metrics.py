"""What a scrape sees of queues and electors, in the exposition format itself."""

from __future__ import annotations

import asyncio
import random

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from informers.histogram import QUEUE_BUCKETS_S, Histogram
from informers.lease import LeaderElector
from informers.metrics import ElectionCollector, QueueCollector
from informers.queue import WorkQueue
from tests.unit.informers.lease_server import LeaseServer

pytestmark = pytest.mark.looptime


def scrape(collector) -> dict[str, float]:
    """Sample name, and label values in the order of their names, to value."""
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        "/".join(
            [sample.name, *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in families
        for sample in family.samples
    }


async def test_q19_queue_series_exist_before_the_first_add():
    seen = scrape(QueueCollector([WorkQueue("q")]))

    assert set(seen.values()) == {0}
    assert {name.partition("/")[0] for name in seen} == {
        "workqueue_depth",
        "workqueue_adds_total",
        "workqueue_retries_total",
        "workqueue_queue_duration_seconds_bucket",
        "workqueue_queue_duration_seconds_count",
        "workqueue_queue_duration_seconds_sum",
        "workqueue_work_duration_seconds_bucket",
        "workqueue_work_duration_seconds_count",
        "workqueue_work_duration_seconds_sum",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
    }


async def test_q19_queue_metrics_follow_a_keys_way():
    """TestMetrics: waits 2 s, worked on for 3 s."""
    queue = WorkQueue[str]("q")
    queue.add("a", priority=-100)
    queue.add_after("b", 60)
    depth = scrape(QueueCollector([queue]))["workqueue_depth/q/q/-100"]
    await asyncio.sleep(2)
    await queue.get()
    await asyncio.sleep(3)
    running = scrape(QueueCollector([queue]))
    queue.done("a")
    done = scrape(QueueCollector([queue]))

    assert depth == 1
    assert running["workqueue_unfinished_work_seconds/q/q"] == 3
    assert running["workqueue_longest_running_processor_seconds/q/q"] == 3
    assert done["workqueue_adds_total/q/q"] == 1
    assert done["workqueue_retries_total/q/q"] == 1
    assert done["workqueue_queue_duration_seconds_sum/q/q"] == 2
    assert done["workqueue_work_duration_seconds_sum/q/q"] == 3
    assert done["workqueue_work_duration_seconds_bucket/q/1.0/q"] == 0
    assert done["workqueue_work_duration_seconds_bucket/q/10.0/q"] == 1


async def test_q19_priorities_beyond_the_limit_share_a_series():
    queue = WorkQueue[int]("q")
    for priority in range(30):
        queue.add(priority, priority=priority)
    seen = scrape(QueueCollector([queue]))
    depths = {name: value for name, value in seen.items() if name.startswith("workqueue_depth")}

    assert len(depths) == 26
    assert depths["workqueue_depth/q/q/exceeded_cardinality_limit"] == 5


async def test_queues_share_their_families():
    seen = scrape(QueueCollector([WorkQueue("a"), WorkQueue("b")]))

    assert {"workqueue_adds_total/a/a", "workqueue_adds_total/b/b"} <= set(seen)


async def test_l9_election_metrics_tell_leader_and_slow_path():
    server = LeaseServer()
    server.faults.extend(["ok", "ok", "conflict"])
    elector = LeaderElector(
        server,
        namespace="ns",
        name="lock",
        identity="me",
        rng=random.Random(1),
        die=lambda reason: None,
    )
    collector = ElectionCollector(elector)
    before = scrape(collector)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector.run(asyncio.Event().wait))
        await asyncio.sleep(3)
        leading = scrape(collector)
        task.cancel()

    assert before == {
        "leader_election_master_status/lock": 0,
        "leader_election_slowpath_total/lock": 0,
    }
    assert leading == {
        "leader_election_master_status/lock": 1,
        "leader_election_slowpath_total/lock": 1,
    }


def test_q19_buckets_are_ten_nanoseconds_to_a_thousand_seconds():
    assert pytest.approx([1e-8 * 10**k for k in range(12)]) == QUEUE_BUCKETS_S


@pytest.mark.parametrize("value", [1e-8, 0.05, 0.1, 999, 5000])
def test_histogram_counts_a_value_in_all_buckets_that_hold_it(value):
    histogram = Histogram()
    histogram.observe(value)
    snapshot = histogram.snapshot()

    assert snapshot.cumulative == (*(int(value <= bound) for bound in QUEUE_BUCKETS_S), 1)
    assert (snapshot.count, snapshot.total) == (1, value)
