"""A member's volume, on which a backup becomes its data directory: all of it, or nothing.

    restore/snapshot.db     the backup, as `fetch` proved it          } what an attempt works on;
    restore/fetched.json    what it is, for the steps that follow     } the next attempt begins by
    restore/data            what `etcdutl snapshot restore` makes     } deleting it
    restore/changes/        what is replayed on that, with a target   }
    restored.json           who made `data`, and what came of it
    data                    the member's data directory

`data` appears by one rename, after everything in it and `restored.json` are on the disk. Once it is
there, no attempt touches it. A `restored.json` without `data` counts for nothing.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from snapshots.changes.held import Held  # noqa: TC001 - pydantic reads it
from snapshots.database_file import DatabaseState, read_database
from snapshots.errors import DatabaseUnreadableError, RestoredDataError, TargetNotEmptyError
from snapshots.manifest import Manifest  # noqa: TC001 - pydantic reads it

_MODE = 0o700


class Fetched(BaseModel):
    """What an attempt has fetched. token: whose attempt. notes: what was taken all the same.

    base: the folder of the backup. held: the changes after it, with a target.
    """

    model_config = ConfigDict(frozen=True)

    token: str
    manifest: Manifest
    notes: tuple[str, ...]
    base: str = ""
    held: Held | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where data begin that were made of a snapshot."""

    revision: int
    compact_revision: int


@dataclass(frozen=True, slots=True)
class Volume:
    """root: where it is mounted."""

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "restore"

    @property
    def snapshot(self) -> Path:
        return self.work / "snapshot.db"

    @property
    def fetched(self) -> Path:
        return self.work / "fetched.json"

    @property
    def restored(self) -> Path:
        return self.work / "data"

    @property
    def changes(self) -> Path:
        return self.work / "changes"

    @property
    def marker(self) -> Path:
        return self.root / "restored.json"

    @property
    def data(self) -> Path:
        return self.root / "data"


def is_placed(volume: Volume) -> bool:
    """Whether the member has data. An empty folder is none."""
    try:
        return any(volume.data.iterdir())
    except FileNotFoundError:
        return False


def read_marker(volume: Volume) -> str:
    """What the restore that made the data wrote. Raises TargetNotEmptyError where none did."""
    try:
        return volume.marker.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        message = f"{volume.data} has data that no restore made"
        raise TargetNotEmptyError(message) from None


def begin(volume: Volume) -> int:
    """Deletes what dead attempts left. Returns the bytes that are free then.

    Raises TargetNotEmptyError, OSError.
    """
    if is_placed(volume):
        message = f"{volume.data} has data already"
        raise TargetNotEmptyError(message)
    clear(volume)
    volume.marker.unlink(missing_ok=True)
    volume.work.mkdir(mode=_MODE)
    found = os.statvfs(volume.root)
    return found.f_bavail * found.f_frsize


def clear(volume: Volume) -> None:
    """Deletes what an attempt works on. Raises OSError."""
    if volume.work.exists():
        shutil.rmtree(volume.work)


def write_fetched(volume: Volume, fetched: Fetched) -> None:
    """Raises OSError."""
    volume.fetched.write_text(fetched.model_dump_json())


def read_fetched(volume: Volume) -> Fetched:
    """Raises RestoredDataError where the step before did not come to its end."""
    try:
        return Fetched.model_validate_json(volume.fetched.read_text())
    except (FileNotFoundError, ValidationError) as failure:
        message = f"{volume.fetched} is not there, or not whole: the backup was not fetched"
        raise RestoredDataError(message) from failure


def beginning(volume: Volume, manifest: Manifest, bump: int) -> Beginning:
    """What etcd's tool has to make of the snapshot. bump: by how much it lets revisions jump.

    Raises RestoredDataError.
    """
    before = _read(volume.snapshot)
    if before.facts.revision != manifest.content.revision:
        message = (
            f"the snapshot is at revision {before.facts.revision},"
            f" and its manifest says {manifest.content.revision}"
        )
        raise RestoredDataError(message)
    if not bump:
        facts = before.facts
        return Beginning(revision=facts.revision, compact_revision=facts.compact_revision)
    # etcdutl counts from the last key that is left, which a compaction may have put back.
    jumped = before.last_revision + bump
    return Beginning(revision=jumped, compact_revision=jumped)


def check_restored(
    volume: Volume, manifest: Manifest, bump: int, *, replayed: int = 0, compacted: int = 0
) -> DatabaseState:
    """Whether what was made of the snapshot is what it should be. bump: as above.

    replayed: how many revisions came after it; compacted: up to which one they were compacted.
    Raises RestoredDataError.
    """
    if not any(volume.restored.glob("member/wal/*.wal")):
        message = f"{volume.restored} has no log: etcdutl did not come to its end"
        raise RestoredDataError(message)
    begun = beginning(volume, manifest, bump)
    after = _read(volume.restored / "member/snap/db")
    found, expected = after.facts.revision, begun.revision + replayed
    if found != expected:
        message = f"the data begin at revision {found}, and should at {expected}"
        raise RestoredDataError(message)
    found, expected = after.facts.compact_revision, max(begun.compact_revision, compacted)
    if found != expected:
        message = f"the data are compacted at revision {found}, and should be at {expected}"
        raise RestoredDataError(message)
    return after


def _read(file: Path) -> DatabaseState:
    try:
        return read_database(file)
    except (DatabaseUnreadableError, FileNotFoundError) as failure:
        message = f"what etcdutl made can't be read: {failure}"
        raise RestoredDataError(message) from failure


def place(volume: Volume, marker: str) -> None:
    """Puts the data into their place, with this text beside them. Raises OSError."""
    # etcd's tool has written them; that each of its files is on the disk is not its promise.
    _flush_all(volume.restored)
    unfinished = volume.work / volume.marker.name
    unfinished.write_text(marker)
    _flush(unfinished)
    unfinished.replace(volume.marker)
    _flush(volume.root)
    volume.restored.rename(volume.data)
    _flush(volume.root)


def _flush_all(folder: Path) -> None:
    for name, _, files in os.walk(folder, topdown=False):
        for file in files:
            _flush(Path(name, file))
        _flush(Path(name))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
