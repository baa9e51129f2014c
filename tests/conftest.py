"""For all tests: hypothesis' profiles, and no event loop left behind by pytest-asyncio."""

import asyncio
import os

import pytest
from hypothesis import HealthCheck, settings

# No deadline per example: on a busy machine it fails what is right.
# HYPOTHESIS_PROFILE=nightly digs deeper.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=100, **_COMMON)
settings.register_profile("nightly", max_examples=20_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session", autouse=True)
def _no_current_event_loop():
    """When a synchronous test comes first, pytest-asyncio keeps a loop that nobody closes."""
    yield
    asyncio.set_event_loop(None)
