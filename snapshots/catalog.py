"""Which backups a store has, how one is taken out of it, and what dead attempts left behind."""

from __future__ import annotations

from collections import defaultdict
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

from snapshots.errors import ManifestInvalidError, ObjectMissingError, ObjectTooBigError
from snapshots.layout import BackupFolder, PartPath, parse_path
from snapshots.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest

if TYPE_CHECKING:
    from datetime import datetime

    from snapshots.stores import Store

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
    # Only the newest part of each attempt is kept in mind: a store may have very many.
    attempts: dict[BackupFolder, dict[str, datetime]] = defaultdict(dict)
    with_manifest: set[BackupFolder] = set()
    async with aclosing(store.list(below)) as objects:
        async for found in objects:
            place = parse_path(found.path)
            if isinstance(place, BackupFolder):
                with_manifest.add(place)
            elif place is not None:
                of_folder = attempts[place.folder]
                newest = of_folder.get(place.attempt, found.modified)
                of_folder[place.attempt] = max(newest, found.modified)
    orphans: list[str] = []
    for folder, newest_parts in attempts.items():
        if folder in with_manifest and len(newest_parts) == 1:
            continue  # the one that the manifest names
        for attempt, newest in newest_parts.items():
            if newest < now - older_than and not await _may_be_named(store, folder, attempt):
                orphans += await _delete_parts(store, folder, attempt)
    return tuple(orphans)


async def _delete_parts(store: Store, folder: BackupFolder, attempt: str) -> list[str]:
    async with aclosing(store.list(f"{folder.path}/{attempt}")) as objects:
        paths = [found.path async for found in objects]
    parts = [path for path in paths if isinstance(parse_path(path), PartPath)]
    await store.delete(parts)
    return parts


async def _may_be_named(store: Store, folder: BackupFolder, attempt: str) -> bool:
    try:
        manifest = await find_manifest(store, folder)
    except ManifestInvalidError:
        return True
    return manifest is not None and manifest.attempt == attempt
