"""Which backups a store has, how one is taken out of it, and what dead attempts left behind."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

from snapshots.errors import ManifestInvalidError, ObjectMissingError, ObjectTooBigError
from snapshots.layout import BackupFolder, parse_path
from snapshots.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest

if TYPE_CHECKING:
    from datetime import datetime

    from snapshots.stores import ObjectInfo, Store

# An attempt reads for an hour at most, and asks and writes for some minutes more; the rest is for
# clocks that differ.
DEAD_AFTER = timedelta(hours=3)


async def find_manifest(store: Store, folder: BackupFolder) -> Manifest | None:
    """The backup in that folder; None where there is none. Raises ManifestInvalidError, StoreError.

    A manifest of another cluster or epoch than its folder's is not valid there.
    """
    try:
        data = await store.get(folder.manifest, max_bytes=MAX_MANIFEST_BYTES)
    except ObjectMissingError:
        return None
    except ObjectTooBigError as failure:
        message = f"the manifest is too big: {failure.message}"
        raise ManifestInvalidError(message) from failure
    manifest = read_manifest(data)
    if folder != manifest.folder(folder.name):
        message = f"the manifest is of another cluster than its folder {folder.path}"
        raise ManifestInvalidError(message)
    return manifest


async def list_backups(store: Store, below: str = "") -> tuple[BackupFolder, ...]:
    """The folders that have a manifest, whatever is in it, in the order of their names.

    below: `<cluster ID>-<epoch>`, for one line of history. Reads no object. Raises StoreError.
    """
    async with aclosing(store.list(below)) as objects:
        parsed = [parse_path(found.path) async for found in objects]
    folders = [one for one in parsed if isinstance(one, BackupFolder)]
    return tuple(sorted(folders, key=lambda folder: folder.path))


async def delete_backup(store: Store, folder: BackupFolder) -> None:
    """Deletes all objects of a backup, the manifest first: what is left is no backup any more.

    Raises StoreError; repeat it then. Deleting what isn't there is done.
    """
    await store.delete([folder.manifest])
    async with aclosing(store.list(folder.path)) as objects:
        paths = [found.path async for found in objects]
    await store.delete(path for path in paths if parse_path(path) is not None)


async def delete_orphans(
    store: Store, *, now: datetime, older_than: timedelta = DEAD_AFTER, below: str = ""
) -> tuple[str, ...]:
    """Deletes the parts of dead attempts, and tells which.

    An attempt is dead where no manifest names it and nothing was written into it for `older_than`,
    which has to be longer than an attempt may take. now: aware. Where a manifest can't be read
    nothing is deleted: a later release may have written it. Raises StoreError.
    """
    attempts: dict[tuple[BackupFolder, str], list[ObjectInfo]] = defaultdict(list)
    async with aclosing(store.list(below)) as objects:
        async for found in objects:
            place = parse_path(found.path)
            if place is not None and not isinstance(place, BackupFolder):
                attempts[place.folder, place.attempt].append(found)
    orphans: list[str] = []
    for (folder, attempt), parts in attempts.items():
        is_old = max(part.modified for part in parts) < now - older_than
        if is_old and not await _may_be_named(store, folder, attempt):
            orphans += [part.path for part in parts]
    await store.delete(orphans)
    return tuple(orphans)


async def _may_be_named(store: Store, folder: BackupFolder, attempt: str) -> bool:
    try:
        manifest = await find_manifest(store, folder)
    except ManifestInvalidError:
        return True
    return manifest is not None and manifest.attempt == attempt
