"""Limiters, with time as an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.limiters import ItemBackoff, SlowestOf, TokenBucket, default_limiter

if TYPE_CHECKING:
    import random


def backoff(**options) -> ItemBackoff[str]:
    return ItemBackoff[str](**{"base_s": 1, "max_s": 60, "jitter": 0, **options})


def test_q10_item_backoff_doubles_up_to_its_limit():
    limiter = backoff(max_s=10)

    assert [limiter.delay_s("a", 0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_q14_items_back_off_on_their_own():
    limiter = backoff()
    limiter.delay_s("a", 0)

    assert limiter.delay_s("b", 0) == 1


def test_q13_forget_starts_again():
    limiter = backoff()
    limiter.delay_s("a", 0)
    limiter.forget("a")

    assert limiter.failures("a") == 0
    assert limiter.delay_s("a", 0) == 1


def test_q10_item_backoff_does_not_overflow():
    """TestItemExponentialFailureRateLimiterOverFlow."""
    limiter = backoff(max_s=1000)

    assert [limiter.delay_s("a", 0) for _ in range(5000)][-1] == 1000


@given(st.integers(min_value=0, max_value=30), st.randoms())
def test_q10_jitter_only_shortens_and_by_a_tenth_at_most(failures, rng: random.Random):
    plain, jittered = backoff(), backoff(jitter=0.1, rng=rng)
    for _ in range(failures):
        plain.delay_s("a", 0)
        jittered.delay_s("a", 0)
    full = plain.delay_s("a", 0)

    assert 0.9 * full <= jittered.delay_s("a", 0) <= full


def test_q10_default_is_5_ms_to_1000_s():
    """TestItemExponentialFailureRateLimiter."""
    limiter = ItemBackoff[str](jitter=0)

    assert [limiter.delay_s("a", 0) for _ in range(3)] == [0.005, 0.01, 0.02]
    assert [limiter.delay_s("a", 0) for _ in range(30)][-1] == 1000


def test_q11_bucket_lets_a_burst_pass_and_then_spaces():
    limiter = TokenBucket[str](rate_per_s=10, burst=3)

    assert [limiter.delay_s("a", 0) for _ in range(5)] == pytest.approx([0, 0, 0, 0.1, 0.2])


def test_bucket_refills_up_to_its_burst():
    limiter = TokenBucket[str](rate_per_s=10, burst=2)
    for _ in range(5):
        limiter.delay_s("a", 0)

    assert [limiter.delay_s("a", 1000) for _ in range(3)] == pytest.approx([0, 0, 0.1])


@given(st.lists(st.floats(min_value=0, max_value=5), min_size=1, max_size=50))
def test_bucket_never_exceeds_its_rate(gaps):
    """However calls are spread, no window holds more than the burst plus the rate's share."""
    limiter, now, at = TokenBucket[str](rate_per_s=2, burst=4), 0.0, []
    for gap in gaps:
        now += gap
        at.append(now + limiter.delay_s("a", now))
    windows = [(i, j) for i in range(len(at)) for j in range(i, len(at))]

    assert all(j - i + 1 <= 4 + 2 * (at[j] - at[i]) + 1e-6 for i, j in windows)


def test_q11_slowest_wins_and_the_others_count_too():
    """TestMaxOfRateLimiter: the token is spent although the backoff's wait was longer."""
    bucket = TokenBucket[str](rate_per_s=1, burst=1)
    limiter = SlowestOf[str](backoff(), bucket)

    assert limiter.delay_s("a", 0) == 1
    assert bucket.delay_s("a", 0) == 1
    assert limiter.failures("a") == 1
    limiter.forget("a")
    assert limiter.failures("a") == 0


def test_q11_default_is_a_tenth_of_a_second_behind_the_burst():
    limiter = default_limiter()
    first = limiter.delay_s("a", 0)
    for number in range(100):
        limiter.delay_s(f"key-{number}", 0)

    assert first <= 0.005
    assert limiter.delay_s("b", 0) == pytest.approx(0.2)
