"""hack/ is not a package: its scripts find their modules beside themselves, and so do its tests."""

import sys
from pathlib import Path

HACK = Path(__file__).resolve().parents[3] / "hack"
sys.path += [str(HACK), str(HACK / "node")]
