"""The elector against a real API server, over connections that are cut or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from urllib.parse import urlsplit

import pytest
import yaml

from informers.lease import LeaderElector, LeadershipLost
from informers.wire import connect
from tests.integration.tcp_proxy import TcpProxy

# Short, so that a test ends in seconds; half of the renew deadline is a request's own.
TIMINGS = {"lease_duration_s": 4.0, "renew_deadline_s": 3.0, "retry_period_s": 0.2}


class Work:
    """Something to do while leading."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.set()


class Bench:
    """One Lease; electors that reach the server over a proxy, or directly."""

    def __init__(self, apiserver, folder) -> None:
        self.apiserver = apiserver
        self.folder = folder
        self.lease = f"lock-{uuid.uuid4().hex[:8]}"

    def kubeconfig(self, port: int) -> str:
        config = yaml.safe_load(self.apiserver.kubeconfig.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        path = self.folder / f"kubeconfig-{port}"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return str(path)

    @property
    def address(self) -> tuple[str, int]:
        url = urlsplit(self.apiserver.server)
        return url.hostname, url.port

    @contextlib.asynccontextmanager
    async def elector(self, identity: str, port: int):
        config = self.kubeconfig(port)
        async with await connect(kubeconfig=config, user_agent="election-tests") as api:
            yield LeaderElector(
                api, namespace="default", name=self.lease, identity=identity, **TIMINGS
            )

    def spec(self) -> dict:
        path = f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{self.lease}"
        status, lease = self.apiserver.request("GET", path)
        assert status == 200, lease
        return lease["spec"]


@pytest.fixture
def bench(apiserver, tmp_path) -> Bench:
    return Bench(apiserver, tmp_path)


async def outcome(run) -> BaseException | None:
    try:
        await run
    except LeadershipLost as error:
        return error
    return None


async def renewed(bench: Bench, times: int = 2) -> None:
    """Return when the Lease was renewed so often from now on."""
    for _ in range(times):
        before = bench.spec()["renewTime"]
        while bench.spec()["renewTime"] == before:  # noqa: ASYNC110 - a look from outside
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", ["cut", "freeze"])
async def test_l4_leading_survives_connections_that_break_or_fall_silent(bench, fault):
    work = Work()
    async with (
        asyncio.timeout(30),
        TcpProxy.to(*bench.address) as proxy,
        bench.elector("me", proxy.port) as running,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(running.run(work))
        await work.started.wait()
        await renewed(bench)
        getattr(proxy, fault)()
        await renewed(bench)
        assert not work.ended.is_set()
        task.cancel()

    assert bench.spec()["holderIdentity"] == ""
    assert bench.spec()["leaseTransitions"] == 0


@pytest.mark.parametrize("fault", ["cut", "freeze"])
async def test_l8_leader_that_is_cut_off_has_stopped_before_the_next_one_leads(bench, fault):
    first, second = Work(), Work()
    async with (
        asyncio.timeout(30),
        TcpProxy.to(*bench.address) as proxy,
        bench.elector("first", proxy.port) as losing,
        bench.elector("second", bench.address[1]) as winning,
        asyncio.TaskGroup() as group,
    ):
        lost = group.create_task(outcome(losing.run(first)))
        await first.started.wait()
        task = group.create_task(winning.run(second))
        await renewed(bench)
        proxy.refusing = True
        getattr(proxy, fault)()
        await second.started.wait()
        assert first.ended.is_set()
        await lost
        task.cancel()

    assert isinstance(lost.result(), LeadershipLost)
    assert bench.spec()["leaseTransitions"] == 1
