"""Deletes one backup from its store, as an order says, and the changes that were kept to go on from
it: what runs in an expired backup's pod.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import structlog

from cli.agent.store import open_ordered_store
from controllers.backup.order import Removal
from snapshots.catalog import delete_backup
from snapshots.changes.pruning import prune
from snapshots.errors import ChangesError, ManifestInvalidError
from snapshots.layout import MANIFEST_NAME, BackupFolder, parse_path

log = structlog.get_logger()


async def remove(
    removal: Removal, environ: Mapping[str, str], volume: Path, *, now: datetime
) -> None:
    """Deletes it; what is gone already is deleted. Raises StoreError, ValueError for no folder."""
    folder = parse_path(f"{removal.folder}/{MANIFEST_NAME}")
    if not isinstance(folder, BackupFolder):
        message = f"{removal.folder!r} is no folder of a backup"
        raise ValueError(message)  # noqa: TRY004 - the text is wrong, not its type
    store = open_ordered_store(removal, environ, volume)
    await delete_backup(store, folder)
    line, _, _ = folder.path.partition("/")
    try:
        segments = await prune(store, line, now=now)
    except (ChangesError, ManifestInvalidError) as failure:
        # The backup itself is deleted, and that is what was asked for.
        log.warning("no changes are deleted", line=line, error=str(failure))
    else:
        log.info("changes that lead nowhere are deleted", line=line, segments=segments)
