"""`agent snapshot` and `agent delete`: what runs in pods, from its argument to its last word.

The last word is the container's termination message, which the operator reads; the log is for
people.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import ValidationError

from api.reasons import Reason
from api.v1alpha1.common import Model
from cli.agent.removal import remove
from cli.agent.snapshot import NoMemberError, answer_of, clean_up, read_tls, take
from cli.logs import configure_logging
from cli.settings import Settings
from controllers.backup.order import TRY_AGAIN, USAGE, Order, Place, Removal, failed
from snapshots.errors import SnapshotsError

log = structlog.get_logger()


Asked = TypeVar("Asked", bound=Place)


def take_snapshot(text: str, *, message: Path, volume: Path) -> int:
    """Take a backup. Returns the exit code: 0 done, 1 try again, 2 no order, 3 give up."""

    async def work(order: Order) -> Model | None:
        tls = read_tls() if order.tls else None
        return await take(order, os.environ, now=_now, tls=tls, volume=volume)

    async def afterwards(order: Order) -> None:
        await clean_up(order, os.environ, now=_now(), volume=volume)

    return _carry_out(Order, text, work, message, afterwards)


def delete_backup(text: str, *, message: Path, volume: Path) -> int:
    """Delete a backup from its store. Returns the exit code, as above."""

    async def work(removal: Removal) -> Model | None:
        await remove(removal, os.environ, volume)
        return None

    return _carry_out(Removal, text, work, message)


def _carry_out(
    kind: type[Asked],
    text: str,
    work: Callable[[Asked], Awaitable[Model | None]],
    message: Path,
    afterwards: Callable[[Asked], Awaitable[None]] | None = None,
) -> int:
    """Do the work that the text orders, and write its last word, which then stands."""
    configure_logging(Settings())
    try:
        order = kind.model_validate_json(text)
    except ValidationError as error:
        print(f"--order: {error}", file=sys.stderr)
        return USAGE
    answer, code = asyncio.run(_answer(work(order)))
    written = "" if answer is None else answer.model_dump_json(by_alias=True)
    if code:
        log.error("not done", answer=written)
    else:
        log.info("done", answer=written)
    message.write_text(written)
    if not code and afterwards is not None:
        asyncio.run(_until_told_to_stop(afterwards(order)))
    return code


async def _answer(work: Awaitable[Model | None]) -> tuple[Model | None, int]:
    """What came of it, and the exit code. Told to stop, it takes away what it has uploaded."""
    _cancel_when_told_to_stop()
    log.info("at work")
    try:
        return await work, 0
    except (NoMemberError, SnapshotsError) as failure:
        return answer_of(failure)
    except (OSError, ValueError) as failure:
        return failed(Reason.BACKUP_FAILED, str(failure)), TRY_AGAIN
    except asyncio.CancelledError:
        return failed(Reason.BACKUP_FAILED, "The pod was told to stop"), TRY_AGAIN


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
