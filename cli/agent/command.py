"""`agent snapshot`: the command in a backup's pod, from its arguments to its last word.

The last word is the container's termination message, which the operator reads; the log is for
people.
"""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import ValidationError

from api.reasons import Reason
from api.v1alpha1.common import Model
from cli.agent.snapshot import NoMemberError, answer_of, read_tls, take
from cli.logs import configure_logging
from cli.settings import Settings
from controllers.backup.order import TRY_AGAIN, USAGE, Order, failed
from snapshots.errors import SnapshotsError

log = structlog.get_logger()


def take_snapshot(text: str, *, message: Path, volume: Path) -> int:
    """Carry the order out. Returns the exit code: 0 done, 1 try again, 2 no order, 3 give up."""
    configure_logging(Settings())
    try:
        order = Order.model_validate_json(text)
    except ValidationError as error:
        print(f"--order: {error}", file=sys.stderr)
        return USAGE
    answer, code = asyncio.run(_carry_out(order, volume))
    written = answer.model_dump_json(by_alias=True)
    if code:
        log.error("the backup was not taken", answer=written)
    else:
        log.info("the backup is in the store", answer=written)
    message.write_text(written)
    return code


async def _carry_out(order: Order, volume: Path) -> tuple[Model, int]:
    """Told to stop, it takes away what it has uploaded."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        tls = read_tls() if order.tls else None
        return await take(order, os.environ, now=_now, tls=tls, volume=volume), 0
    except (NoMemberError, SnapshotsError) as failure:
        return answer_of(failure)
    except (OSError, ValueError) as failure:
        return failed(Reason.BACKUP_FAILED, str(failure)), TRY_AGAIN
    except asyncio.CancelledError:
        return failed(Reason.BACKUP_FAILED, "The pod was told to stop"), TRY_AGAIN


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the one clock on the wall
