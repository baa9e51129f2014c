"""However the work on a member's volume ends: the data are in their place whole, or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from snapshots.errors import RestoredDataError, TargetNotEmptyError
from snapshots.placing import (
    Fetched,
    Volume,
    begin,
    check_restored,
    clear,
    is_placed,
    place,
    read_fetched,
    read_marker,
    write_fetched,
)
from tests.unit.snapshots.backups import FILE
from tests.unit.snapshots.bolt_file import database
from tests.unit.snapshots.stored import store_backup

JUMP = 1_000_000


class KilledError(BaseException):
    """The process ends here: nobody catches this."""


@pytest.fixture
def volume(tmp_path):
    root = tmp_path / "member"
    root.mkdir()
    return Volume(root)


def work(volume, data=FILE[:-32]):
    """Everything before `place`."""
    begin(volume)
    volume.snapshot.write_bytes(FILE)
    for name, content in (("snap/db", data), ("wal/0.wal", b"log")):
        file = volume.restored / "member" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(content)


def killed_after(monkeypatch, calls):
    """The process dies before the call after so many that change something on the disk."""
    left = [calls]

    def deadly(original):
        def call(*args, **options):
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return original(*args, **options)

        return call

    for owner, name in (
        *((Path, each) for each in ("rename", "replace", "write_text", "unlink", "mkdir")),
        (shutil, "rmtree"),
        (os, "fsync"),
    ):
        monkeypatch.setattr(owner, name, deadly(getattr(owner, name)))


@pytest.mark.parametrize("calls", range(14))
def test_killed_anywhere(volume, monkeypatch, calls):
    work(volume)
    with monkeypatch.context() as patch:
        killed_after(patch, calls)
        try:
            place(volume, "the answer")
            clear(volume)
        except KilledError:
            finished = False
        else:
            finished = True
    assert finished == (calls == 13)

    if not is_placed(volume):
        work(volume)
        place(volume, "the answer")
    with pytest.raises(TargetNotEmptyError):
        begin(volume)
    clear(volume)

    assert read_marker(volume) == "the answer"
    assert (volume.data / "member/snap/db").read_bytes() == FILE[:-32]
    assert (volume.data / "member/wal/0.wal").read_bytes() == b"log"
    assert sorted(path.name for path in volume.root.iterdir()) == ["data", "restored.json"]


def test_marker_is_on_the_disk_before_the_data_are_in_their_place(volume, monkeypatch):
    """Else a power cut could leave data that nobody knows."""
    work(volume)
    flushed = []
    original = os.fsync

    def fsync(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        original(descriptor)

    def rename(self, target):
        assert {volume.work / "restored.json", volume.root, volume.restored / "member/snap/db"} <= {
            *flushed
        }
        os.rename(self, target)  # noqa: PTH104 - the one that is replaced calls it
        flushed.clear()

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    place(volume, "the answer")

    assert flushed == [volume.root]


def test_an_empty_folder_is_no_data(volume):
    volume.data.mkdir()
    work(volume)
    place(volume, "the answer")

    assert is_placed(volume)


@pytest.mark.parametrize(
    ("before", "after", "bump", "problem"),
    [
        ([2, 9], [2, 9], 0, None),
        ([2, 9], [2, 8], 0, "begin at revision 8, and should at 9"),
        ([2, 9], [2, 9], JUMP, f"begin at revision 9, and should at {9 + JUMP}"),
        ([], [], 0, None),
    ],
)
def test_what_etcdutl_made_is_compared(volume, tmp_path, before, after, bump, problem):
    data = database(before)
    manifest = store_backup(tmp_path / "store", database=data)
    work(volume, database(after))
    volume.snapshot.write_bytes(data)

    if problem is None:
        assert check_restored(volume, manifest, bump).facts.revision == max(before, default=1)
        return
    with pytest.raises(RestoredDataError, match=problem):
        check_restored(volume, manifest, bump)


def test_jump_has_to_be_marked_as_compacted(volume, tmp_path):
    manifest = store_backup(tmp_path / "store", database=database([2, 9]))
    work(volume, database([2, 9, 9 + JUMP]))
    volume.snapshot.write_bytes(database([2, 9]))
    with pytest.raises(RestoredDataError, match="compacted at revision 0"):
        check_restored(volume, manifest, JUMP)

    work(volume, database([2, 9, 9 + JUMP], compacted=9 + JUMP))
    volume.snapshot.write_bytes(database([2, 9]))
    found = check_restored(volume, manifest, JUMP)

    assert (found.facts.revision, found.facts.compact_revision) == (9 + JUMP, 9 + JUMP)


def test_snapshot_of_another_revision_than_its_manifest_is_refused(volume, tmp_path):
    manifest = store_backup(tmp_path / "store", database=database([2, 9]))
    work(volume, database([2, 8]))
    volume.snapshot.write_bytes(database([2, 8]))

    with pytest.raises(RestoredDataError, match="manifest says 9"):
        check_restored(volume, manifest, 0)


@pytest.mark.parametrize("lost", ["member/wal/0.wal", "member/snap/db"])
def test_unfinished_work_of_etcdutl_is_refused(volume, tmp_path, lost):
    manifest = store_backup(tmp_path / "store")
    work(volume)
    (volume.restored / lost).unlink()

    with pytest.raises(RestoredDataError, match="etcdutl"):
        check_restored(volume, manifest, 0)


def test_what_was_fetched_is_told_to_the_next_step(volume, tmp_path):
    manifest = store_backup(tmp_path / "store")
    begin(volume)
    with pytest.raises(RestoredDataError):
        read_fetched(volume)
    fetched = Fetched(token="t", manifest=manifest, notes=("a",))
    write_fetched(volume, fetched)
    assert read_fetched(volume) == fetched

    volume.fetched.write_bytes(volume.fetched.read_bytes()[:-2])
    with pytest.raises(RestoredDataError):
        read_fetched(volume)
