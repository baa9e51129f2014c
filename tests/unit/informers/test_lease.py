"""Leader election on virtual time against a model of a Lease; real sockets in test_lease_wire.py.

Retry periods are not jittered here: 2 s while waiting, 1.8 s between renewals.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from informers.lease import LeaderElector, LeadershipLost, Unelected, make_identity
from tests.unit.informers.lease_server import LeaseServer

pytestmark = pytest.mark.looptime

NOON = datetime(2030, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


class Even(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return a


def elector(server: LeaseServer, identity: str = "me", **options) -> LeaderElector:
    options = {
        "clock": asyncio.get_running_loop().time,
        "wall_clock": wall_clock_off_by(timedelta(0)),
        "rng": Even(),
        "die": deaths.append,
    } | options
    return LeaderElector(server, namespace="ns", name="lock", identity=identity, **options)


def wall_clock_off_by(offset: timedelta):
    clock = asyncio.get_running_loop().time
    return lambda: NOON + offset + timedelta(seconds=clock())


deaths: list[str] = []


@pytest.fixture(autouse=True)
def nobody_dies():
    deaths.clear()
    yield
    assert deaths == []


def now() -> float:
    return asyncio.get_running_loop().time()


def held_by(holder: str, **more) -> LeaseServer:
    """A Lease whose times say nothing: one is ancient, the other in the far future."""
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": 15,
        "acquireTime": "1999-01-01T00:00:00.000000Z",
        "renewTime": "2999-01-01T00:00:00.000000Z",
        "leaseTransitions": 4,
    }
    return LeaseServer(**(spec | more))


class Work:
    """Something to do while leading: notes when it ran, and takes `wind_down_s` to stop."""

    def __init__(self, wind_down_s: float = 0.0) -> None:
        self.started = asyncio.Event()
        self.started_at = self.ended_at = -1.0
        self.wind_down_s = wind_down_s

    async def __call__(self) -> None:
        self.started_at = now()
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(self.wind_down_s)
            self.ended_at = now()


async def lead_for(seconds: float, running: LeaderElector, work: Work | None = None) -> Work:
    """Run the elector and cancel it `seconds` after its work started."""
    work = work or Work()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.run(work))
        await work.started.wait()
        await asyncio.sleep(seconds)
        task.cancel()
    return work


# ------------------------------------------------------------------ acquiring
async def test_l3_acquiring_without_a_lease_creates_it():
    """TestTryAcquireOrRenewLeases, "acquire from no object"."""
    server = LeaseServer()
    await lead_for(0, elector(server))

    first = server.history[0]["spec"]
    assert server.ops[:2] == ["get", "create"]
    assert first == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": "2030-01-02T12:00:00.000005Z",
        "renewTime": "2030-01-02T12:00:00.000005Z",
        "leaseTransitions": 0,
    }


async def test_l2_free_lease_is_taken_at_once():
    """TestTryAcquireOrRenewLeases, "acquire from empty led, acked object"."""
    server = held_by("")
    work = await lead_for(0, elector(server))

    assert work.started_at == 0
    assert server.history[1]["spec"]["leaseTransitions"] == 5


async def test_l2_held_lease_is_waited_for_from_the_first_look():
    """TestTryAcquireOrRenewLeases, "don't acquire from led, acked object"; no clock is compared."""
    work = await lead_for(0, elector(held_by("other")))

    assert 15 <= work.started_at <= 17


async def test_l2_wait_goes_by_the_holders_own_duration():
    work = await lead_for(0, elector(held_by("other", leaseDurationSeconds=60)))

    assert 60 <= work.started_at <= 62


async def test_l2_renewed_lease_is_left_alone():
    server = held_by("other")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(never))
        for number in range(30):
            await asyncio.sleep(10)
            server.store(spec={"renewTime": f"renewal {number}"})
        task.cancel()

    assert set(server.ops) == {"get"}


async def never() -> None:
    pytest.fail("led without the lease")


async def test_l2_changed_label_is_no_renewal():
    server = held_by("other")
    work = Work()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(work))
        for number in range(3):
            await asyncio.sleep(6)
            server.store(metadata={"labels": {"number": str(number)}})
        task.cancel()

    assert 15 <= work.started_at <= 17


async def test_l5_claim_whose_answer_was_lost_is_no_second_transition():
    """The first claim took effect though its answer was lost: it is a renewal, not a take-over."""
    server = held_by("")
    server.faults.extend(["ok", "lost"])
    work = await lead_for(0, elector(server))

    assert work.started_at == 2
    assert server.spec["leaseTransitions"] == 5


@pytest.mark.parametrize("start", [LeaseServer, lambda: held_by("")], ids=["absent", "free"])
async def test_l3_of_two_racing_electors_one_leads(start):
    server, works = start(), [Work(), Work()]
    server.always = 0.5
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(elector(server, f"number {i}").run(works[i])) for i in range(2)]
        await asyncio.sleep(60)
        assert sum(work.started.is_set() for work in works) == 1
        [task.cancel() for task in tasks]


async def test_l4_acquiring_goes_on_through_aborted_and_hung_requests():
    server = LeaseServer()
    server.faults.extend(["abort", "hang", "abort", "hang"])
    work = await lead_for(0, elector(server))

    assert work.started_at == 0 + 2 + (5 + 2) + 2 + (5 + 2)


async def test_l3_retries_of_those_who_wait_are_jittered():
    server, at = held_by("other"), []
    server.get, original = (lambda *a, **k: (at.append(now()), original(*a, **k))[1]), server.get
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server, rng=random.Random(1)).run(never))
        await asyncio.sleep(14)
        task.cancel()
    gaps = [b - a for a, b in itertools.pairwise(at)]

    assert all(2 <= gap < 4.4 for gap in gaps)
    assert len(set(gaps)) == len(gaps) > 2


# ------------------------------------------------------------------ renewing
async def test_l3_renewal_is_one_put():
    """TestFastPathLeaderElection: renewals are one PUT each."""
    server = LeaseServer()
    await lead_for(6, elector(server))

    assert server.ops[:5] == ["get", "create", "update", "update", "update"]


async def test_l3_renewal_that_fails_reads_and_writes():
    """TestFastPathLeaderElection: update, get, update."""
    server, running = LeaseServer(), None
    server.faults.extend(["ok", "ok", "conflict"])
    running = elector(server)
    await lead_for(3, running)

    assert server.ops[:5] == ["get", "create", "update", "get", "update"]
    assert running.statistics().slow_paths == 1


async def test_l5_renewal_keeps_what_a_take_over_set():
    server = held_by("")
    await lead_for(10, elector(server))
    renewed = server.history[3]["spec"]

    assert renewed["leaseTransitions"] == 5
    assert renewed["acquireTime"] == server.history[1]["spec"]["acquireTime"]


async def test_l5_unknown_fields_survive_all_writes():
    """TestLabelUpdate, TestLeaseConversion."""
    server = held_by("", strategy="OldestEmulationVersion", preferredHolder="someone")
    server.store(metadata={"labels": {"team": "storage"}, "annotations": {"a": "b"}})
    await lead_for(5, elector(server))

    assert server.holder == ""
    assert server.spec["preferredHolder"] == "someone"
    assert server.spec["strategy"] == "OldestEmulationVersion"
    assert server.lease["metadata"]["labels"] == {"team": "storage"}
    assert server.lease["metadata"]["annotations"] == {"a": "b"}


async def test_lease_that_was_deleted_is_made_again():
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(Work()))
        await asyncio.sleep(5)
        server.lease = None
        await asyncio.sleep(5)
        assert server.holder == "me"
        task.cancel()


@pytest.mark.parametrize("offset", [timedelta(days=-400), timedelta(days=400)], ids=["-", "+"])
async def test_l7_wall_clocks_do_not_matter(offset):
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(elector(server, "first").run(Work()))
        await asyncio.sleep(1)
        wrong = elector(server, "second", wall_clock=wall_clock_off_by(offset))
        second = group.create_task(wrong.run(never))
        await asyncio.sleep(100)
        assert server.holder == "first"
        second.cancel()
        first.cancel()


class CutOff:
    """One elector's way to the server; `is_cut`: its requests hang, while others' are answered."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.is_cut = False

    def __getattr__(self, verb: str):
        async def call(*args, **options):
            if self.is_cut:
                await asyncio.get_running_loop().create_future()
            return await getattr(self.server, verb)(*args, **options)

        return call


@pytest.mark.parametrize("rate", [0.7, 1.0, 1.4])
async def test_l7_clocks_at_different_rates_keep_leaders_apart(rate):
    """Up to lease duration / renew deadline (1.5): a fast standby waits 15 s of its own time."""
    loop, server = asyncio.get_running_loop(), LeaseServer()
    way, first, second = CutOff(server), Work(), Work()
    async with asyncio.TaskGroup() as group:
        losing = group.create_task(outcome(elector(way, "first").run(first)))
        await asyncio.sleep(1)
        fast = elector(server, "second", clock=lambda: loop.time() * rate)
        winning = group.create_task(fast.run(second))
        await asyncio.sleep(5.5)
        way.is_cut = True
        await second.started.wait()
        winning.cancel()

    assert isinstance(losing.result(), LeadershipLost)
    assert 0 < first.ended_at < second.started_at


# ------------------------------------------------------------------ losing
@pytest.mark.parametrize("fault", ["abort", "hang", "lost", "conflict", "cancelled", 6.0])
async def test_l4_leading_ends_when_nothing_is_answered(fault):
    """Ten seconds after the last renewal that was answered the work is cancelled, never later."""
    server, work = LeaseServer(), Work()
    running = elector(server)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome(running.run(work)))
        await asyncio.sleep(4)  # the renewal at 3.6 s was the last one
        server.always = fault
    await asyncio.sleep(0)

    assert isinstance(task.result(), LeadershipLost)
    assert work.ended_at == pytest.approx(13.6)
    assert not running.is_leader


async def outcome(run) -> BaseException | None:
    try:
        await run
    except LeadershipLost as error:
        return error
    return None


async def test_l6_lost_lease_is_not_released():
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome(elector(server).run(Work())))
        await asyncio.sleep(1)
        server.always = "abort"
        await asyncio.wait([task])
    tries = len(server.ops)
    await asyncio.sleep(60)

    assert len(server.ops) == tries
    assert server.holder == "me"


@pytest.mark.parametrize("fault", ["hang", "cancelled"])
async def test_l4_one_request_that_ends_badly_does_not_lose_the_lease(fault):
    server, work = LeaseServer(), Work()
    server.faults.extend(["ok", "ok", fault])
    await lead_for(100, elector(server), work)

    assert work.ended_at == 100
    assert server.ops.count("update") > 50


async def test_l8_leading_ends_at_once_when_another_holds_the_lease():
    server, work = LeaseServer(), Work()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome(elector(server).run(work)))
        await asyncio.sleep(4)
        server.store(spec={"holderIdentity": "thief"})

    assert isinstance(task.result(), LeadershipLost)
    assert work.ended_at == pytest.approx(5.4)
    assert server.holder == "thief"


async def test_losing_the_lease_reports_what_the_work_raised():
    server = LeaseServer()

    async def work() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            raise RuntimeError("while stopping")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(outcome(elector(server).run(work)))
        await asyncio.sleep(1)
        server.always = "abort"
    error = task.result()

    assert isinstance(error, LeadershipLost)
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions[0].args == ("while stopping",)


# ------------------------------------------------------------------ ending
async def test_l6_cancelled_leader_releases_the_lease():
    """TestReleaseOnCancellation_Leases: the next one need not wait, and the count goes on."""
    server = held_by("")
    await lead_for(1, elector(server))

    assert (server.holder, server.spec["leaseDurationSeconds"]) == ("", 1)
    assert server.spec["leaseTransitions"] == 5
    work = await lead_for(1, elector(server, "next"))
    assert work.started_at == 1


async def test_l6_release_only_after_the_work_has_stopped():
    """And until then renewals go on: winding down may take longer than the lease."""
    server, work = LeaseServer(), Work(wind_down_s=40)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(work))
        await asyncio.sleep(1)
        task.cancel()
        other = group.create_task(elector(server, "other").run(second := Work()))
        await second.started.wait()
        other.cancel()

    assert work.ended_at == 41
    assert 41 <= second.started_at <= 43


async def test_l6_release_reads_anew_on_conflict():
    """TestReleaseRetriesOnConflict."""
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(Work()))
        await asyncio.sleep(1)
        server.faults.extend(["ok", "conflict", "ok", "conflict"])
        task.cancel()

    assert server.ops[2:] == ["get", "update", "get", "update", "get", "update"]
    assert server.holder == ""


async def test_l6_release_leaves_anothers_lease_alone():
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(Work()))
        await asyncio.sleep(1)
        server.store(spec={"holderIdentity": "thief"})
        task.cancel()

    assert server.holder == "thief"


@pytest.mark.parametrize("fault", ["abort", "hang"])
async def test_l6_release_that_fails_is_given_up(fault):
    server = LeaseServer()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(Work()))
        await asyncio.sleep(1)
        server.always = fault
        task.cancel()

    assert now() <= 11
    assert task.cancelled()


async def test_work_that_returns_ends_the_election():
    server = LeaseServer()

    async def work() -> None:
        await asyncio.sleep(5)

    await elector(server).run(work)

    assert now() == 5
    assert server.holder == ""


async def test_l6_work_that_fails_releases_and_raises():
    server = LeaseServer()

    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await elector(server).run(work)
    assert server.holder == ""


async def test_l6_standby_that_is_cancelled_writes_nothing():
    server = held_by("other")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(never))
        await asyncio.sleep(5)
        task.cancel()

    assert set(server.ops) == {"get"}


async def test_l6_cancelled_during_its_claim_gives_the_lease_back():
    """The claim may have arrived: without a release the others would wait for nobody."""
    server = held_by("")
    server.faults.extend(["ok", "lost", "hang"])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(elector(server).run(never))
        await asyncio.sleep(3)
        task.cancel()

    assert server.holder == ""


# ------------------------------------------------------------------ what others see
async def test_remaining_time_counts_from_before_the_renewal():
    server = LeaseServer()
    server.faults.extend(["ok", 3.0])
    running = elector(server)
    assert running.remaining_s == 0
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.run(Work()))
        await asyncio.sleep(4)
        assert running.remaining_s == pytest.approx(6)
        await asyncio.sleep(2)
        assert running.remaining_s == pytest.approx(8.8)
        task.cancel()
    assert running.remaining_s == 0


async def test_l9_check_fails_for_a_leader_without_renewals():
    """TestLeaderElectionHealthChecker. A clock that jumped, as after a suspended machine."""
    jump = 0.0
    server = LeaseServer()
    loop = asyncio.get_running_loop()
    running = elector(server, clock=lambda: loop.time() + jump)
    running.check()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.run(Work()))
        await asyncio.sleep(1)
        running.check()
        jump = 15.1
        with pytest.raises(LeadershipLost):
            running.check()
        jump = 0.0
        task.cancel()


async def test_without_election_work_starts_at_once():
    work = Work()
    await lead_for(0, Unelected(), work)

    assert work.started_at == 0
    assert Unelected().is_leader
    assert Unelected().remaining_s == float("inf")


@pytest.mark.parametrize(
    "options",
    [
        {"identity": ""},
        {"lease_duration_s": 10},
        {"renew_deadline_s": 2.4},
        {"retry_period_s": 0},
        {"retry_period_s": -1},
    ],
    ids=str,
)
async def test_l1_durations_and_identity_are_validated(options):
    """TestLeaderElectionConfigValidation."""
    with pytest.raises(ValueError, match=r"identity|duration"):
        elector(LeaseServer(), **options)


def test_l1_identities_are_never_the_same():
    assert make_identity() != make_identity()
