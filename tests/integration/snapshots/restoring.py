"""What a restore's pod does on a seed member's volume, step by step, and the etcd that it makes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from api.labels import DATA_MOUNT_PATH
from cli.agent.restore import fetch_backup, finish_restore
from controllers.restore.order import RestoreOrder, etcdutl_arguments
from tests.integration.etcd.processes import Cluster, programs, wait_for
from tests.integration.snapshots.etcds import elected

TOKEN = "uid-2"
DEADLINE_S = 60


class Seed:
    """A member that has nothing yet. place: the store in the order; volume: of a local one."""

    def __init__(self, folder, version, backup, *, volume=None, environ=None, place=None, **order):
        self.cluster = Cluster(
            folder, version, 1, extra={"initial-cluster-token": TOKEN, "quota-backend-bytes": 0}
        )
        (self.member,) = self.cluster.members
        self.root = self.member.folder
        self.root.mkdir(parents=True, exist_ok=True)
        self.environ = environ or {}
        self.volume = volume
        self.order = RestoreOrder.model_validate(
            {
                "token": TOKEN,
                "folder": backup,
                "member": self.member.name,
                "peerURL": self.member.peer_url,
                "etcdVersion": f"v{version}",
                **(place or {"local": {"claimName": "backups"}}),
                **order,
            }
        )

    async def fetch(self):
        await fetch_backup(self.order, self.environ, volume=self.volume, root=self.root)

    async def etcdutl(self):
        """Returns the exit code, and what it said."""
        given = [
            text.replace(DATA_MOUNT_PATH, str(self.root)) for text in etcdutl_arguments(self.order)
        ]
        tool = await asyncio.create_subprocess_exec(
            programs(self.member.version) / "etcdutl",
            *given,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(DEADLINE_S):
            _, said = await tool.communicate()
        return tool.returncode, said.decode()

    async def finish(self):
        return await finish_restore(self.order, root=self.root)

    async def restore(self):
        """All three; returns the answer."""
        await self.fetch()
        code, said = await self.etcdutl()
        assert code == 0, said
        return await self.finish()

    @asynccontextmanager
    async def running(self, pool):
        """Starts it with a closed file: it may not begin anew. Yields its client."""
        try:
            self.member.start(state="existing")
            client = pool.client(self.member.endpoint())
            await wait_for(lambda: elected(client))
            yield client
        finally:
            self.cluster.kill()
