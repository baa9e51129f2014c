"""Makes a member's data of a backup, as an order says: what runs in a restore's pod before and
after etcd's own tool.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog
from pydantic import ValidationError

from api.version import parse_version
from cli.agent.backup import NotYetError, keys_of, log_progress, read_backup, source_facts
from cli.agent.store import open_ordered_store
from controllers.restore.order import Restored, RestoreOrder
from snapshots.errors import TargetNotEmptyError
from snapshots.fetch import fetch
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
from snapshots.preflight import check_space, check_version

log = structlog.get_logger()


class AlreadyDoneError(Exception):
    """An earlier pod has carried out this very order; its answer was lost."""

    def __init__(self, answer: Restored) -> None:
        super().__init__("the data are in their place already")
        self.answer = answer


async def fetch_backup(
    order: RestoreOrder, environ: Mapping[str, str], *, volume: Path, root: Path
) -> None:
    """Brings the backup to the member's volume.

    volume: where a backup's own one is mounted; root: the member's. Raises AlreadyDoneError,
    SnapshotsError, OSError.
    """
    target = Volume(root)
    done = await asyncio.to_thread(_done_before, order, target)
    if done is not None:
        raise AlreadyDoneError(done)
    if order.revision is not None or order.point_in_time is not None:
        raise NotYetError("revision and pointInTime: only the snapshot itself can be restored")
    keys = keys_of(environ) if order.encrypted else ()
    available = await asyncio.to_thread(begin, target)
    store = open_ordered_store(order, environ, volume)
    folder, manifest = await read_backup(order, store)
    check_version(manifest, parse_version(order.etcd_version).minor_version)
    check_space(manifest, available)
    doubts: list[str] = []
    await fetch(
        store,
        folder,
        manifest,
        target.snapshot,
        keys=keys,
        doubts=doubts if order.skip_hash_check else None,
        # A pod that comes after a power cut begins anew: the disk is left to what stays.
        durable=False,
        progress=log_progress(),
    )
    for doubt in doubts:
        log.warning("taken although its hash is wrong", part=doubt)
    notes = tuple(doubts)
    write_fetched(target, Fetched(token=order.token, manifest=manifest, notes=notes))


async def finish_restore(order: RestoreOrder, *, root: Path) -> Restored:
    """Checks what etcd's tool made, and puts it in its place. Raises SnapshotsError, OSError."""
    target = Volume(root)
    done = await asyncio.to_thread(_done_before, order, target)
    if done is not None:
        return done
    return await asyncio.to_thread(_finish, order, target)


def _finish(order: RestoreOrder, target: Volume) -> Restored:
    fetched = read_fetched(target)
    if fetched.token != order.token:
        message = f"{target.work} is of another restore, {fetched.token}"
        raise TargetNotEmptyError(message)
    found = check_restored(target, fetched.manifest, order.bump_revision)
    answer = Restored.model_validate(
        {
            **source_facts(order.folder, fetched.manifest, fetched.notes),
            "token": order.token,
            "restored_revision": found.facts.revision,
            "restored_compact_revision": found.facts.compact_revision,
            "restored_size": found.size,
            "auth_enabled": found.auth_enabled,
            "alarms": found.alarms,
        }
    )
    place(target, answer.model_dump_json(by_alias=True))
    clear(target)
    return answer


def _done_before(order: RestoreOrder, target: Volume) -> Restored | None:
    """The answer of the pod that carried out this order; None where nobody has.

    Raises TargetNotEmptyError where the data are another one's.
    """
    if not is_placed(target):
        return None
    try:
        answer = Restored.model_validate_json(read_marker(target))
    except ValidationError as failure:
        message = f"{target.data} has data, and {target.marker} does not say whose"
        raise TargetNotEmptyError(message) from failure
    if (answer.token, answer.folder) != (order.token, order.folder):
        message = f"{target.data} has the data of {answer.folder}, restored for {answer.token}"
        raise TargetNotEmptyError(message)
    # What a pod that died between its last two steps left.
    clear(target)
    return answer
