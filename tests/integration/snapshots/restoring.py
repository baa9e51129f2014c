"""What a restore's pod does on a seed member's volume, step by step, and the etcd that it makes."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from api.labels import DATA_MOUNT_PATH
from cli.agent.restore import fetch_backup, finish_restore
from controllers.restore.order import RestoreOrder, etcdutl_arguments
from controllers.restore.private_etcd import replay_arguments
from tests.integration.etcd.processes import Cluster, free_ports, programs, wait_for
from tests.integration.snapshots.etcds import elected

TOKEN = "uid-2"
DEADLINE_S = 60


def now():
    return datetime.now(UTC)  # noqa: TID251 - certificates are valid by the clock on the wall


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
        self.ports = (2379, 2380)
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
        await fetch_backup(self.order, self.environ, now=now, volume=self.volume, root=self.root)

    async def etcdutl(self):
        """Returns the exit code, and what it said."""
        tool = await asyncio.create_subprocess_exec(
            programs(self.member.version) / "etcdutl",
            *self._here(etcdutl_arguments(self.order)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(DEADLINE_S):
            _, said = await tool.communicate()
        return tool.returncode, said.decode()

    @asynccontextmanager
    async def private_etcd(self):
        """What stands beside the last step where there is a target. Yields its process."""
        self.ports = free_ports(2)
        etcd = await asyncio.create_subprocess_exec(
            programs(self.member.version) / "etcd",
            *self._here(replay_arguments(self.order)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield etcd
        finally:
            if etcd.returncode is None:
                etcd.kill()
            await etcd.wait()

    async def finish(self):
        return await finish_restore(self.order, root=self.root, port=self.ports[0])

    async def restore(self):
        """All three; returns the answer."""
        await self.fetch()
        code, said = await self.etcdutl()
        assert code == 0, said
        if not self.order.target:
            return await self.finish()
        async with self.private_etcd() as etcd:
            answer = await self.finish()
            assert await etcd.wait() == -signal.SIGTERM
        return answer

    def _here(self, arguments):
        """As on this machine: the pod has its ports for itself."""
        client, peer = self.ports
        return [
            text.replace(DATA_MOUNT_PATH, str(self.root))
            .replace("127.0.0.1:2379", f"127.0.0.1:{client}")
            .replace("127.0.0.1:2380", f"127.0.0.1:{peer}")
            for text in arguments
        ]

    @asynccontextmanager
    async def running(self, pool, up=elected):
        """Starts it with a closed file: it may not begin anew. Yields its client."""
        try:
            self.member.start(state="existing")
            client = pool.client(self.member.endpoint())
            await wait_for(lambda: up(client))
            yield client
        finally:
            self.cluster.kill()
