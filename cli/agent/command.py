"""`agent ...`: what runs in pods, from its argument to its last word.

The last word is the container's termination message, which the operator reads; the log is for
people. Exit codes: 0 done, 1 try again, 2 no order, 3 give up, 4 done before (`restore fetch`).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import ValidationError

from api.v1alpha1.common import Model
from cli.agent.archive import keep_changes
from cli.agent.examination import examine
from cli.agent.failures import OF_BACKUPS, OF_CHANGES, OF_RESTORES, Table, answer_of
from cli.agent.memory import use_few_arenas
from cli.agent.removal import remove
from cli.agent.restore import AlreadyDoneError, fetch_backup, finish_restore
from cli.agent.snapshot import NoMemberError, clean_up, read_tls, take
from cli.agent.verification import prepare, verify
from cli.logs import configure_logging
from cli.settings import Settings
from controllers.backup.archive.order import ArchiveOrder
from controllers.backup.order import USAGE, Order, Place, Removal
from controllers.restore.order import ALREADY_DONE, ExamineOrder, RestoreOrder
from snapshots.errors import SnapshotsError

log = structlog.get_logger()


Asked = TypeVar("Asked", bound=Place)


class StoppedError(Exception):
    """The process was told to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """message: the file for the last word. volume: where the volume of a backup is mounted. root:
    where the one of a member is.
    """

    message: Path
    volume: Path
    root: Path


def take_snapshot(text: str, folders: Folders) -> int:
    """Take a backup. Returns the exit code."""

    async def work(order: Order) -> Model | None:
        tls = read_tls() if order.tls else None
        return await take(order, os.environ, now=_now, tls=tls, volume=folders.volume)

    async def afterwards(order: Order) -> None:
        await clean_up(order, os.environ, now=_now(), volume=folders.volume)

    return _carry_out(Order, text, work, OF_BACKUPS, folders.message, afterwards=afterwards)


def delete_backup(text: str, folders: Folders) -> int:
    """Delete a backup from its store. Returns the exit code."""

    async def work(removal: Removal) -> Model | None:
        await remove(removal, os.environ, folders.volume, now=_now())
        return None

    return _carry_out(Removal, text, work, OF_BACKUPS, folders.message)


def archive_changes(text: str, folders: Folders, port: int) -> int:
    """Keep the changes of a cluster until SIGTERM. Returns the exit code."""

    async def work(order: ArchiveOrder) -> Model | None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await keep_changes(order, os.environ, port=port, volume=folders.volume, stop=stop, now=_now)
        return None

    return _carry_out(ArchiveOrder, text, work, OF_CHANGES, folders.message)


def examine_backup(text: str, folders: Folders) -> int:
    """Read all of a backup, and say what it is. Returns the exit code."""

    async def work(order: ExamineOrder) -> Model | None:
        return await examine(order, os.environ, volume=folders.volume)

    return _carry_out(ExamineOrder, text, work, OF_RESTORES, folders.message)


def fetch_for_restore(text: str, folders: Folders) -> int:
    """Bring a backup to a member's volume. Returns the exit code."""

    async def work(order: RestoreOrder) -> Model | None:
        places = {"volume": folders.volume, "root": folders.root}
        await fetch_backup(order, os.environ, now=_now, **places)
        return None

    return _carry_out(RestoreOrder, text, work, OF_RESTORES, folders.message)


def finish_the_restore(text: str, folders: Folders) -> int:
    """Put what etcd's tool made of it in its place. Returns the exit code."""

    async def work(order: RestoreOrder) -> Model | None:
        return await finish_restore(order, root=folders.root)

    return _carry_out(RestoreOrder, text, work, OF_RESTORES, folders.message)


def fetch_for_verification(text: str, folders: Folders) -> int:
    """Bring a backup to where it is tried out. Returns the exit code."""

    async def work(order: RestoreOrder) -> Model | None:
        places = {"volume": folders.volume, "root": folders.root}
        await prepare(order, os.environ, now=_now, **places)
        return None

    return _carry_out(RestoreOrder, text, work, OF_RESTORES, folders.message)


def verify_backup(text: str, folders: Folders) -> int:
    """Compare what etcd serves of a backup with what was saved. Returns the exit code."""

    async def work(order: RestoreOrder) -> Model | None:
        return await verify(order, now=_now, root=folders.root)

    return _carry_out(RestoreOrder, text, work, OF_RESTORES, folders.message)


def _carry_out(
    kind: type[Asked],
    text: str,
    work: Callable[[Asked], Awaitable[Model | None]],
    failures: Table,
    message: Path,
    *,
    afterwards: Callable[[Asked], Awaitable[None]] | None = None,
) -> int:
    """Do the work that the text orders, and write its last word, which then stands."""
    use_few_arenas()
    configure_logging(Settings())
    try:
        order = kind.model_validate_json(text)
    except ValidationError as error:
        print(f"--order: {error}", file=sys.stderr)
        return USAGE
    answer, code = asyncio.run(_answer(work(order), failures))
    written = "" if answer is None else answer.model_dump_json(by_alias=True)
    if code in {0, ALREADY_DONE}:
        log.info("done", answer=written)
    else:
        log.error("not done", answer=written)
    message.write_text(written)
    if not code and afterwards is not None:
        asyncio.run(_until_told_to_stop(afterwards(order)))
    return code


async def _answer(work: Awaitable[Model | None], failures: Table) -> tuple[Model | None, int]:
    """What came of it, and the exit code. Told to stop, it takes away what it has uploaded."""
    _cancel_when_told_to_stop()
    log.info("at work")
    try:
        return await work, 0
    except AlreadyDoneError as done:
        return done.answer, ALREADY_DONE
    except (NoMemberError, SnapshotsError, OSError, ValueError) as failure:
        return answer_of(failure, failures)
    except asyncio.CancelledError:
        return answer_of(StoppedError("The pod was told to stop"), failures)


async def _until_told_to_stop(work: Awaitable[None]) -> None:
    _cancel_when_told_to_stop()
    with contextlib.suppress(asyncio.CancelledError):
        await work


def _cancel_when_told_to_stop() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one clock on the wall
