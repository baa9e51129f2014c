"""Nothing but a guard against a leak."""

import asyncio

# For every sync test looptime asks asyncio for "the" event loop, and asyncio makes one if none was
# ever set: nobody closes it, and the warning fails whichever test is running when it is collected.
asyncio.set_event_loop(None)
