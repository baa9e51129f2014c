from __future__ import annotations
from pathlib import Path


def base(quiet: bool = False) -> Path:
    raise NotImplementedError


def make(quiet: bool = False) -> Path:
    raise NotImplementedError
