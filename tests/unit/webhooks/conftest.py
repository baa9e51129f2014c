"""A guard against a leak: see tests/unit/controllers/conftest.py."""

import asyncio

asyncio.set_event_loop(None)
