"""What all tests of backups share."""

from __future__ import annotations

import pytest

from etcd.dialer import DirectDialer
from etcd.pool import ChannelPool
from snapshots import encoding
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.unit.etcd.fake_member import serving
from tests.unit.snapshots.backups import answers


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "store"
    made.mkdir()
    return made


@pytest.fixture
def store(folder):
    """A store in a folder."""
    return open_store(LocalLocation(folder=folder), WorkloadIdentity())


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 64 KiB, so that a small database has several."""
    monkeypatch.setattr(encoding, "PART_BYTES", 64 * 1024)


@pytest.fixture
async def member():
    """A member with a small database of etcd."""
    async with serving() as running:
        running.chunks = answers()
        yield running


@pytest.fixture
async def client(member):
    pool = ChannelPool(DirectDialer())
    yield pool.client(member.endpoint())
    await pool.close()
