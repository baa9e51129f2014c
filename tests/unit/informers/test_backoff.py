"""Delays after failures."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.backoff import Backoff


@given(st.integers())
def test_r19_delays_double_up_to_the_cap_and_are_stretched_at_random(seed):
    backoff = Backoff(random.Random(seed))
    least = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30]
    delays = [backoff.delay_s(0) for _ in least]
    assert all(low <= delay < 2 * low for low, delay in zip(least, delays, strict=True))


@pytest.mark.parametrize(("quiet_s", "starts_over"), [(119, False), (121, True)])
def test_r19_two_quiet_minutes_start_it_over(quiet_s, starts_over):
    backoff = Backoff(random.Random(1))
    now = 0.0
    for _ in range(5):
        now += backoff.delay_s(now)
    assert (backoff.delay_s(now + quiet_s) < 1.6) == starts_over
