"""Makes a member's data of a backup, as an order says: what runs in a restore's pod before and
after etcd's own tool.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from api.version import parse_version
from cli.agent.backup import keys_of, log_progress, source_facts
from cli.agent.private_etcd import write_certificate
from cli.agent.store import open_ordered_store
from cli.agent.target import Reached, check_reached, find_base, replay_changes
from controllers.restore.order import REPLAY_TLS_FOLDER, Restored, RestoreOrder
from etcd.dialer import CLIENT_PORT
from snapshots.changes.held import Held, hold
from snapshots.changes.reading import read_changes
from snapshots.errors import RestoredDataError, TargetNotEmptyError
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
    order: RestoreOrder,
    environ: Mapping[str, str],
    *,
    now: Callable[[], datetime],
    volume: Path,
    root: Path,
) -> None:
    """Brings the backup to the member's volume, and the changes up to the target.

    volume: where a backup's own one is mounted; root: the member's. Raises AlreadyDoneError,
    SnapshotsError, OSError.
    """
    target = Volume(root)
    done = await asyncio.to_thread(_done_before, order, target)
    if done is not None:
        raise AlreadyDoneError(done)
    keys = keys_of(environ) if order.encrypted else ()
    available = await asyncio.to_thread(begin, target)
    store = open_ordered_store(order, environ, volume)
    found = await find_base(order, store)
    manifest = found.manifest
    check_version(manifest, parse_version(order.etcd_version).minor_version)
    check_space(manifest, available)
    held: Held | None = None
    if found.way is not None:
        held = await hold(read_changes(store, found.way, keys), target.changes)
        check_space(manifest, available, for_changes=held.needed_bytes)
        await asyncio.to_thread(write_certificate, root / REPLAY_TLS_FOLDER, now())
    doubts: list[str] = []
    await fetch(
        store,
        found.folder,
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
    notes, base = tuple(doubts), found.folder.path
    fetched = Fetched(token=order.token, base=base, manifest=manifest, notes=notes, held=held)
    write_fetched(target, fetched)


async def finish_restore(order: RestoreOrder, *, root: Path, port: int = CLIENT_PORT) -> Restored:
    """Checks what etcd's tool made, replays changes on it, and puts it in its place.

    port: of the etcd beside it, with a target. Raises SnapshotsError, OSError.
    """
    target = Volume(root)
    done = await asyncio.to_thread(_done_before, order, target)
    if done is not None:
        return done
    fetched = await asyncio.to_thread(_fetched, order, target)
    reached: Reached | None = None
    if order.target:
        if fetched.held is None:
            raise RestoredDataError("the changes up to the target were not fetched")
        reached = await replay_changes(order, fetched, fetched.held, target, port=port)
    return await asyncio.to_thread(_finish, order, target, fetched, reached)


def _fetched(order: RestoreOrder, target: Volume) -> Fetched:
    fetched = read_fetched(target)
    if fetched.token != order.token:
        message = f"{target.work} is of another restore, {fetched.token}"
        raise TargetNotEmptyError(message)
    return fetched


def _finish(
    order: RestoreOrder, target: Volume, fetched: Fetched, reached: Reached | None
) -> Restored:
    replayed = None if reached is None else reached.replayed
    if reached is None:
        found = check_restored(target, fetched.manifest, order.bump_revision)
    else:
        found = check_reached(order, fetched, target, reached)
    answer = Restored.model_validate(
        {
            **source_facts(order.folder, fetched.base, fetched.manifest, fetched.notes),
            **({} if replayed is None else {"keys": replayed.keys}),
            "replayed": replayed,
            "target": order.target,
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
    asked = (order.token, order.folder, order.target)
    if (answer.token, answer.folder, answer.target) != asked:
        message = f"{target.data} has the data of {answer.folder}, restored for {answer.token}"
        raise TargetNotEmptyError(message)
    # What a pod that died between its last two steps left.
    clear(target)
    return answer
