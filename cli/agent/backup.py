"""What restoring and examining have in common: how a backup is found, and what is told of it."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from controllers.backup.order import ENCRYPTION_KEY
from controllers.backup.place import path_in
from controllers.restore.order import ExamineOrder, RestoreOrder, short_notes
from snapshots.catalog import find_manifest
from snapshots.encryption import EncryptionKey
from snapshots.errors import BackupMissingError, KeyMissingError
from snapshots.keys import read_keys
from snapshots.layout import MANIFEST_NAME, BackupFolder, parse_path
from snapshots.manifest import Manifest
from snapshots.stores import Store

_STEPS = 10

log = structlog.get_logger()


async def read_backup(
    order: RestoreOrder | ExamineOrder, store: Store
) -> tuple[BackupFolder, Manifest]:
    """Where the backup is, and what it is.

    Raises StoreError, BackupMissingError, ManifestInvalidError.
    """
    folder = named_folder(order)
    manifest = await find_manifest(store, folder)
    if manifest is None:
        message = f"there is no {path_in(order, folder.manifest)}"
        raise BackupMissingError(message)
    return folder, manifest


def named_folder(order: RestoreOrder | ExamineOrder) -> BackupFolder:
    """Raises BackupMissingError for a name that can be no backup's."""
    folder = parse_path(f"{order.folder}/{MANIFEST_NAME}")
    if not isinstance(folder, BackupFolder):
        message = f"{order.folder!r} is no folder of a backup: <cluster ID>-<epoch>/<backup>"
        raise BackupMissingError(message)
    return folder


def keys_of(environ: Mapping[str, str]) -> tuple[EncryptionKey, ...]:
    """The keys that the pod was given. Raises KeyMissingError, KeyInvalidError."""
    if ENCRYPTION_KEY not in environ:
        message = f"{ENCRYPTION_KEY} is not in the environment"
        raise KeyMissingError(message)
    return read_keys(environ[ENCRYPTION_KEY])


def source_facts(
    folder: str, base: str, manifest: Manifest, notes: tuple[str, ...]
) -> dict[str, Any]:
    """What both answers say of the backup. folder: the order's; base: the manifest's."""
    return {
        "folder": folder,
        "base": base,
        "source_cluster_id": manifest.cluster.id,
        "source_epoch": manifest.cluster.epoch,
        "source_namespace": manifest.cluster.namespace,
        "source_name": manifest.cluster.name,
        "etcd_version": manifest.member.etcd_version,
        "started_at": manifest.started_at,
        "completed_at": manifest.completed_at,
        "revision": manifest.content.revision,
        "compact_revision": manifest.content.compact_revision,
        "keys": manifest.content.keys,
        "database_size": manifest.database.size,
        "backup_size": manifest.stored_size,
        "key_id": manifest.encryption.key_id if manifest.encryption is not None else "",
        "notes": short_notes(notes),
    }


def log_progress(done_so_far: str = "read") -> Callable[[int, int], None]:
    """Tells the log each tenth of the way, in bytes."""
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        step = done * _STEPS // total
        if step > told:
            told = step
            log.info(done_so_far, bytes=done, total=total)

    return progress
