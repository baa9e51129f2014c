"""The work queue's rules one by one, on virtual time; random operation is in test_queue_random.py.

Names in the docstrings are those of the upstream tests whose behaviour is kept.
"""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from informers.limiters import ItemBackoff
from informers.queue import QueueShutDown, WorkQueue

pytestmark = pytest.mark.looptime


def queue_of(*keys: str, **options) -> WorkQueue[str]:
    queue = WorkQueue[str]("test", limiter=ItemBackoff(base_s=1, max_s=8, jitter=0), **options)
    for key in keys:
        queue.add(key)
    return queue


async def take(queue: WorkQueue[str], count: int = 1) -> list[str]:
    return [await queue.get() for _ in range(count)]


async def run_all(queue: WorkQueue[str], count: int) -> list[str]:
    """Get and finish that many keys, one after the other."""
    keys = []
    for _ in range(count):
        keys.append(await queue.get())
        queue.done(keys[-1])
    return keys


def now() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------ one run per key
async def test_q1_two_adds_of_a_key_are_one_run():
    queue = queue_of("a", "a", "b")

    assert await take(queue, 2) == ["a", "b"]
    assert len(queue) == 0


async def test_q2_adds_during_a_run_are_one_more_run():
    """TestCollapseWhileProcessing: adds during a run make one more run, after it."""
    queue = queue_of("a")
    await take(queue)
    for _ in range(10):
        queue.add("a")

    assert len(queue) == 0
    queue.done("a")
    assert await run_all(queue, 1) == ["a"]
    assert len(queue) == 0


async def test_q2_key_in_a_workers_hands_is_not_given_to_another():
    queue = queue_of("a")
    await take(queue)
    queue.add("a")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await queue.get()


async def test_q3_key_added_during_its_run_goes_to_the_tail():
    queue = queue_of("hot")
    await take(queue)
    queue.add("hot")
    queue.add("cold")
    queue.done("hot")

    assert await take(queue, 2) == ["cold", "hot"]


async def test_q3_len_counts_neither_running_nor_waiting_keys():
    """Doesn't include non-ready items in Len()."""
    queue = queue_of("running", "ready")
    await take(queue)
    queue.add("running")
    queue.add_after("waiting", 5)

    assert len(queue) == 1


async def test_done_of_a_key_not_handed_out_is_an_error():
    with pytest.raises(KeyError):
        queue_of("a").done("a")


async def test_q4_finished_keys_are_garbage():
    """TestGarbageCollection."""

    class Key:
        pass

    queue = WorkQueue[Key]("test", limiter=ItemBackoff(base_s=1))
    key = Key()
    gone = weakref.ref(key)
    queue.add(key, priority=-100)
    queue.add(key)
    queue.done(await queue.get())
    queue.add_rate_limited(key)
    queue.done(await queue.get())
    queue.forget(key)
    queue.add_after(key, 3600)
    queue.add_after(key, 1800)
    queue.add(key)
    queue.done(await queue.get())

    del key
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------ delays
async def test_q8_earlier_of_two_delays_holds():
    """TestDeduping: of two delays of a key the earlier one holds, and it fires once."""
    queue = queue_of()
    queue.add_after("a", 5)
    queue.add_after("a", 3)
    queue.add_after("a", 7)

    assert await run_all(queue, 1) == ["a"]
    assert now() == 3
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(60):
            await queue.get()


async def test_q8_timer_that_fires_early_is_set_again():
    """Where the loop's time is ahead of ours, as uvloop's may be by half a millisecond."""
    queue = queue_of(clock=lambda: now() * 0.9)
    queue.add_after("a", 9)

    await take(queue)
    assert now() == pytest.approx(10, abs=0.01)
    assert now() >= 10


async def test_q9_ready_beats_waiting():
    queue = queue_of()
    queue.add_after("a", 5)
    queue.add("a")

    assert await run_all(queue, 1) == ["a"]
    assert queue.statistics().waiting == 0


async def test_q9_delay_of_a_queued_key_adds_nothing():
    queue = queue_of("a")
    queue.add_after("a", 5)

    assert queue.statistics().waiting == 0


async def test_q9_delay_of_a_key_that_runs_again_anyway_adds_nothing():
    queue = queue_of("a")
    await take(queue)
    queue.add("a")
    queue.add_after("a", 5)
    queue.done("a")

    assert await run_all(queue, 1) == ["a"]
    assert queue.statistics().waiting == 0


@pytest.mark.parametrize("delay_s", [0, -1], ids=["zero", "negative"])
async def test_q8_delay_that_is_none_adds_at_once(delay_s):
    queue = queue_of()
    queue.add_after("a", delay_s)

    assert len(queue) == 1


async def test_q16_waiting_keys_come_in_the_order_of_their_times():
    """TestMultipleItemsWithAfterAreReturnedInCorrectOrder, TestCopyShifting."""
    queue = queue_of()
    for key, delay_s in [("third", 3), ("first", 1), ("second", 2)]:
        queue.add_after(key, delay_s)
    await asyncio.sleep(10)

    assert await take(queue, 3) == ["first", "second", "third"]


async def test_q16_key_that_becomes_ready_queues_at_the_end_of_its_priority():
    """TestHighPriorityItemThatBecameReadyIsReturnedBeforeLowPriorityItem."""
    queue = queue_of()
    queue.add_after("late", 1)
    queue.add_after("urgent", 1, priority=7)
    queue.add("early")
    await asyncio.sleep(2)

    assert await take(queue, 3) == ["urgent", "early", "late"]


async def test_waiting_key_that_is_due_during_its_run_runs_again():
    queue = queue_of("a")
    await take(queue)
    queue.add_after("a", 1)
    await asyncio.sleep(2)

    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1


async def test_early_readds_leave_nothing_behind():
    """A key with an hourly resync that changes each second must not pile up timers."""
    queue = queue_of()
    for _ in range(10_000):
        queue.add_after("a", 3600)
        queue.add("a")
        await run_all(queue, 1)

    assert len(queue._delays._heap) < 100


# ------------------------------------------------------------------ backoff
async def test_q14_rate_limited_adds_back_off_per_key():
    """TestWhenAddingMultipleItemsWithRatelimitTrueTheyDontAffectEachOther."""
    queue = queue_of()
    for expected in (1, 3, 7):
        queue.add_rate_limited("a")
        await run_all(queue, 1)
        assert now() == expected
    queue.add_rate_limited("b")
    await run_all(queue, 1)

    assert now() == 8
    assert queue.num_requeues("a") == 3


async def test_q13_forget_resets_the_backoff_and_not_the_queue():
    queue = queue_of("a")
    queue.add_rate_limited("a")
    queue.forget("a")

    assert queue.num_requeues("a") == 0
    assert await take(queue) == ["a"]


# ------------------------------------------------------------------ priorities
async def test_q15_higher_priority_first_and_fifo_within():
    queue = queue_of()
    for key, priority in [("a", 0), ("low", -100), ("b", 0), ("high", 5)]:
        queue.add(key, priority=priority)

    assert await take(queue, 4) == ["high", "a", "b", "low"]


async def test_q15_readd_raises_to_the_end_of_the_new_priority():
    queue = queue_of()
    queue.add("raised", priority=-100)
    queue.add("first")
    queue.add("raised")
    queue.add("last")

    assert await take(queue, 3) == ["first", "raised", "last"]


async def test_q15_readd_never_lowers():
    queue = queue_of("a")
    queue.add("b")
    queue.add("a", priority=-100)

    assert await take(queue, 2) == ["a", "b"]


async def test_q15_ready_key_keeps_the_higher_priority_of_its_wait():
    queue = queue_of("a")
    queue.add_after("b", 9, priority=7)
    queue.add("b", priority=-100)

    assert await take(queue, 2) == ["b", "a"]


@pytest.mark.parametrize("delays", [(1, 5), (5, 1)], ids=["earlier stays", "earlier comes"])
async def test_q15_waiting_key_keeps_the_highest_priority_asked_for(delays):
    for priorities in [(7, -100), (-100, 7)]:
        queue = queue_of("a")
        for delay_s, priority in zip(delays, priorities, strict=True):
            queue.add_after("b", delay_s, priority=priority)
        await asyncio.sleep(2)

        assert await take(queue, 2) == ["b", "a"]


@pytest.mark.parametrize(
    "requeue",
    [lambda q, k: q.add_after(k, 1), lambda q, k: q.add_rate_limited(k)],
    ids=["after", "rate-limited"],
)
async def test_q18_requeue_keeps_the_keys_priority(requeue):
    """Controller-runtime's "should retain the priority when there was an error"."""
    queue = queue_of()
    queue.add("old", priority=-100)
    await take(queue)
    requeue(queue, "old")
    queue.done("old")
    await asyncio.sleep(2)
    queue.add("new")

    assert await take(queue, 2) == ["new", "old"]


async def test_q18_requeue_takes_a_given_priority():
    queue = queue_of("a")
    queue.add_after("b", 1, priority=3)
    await asyncio.sleep(2)

    assert await take(queue, 2) == ["b", "a"]


async def test_q17_minus_100_work_is_not_starved():
    """100 keys at -100 are done while keys at 0 keep coming faster than they are worked off."""
    queue = queue_of()
    for number in range(100):
        queue.add(f"old-{number}", priority=-100)
    for number in range(1000):
        queue.add(f"new-{number}-a")
        queue.add(f"new-{number}-b")
        await run_all(queue, 1)

    assert dict(queue.statistics().depth)[-100] == 0


async def test_q17_ageing_leaves_nine_tenths_to_the_higher_priority():
    queue = queue_of(*(f"new-{number}" for number in range(100)))
    for number in range(100):
        queue.add(f"old-{number}", priority=-100)
    keys = await take(queue, 100)

    assert sum(key.startswith("new") for key in keys) == 90


async def test_q17_ageing_takes_the_key_that_has_waited_longest():
    queue = queue_of(*(f"new-{number}" for number in range(20)))
    queue.add("lowest", priority=-100)
    await asyncio.sleep(1)
    queue.add("low", priority=-50)

    assert (await take(queue, 10))[-1] == "lowest"


async def test_many_priorities_leave_nothing_behind():
    queue = queue_of()
    for priority in range(1000):
        queue.add("a", priority=priority)
        await run_all(queue, 1)

    assert len(queue.statistics().depth) <= 26


# ------------------------------------------------------------------ shutdown
async def test_q5_shut_down_hands_out_what_is_queued_and_nothing_else():
    """TestNoQueueDrainageUsingShutDown: what is queued is still handed out, then it ends."""
    queue = queue_of("a", "b")
    queue.add_after("late", 1)
    queue.shut_down()
    queue.add("ignored")
    queue.add_after("ignored", 1)
    queue.add_rate_limited("ignored")

    assert await run_all(queue, 2) == ["a", "b"]
    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_q7_shut_down_with_discard_hands_out_nothing_more():
    queue = queue_of("a", "b")
    await take(queue)
    queue.add("a")
    queue.shut_down(discard=True)
    queue.done("a")

    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_q7_get_is_unblocked_on_shut_down():
    """TestGetFromPriorityQueueIsUnblockedOnShutdown."""
    queue = queue_of()
    async with asyncio.TaskGroup() as group:
        getters = [group.create_task(stopped(queue)) for _ in range(3)]
        await asyncio.sleep(1)
        queue.shut_down()

    assert [getter.result() for getter in getters] == [True, True, True]


@pytest.mark.parametrize(("discard", "handed_out"), [(False, 1), (True, 0)])
async def test_q7_shut_down_in_the_turn_of_a_hand_out_hangs_nobody(discard, handed_out):
    """TestPriorityQueueDoesNotDeadlockOnShutdownWhileHandingOutItems."""
    queue = queue_of()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        getters = [group.create_task(stopped(queue)) for _ in range(3)]
        await asyncio.sleep(1)
        queue.add("a")
        queue.shut_down(discard=discard)

    assert [getter.result() for getter in getters].count(False) == handed_out


async def stopped(queue: WorkQueue[str]) -> bool:
    try:
        await queue.get()
    except QueueShutDown:
        return True
    return False


async def test_q6_drain_waits_for_the_second_run_too():
    """TestQueueDrainageUsingShutDownWithDrainWithDirtyItem: it waits for the second run too."""
    queue = queue_of("a")
    await take(queue)
    queue.add("a")
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        queue.done("a")
        await take(queue)
        await asyncio.sleep(1)
        assert not drain.done()
        queue.done("a")

    assert drain.done()
    with pytest.raises(QueueShutDown):
        await queue.get()


async def test_q6_drain_waits_for_what_is_still_queued():
    queue = queue_of("a", "b")
    async with asyncio.TaskGroup() as group:
        drain = group.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        await run_all(queue, 1)
        assert not drain.done()
        await run_all(queue, 1)


async def test_q6_shut_down_ends_a_drain():
    """TestForceQueueShutdownUsingShutDown."""
    queue = queue_of("a")
    await take(queue)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(queue.shut_down_with_drain())
        await asyncio.sleep(1)
        queue.shut_down()


async def test_q6_drain_of_an_idle_queue_returns_at_once():
    await queue_of().shut_down_with_drain()

    assert now() == 0


# ------------------------------------------------------------------ cancellation
async def test_cancelled_get_passes_its_key_on():
    """Woken and cancelled in the same turn of the loop, a getter must not swallow the wake-up."""
    queue = queue_of()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        unlucky = group.create_task(queue.get())
        lucky = group.create_task(queue.get())
        await asyncio.sleep(1)
        queue.add("a")
        unlucky.cancel()

    assert lucky.result() == "a"


async def test_cancelled_get_leaves_no_waiter():
    queue = queue_of()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.get()

    queue.add("a")
    assert await take(queue) == ["a"]


# ------------------------------------------------------------------ statistics
async def test_q20_statistics_count_what_happened():
    """TestMetrics: adds without duplicates, times from the first add, running keys' ages."""
    queue = queue_of("a", "a")
    await asyncio.sleep(2)
    queue.add("a")
    await take(queue)
    await asyncio.sleep(3)
    statistics = queue.statistics()

    assert (statistics.adds, statistics.processing, statistics.waiting) == (1, 1, 0)
    assert (statistics.queue_duration.count, statistics.queue_duration.total) == (1, 2)
    assert (statistics.unfinished_work_s, statistics.longest_running_s) == (3, 3)
    queue.done("a")
    assert queue.statistics().work_duration.total == 3


async def test_q20_delayed_keys_join_depth_and_adds_when_ready():
    """TestItemsAreInludedInLenAndMetricsOnceTheyAreReady."""
    queue = queue_of()
    queue.add_after("a", 2, priority=4)
    waiting = queue.statistics()
    await asyncio.sleep(3)
    ready = queue.statistics()

    assert (waiting.waiting, waiting.retries, waiting.adds, waiting.depth) == (1, 1, 0, ())
    assert (ready.waiting, ready.retries, ready.adds, ready.depth) == (0, 1, 1, ((4, 1),))
    await take(queue)
    assert queue.statistics().queue_duration.total == 1


async def test_q20_key_whose_delay_expired_is_not_counted_again_by_an_add():
    """TestMetricsAreUpdatedForItemWhoseRequeueAfterExpiredThatGetsAddedAgainWithout..."""
    queue = queue_of()
    queue.add_after("a", 1)
    await asyncio.sleep(3)
    queue.add("a")
    await take(queue)
    statistics = queue.statistics()

    assert (statistics.adds, statistics.retries, statistics.depth) == (1, 1, ((0, 0),))
    assert statistics.queue_duration.total == 2


async def test_q20_delay_that_is_none_is_no_retry():
    queue = queue_of()
    queue.add_after("a", 0)

    assert (queue.statistics().adds, queue.statistics().retries) == (1, 0)


async def test_q20_raised_key_has_waited_since_its_first_add():
    queue = queue_of()
    queue.add("a", priority=-100)
    await asyncio.sleep(3)
    queue.add("a")
    await take(queue)

    assert queue.statistics().queue_duration.total == 3


async def test_depth_does_not_count_the_place_a_raised_key_left():
    queue = queue_of()
    queue.add("a", priority=-100)
    queue.add("b", priority=-100)
    queue.add("b")

    assert queue.statistics().depth == ((0, 1), (-100, 1))
