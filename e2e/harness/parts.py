"""Programs that stories start, as our own scripts build them."""

import sys
from pathlib import Path

from e2e.harness.kube import CHECKOUT, run

# Where nobody has built it before.
BUILT_WITHIN_S = 600.0


async def part(name: str) -> Path:
    """The folder of what is built under this name; built now if nobody has before."""
    build = CHECKOUT / "hack/build/build.py"
    ended = await run(sys.executable, build, "--print-path", name, limit_s=BUILT_WITHIN_S)
    assert ended.code == 0, ended.err
    return Path(ended.out.strip())
