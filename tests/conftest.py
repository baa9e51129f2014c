"""For all tests: hypothesis' profiles, and no event loop that nobody closes."""

import asyncio
import os

from hypothesis import HealthCheck, settings

# No deadline per example: on a busy machine it fails what is right.
# HYPOTHESIS_PROFILE=nightly digs deeper.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=100, **_COMMON)
settings.register_profile("nightly", max_examples=20_000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# For every synchronous test the asyncio plugins ask for "the" event loop, and asyncio makes one if
# none was ever set: nobody closes it, and the warning fails whichever test runs when it is found.
asyncio.set_event_loop(None)
