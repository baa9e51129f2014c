"""Repeating reads, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.errors import (
    ConfigError,
    NoLeaderError,
    RequestTimedOutError,
    TransportCause,
    UnavailableError,
)
from etcd.retry import RetryPolicy, retry_read


class Script:
    """A read that fails as told, once per entry, and then answers; notes when it was called."""

    def __init__(self, *failures, takes_s=0.0):
        self.failures = list(failures)
        self.takes_s = takes_s
        self.calls = []

    async def __call__(self, *, timeout_s):
        self.calls.append((asyncio.get_running_loop().time(), timeout_s))
        await asyncio.sleep(self.takes_s)
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def refused():
    return UnavailableError("refused", cause=TransportCause.REFUSED)


@pytest.mark.looptime
async def test_passing_failures_are_repeated():
    read = Script(refused(), NoLeaderError("no leader"))

    assert await retry_read(read, timeout_s=5) == "answer"
    assert len(read.calls) == 3


@pytest.mark.looptime
async def test_pauses_grow_and_jitter():
    read = Script(refused(), refused())

    await retry_read(read, timeout_s=5, policy=RetryPolicy(base_s=1, cap_s=10))

    (first, _), (second, _), (third, _) = read.calls
    assert 0.5 <= second - first <= 1
    assert 1 <= third - second <= 2


@pytest.mark.looptime
async def test_attempts_are_bounded():
    read = Script(*(refused() for _ in range(9)))

    with pytest.raises(UnavailableError):
        await retry_read(read, timeout_s=100, policy=RetryPolicy(attempts=4))

    assert len(read.calls) == 4


@pytest.mark.looptime
async def test_deadline_covers_all_attempts():
    read = Script(*(refused() for _ in range(9)), takes_s=2)

    with pytest.raises(UnavailableError):
        await retry_read(read, timeout_s=5, policy=RetryPolicy(attempts=9))

    assert [round(left) for _, left in read.calls] == [5, 3, 1]


@pytest.mark.parametrize(
    "failure",
    [
        ConfigError("never"),
        UnavailableError("expired", cause=TransportCause.TLS),
        UnavailableError("late", cause=TransportCause.DEADLINE),
    ],
    ids=["config", "tls", "deadline"],
)
@pytest.mark.looptime
async def test_lasting_failures_are_raised_at_once(failure):
    read = Script(failure)

    with pytest.raises(type(failure)):
        await retry_read(read, timeout_s=5)

    assert len(read.calls) == 1


@pytest.mark.looptime
async def test_the_last_failure_is_the_one_raised():
    read = Script(refused(), RequestTimedOutError("late"))

    with pytest.raises(RequestTimedOutError):
        await retry_read(read, timeout_s=5, policy=RetryPolicy(attempts=2))


@given(failures=st.integers(1, 60), chance=st.floats(0, 1, exclude_max=True))
def test_pause_stays_below_its_cap(failures, chance):
    assert 0 < RetryPolicy().pause_s(failures, chance) <= RetryPolicy().cap_s
