"""A database of a given size in a real etcd, for what reads it whole: backups and restores."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from etcd.client import EtcdClient
from etcd.dialer import DirectDialer
from etcd.kv_types import Put, Txn
from etcd.pool import ChannelPool
from tests.integration.etcd.processes import Cluster, Member, programs, wait_for

VERSION = "3.6.16"
VALUE_BYTES = 8 << 10
_PUTS = 64
_QUOTA_BYTES = 8 << 30


@dataclass(frozen=True)
class Running:
    """A member with its database, and how it is asked."""

    member: Member
    client: EtcdClient


@asynccontextmanager
async def filled(folder: Path, mebibytes: int) -> AsyncIterator[Running]:
    """An etcd of one member with that much in it, of which nothing can be compressed."""
    cluster = Cluster(folder, VERSION, 1, extra={"quota-backend-bytes": _QUOTA_BYTES})
    pool = ChannelPool(DirectDialer())
    (member,) = cluster.members
    try:
        cluster.start()
        client = pool.client(member.endpoint())
        await wait_for(lambda: _leader(client))
        for number in range(mebibytes * (1 << 20) // (_PUTS * VALUE_BYTES)):
            puts = tuple(
                Put(key=b"key-%d-%d" % (number, one), value=os.urandom(VALUE_BYTES))
                for one in range(_PUTS)
            )
            await client.kv.txn(Txn(success=puts), timeout_s=60)
        yield Running(member, client)
    finally:
        await pool.close()
        cluster.kill()


async def run(program: str, *arguments: str | Path) -> None:
    """A program of etcd's, quietly. Raises RuntimeError with what it said."""
    await _run(programs(VERSION) / program, *arguments)


async def agent(python: str, *arguments: str | Path) -> None:
    """The operator's own commands, as in their pods."""
    await _run(python, "-m", "operator", "agent", *arguments)


async def _run(*command: str | Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode())


async def _leader(client: EtcdClient) -> object:
    return (await client.maintenance.status(timeout_s=2)).leader
