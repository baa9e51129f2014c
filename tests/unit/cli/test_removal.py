"""What an expired backup takes along: its data, and the changes that went on from it alone."""

from __future__ import annotations

import pytest

from cli.agent.removal import remove
from controllers.backup.order import Removal
from snapshots.errors import StoreForbiddenError
from snapshots.layout import BackupFolder
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.stores import open_store
from tests.unit.snapshots.changes.chains import stored, written
from tests.unit.snapshots.changes.test_pruning import LATER, backed_up, left

REMOVAL = Removal.model_validate(
    {"folder": "c-1/at-4", "local": {"claimName": "b", "path": "etcd"}}
)


@pytest.fixture
def store(tmp_path):
    (tmp_path / "etcd").mkdir()
    return open_store(LocalLocation(folder=tmp_path / "etcd"), WorkloadIdentity())


async def test_the_changes_up_to_the_next_backup_go_with_it(store, tmp_path):
    await stored(store, written(3, 2, 1, 4))
    await backed_up(store, 4, 10)

    for _ in range(2):  # the second time nothing is left to delete
        await remove(REMOVAL, {}, tmp_path, now=LATER)

        assert await left(store) == {5: [3]}
        assert [one.path async for one in store.list("c-1/at-4")] == []
        assert [one.path async for one in store.list("c-1/at-10")] == ["c-1/at-10/manifest.json"]


async def test_it_goes_also_where_nothing_is_known_of_the_changes(store, tmp_path):
    await stored(store, written(3, 2))
    await backed_up(store, 4)
    unreadable = BackupFolder(cluster_id=0xC, epoch=1, name="of-tomorrow").manifest
    await store.put(unreadable, b"{}")

    await remove(REMOVAL, {}, tmp_path, now=LATER)

    assert await left(store) == {5: [0, 1]}
    assert [one.path async for one in store.list("c-1/at-4")] == []


async def test_a_volume_that_can_not_be_used_is_told(tmp_path):
    (tmp_path / "etcd").write_text("a file in the way")

    with pytest.raises(StoreForbiddenError):
        await remove(REMOVAL, {}, tmp_path, now=LATER)
