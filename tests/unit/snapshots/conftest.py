"""What all tests of backups share."""

from __future__ import annotations

import asyncio

import pytest

from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store


@pytest.fixture(scope="session", autouse=True)
def _no_implicit_event_loop() -> None:
    """Keeps `asyncio.get_event_loop()` from making a loop that nobody closes (sync test first)."""
    asyncio.set_event_loop(None)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def store(folder):
    """A store in a folder."""
    return open_store(LocalLocation(folder=folder), WorkloadIdentity())
