"""A scriptable API server with the real wire, and a guard against a leak."""

import asyncio

from tests.unit.informers.conftest import api, server, source  # noqa: F401 - fixtures, by name

# For every sync test looptime asks asyncio for "the" event loop, and asyncio makes one if none was
# ever set: nobody closes it, and the warning fails whichever test is running when it is collected.
asyncio.set_event_loop(None)
