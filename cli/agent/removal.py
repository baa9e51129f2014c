"""Deletes one backup from its store, as an order says: what runs in an expired backup's pod."""

from collections.abc import Mapping
from pathlib import Path

from cli.agent.store import open_ordered_store
from controllers.backup.order import Removal
from snapshots.catalog import delete_backup
from snapshots.layout import MANIFEST_NAME, BackupFolder, parse_path


async def remove(removal: Removal, environ: Mapping[str, str], volume: Path) -> None:
    """Deletes it; what is gone already is deleted. Raises StoreError, ValueError for no folder."""
    folder = parse_path(f"{removal.folder}/{MANIFEST_NAME}")
    if not isinstance(folder, BackupFolder):
        message = f"{removal.folder!r} is no folder of a backup"
        raise ValueError(message)  # noqa: TRY004 - the text is wrong, not its type
    await delete_backup(open_ordered_store(removal, environ, volume), folder)
