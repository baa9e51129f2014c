"""Reads all of a backup, and of the changes up to the target, and keeps nothing of it: what runs
before a restore changes anything.
"""

from collections.abc import Mapping
from pathlib import Path

import structlog

from api.version import parse_version
from cli.agent.backup import keys_of, log_progress, source_facts
from cli.agent.store import open_ordered_store
from cli.agent.target import find_base
from controllers.restore.order import Examined, ExamineOrder
from snapshots.changes.held import weigh
from snapshots.changes.reading import read_changes
from snapshots.fetch import prove
from snapshots.preflight import check_space, check_version, needed_bytes

log = structlog.get_logger()


async def examine(order: ExamineOrder, environ: Mapping[str, str], *, volume: Path) -> Examined:
    """volume: where a backup's own one is mounted. Raises SnapshotsError, ValueError."""
    keys = keys_of(environ) if order.encrypted else ()
    store = open_ordered_store(order, environ, volume)
    found = await find_base(order, store)
    manifest = found.manifest
    if order.etcd_version is not None:
        check_version(manifest, parse_version(order.etcd_version).minor_version)
    if order.volume_size is not None:
        check_space(manifest, order.volume_size)
    for_changes = 0
    if found.way is not None:
        for_changes = (await weigh(read_changes(store, found.way, keys))).needed_bytes
    if order.volume_size is not None:
        check_space(manifest, order.volume_size, for_changes=for_changes)
    doubts: list[str] = []
    await prove(
        store,
        found.folder,
        manifest,
        keys=keys,
        doubts=doubts if order.skip_hash_check else None,
        progress=log_progress(),
    )
    for doubt in doubts:
        log.warning("its hash is wrong", part=doubt)
    facts = source_facts(order.folder, found.folder.path, manifest, tuple(doubts))
    needed = needed_bytes(manifest) + for_changes
    return Examined.model_validate({**facts, "needed_size": needed})
