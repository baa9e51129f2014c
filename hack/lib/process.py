"""Running other programs: with a deadline, and with a message that says what failed."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class SetupError(Exception):
    """A program ended badly; the message is for a person."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    input_text: str | None = None,
) -> str:
    """Standard output of a finished program. Its words are shown only when it fails."""
    words = [str(word) for word in command]
    try:
        result = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=input_text,
            stdin=subprocess.DEVNULL if input_text is None else None,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError(f"{words[0]}: not found") from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{' '.join(words)}: no end after {timeout_s:.0f} s") from error
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip()
        raise SetupError(f"{' '.join(words)}: exit code {result.returncode}\n{output[-4000:]}")
    return result.stdout
