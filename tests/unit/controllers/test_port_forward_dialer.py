"""gRPC to a member in this process, through the real wire and a scripted API server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import stat
import tempfile
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from controllers.port_forward_dialer import Complaints, Forwarder, PortForwardDialer
from etcd.errors import UnavailableError
from etcd.pool import ChannelPool
from etcd.proto import maintenance_pb2
from informers.errors import ForbiddenError
from informers.kubeconfig import Endpoint as ApiEndpoint
from informers.kubeconfig import KubeconfigSource
from informers.wire import connect_to
from tests.unit.etcd.fake_member import endpoint, serving
from tests.unit.etcd.test_dialer import FQDN, secure_member
from tests.unit.informers.api_faults import answer_status, hang
from tests.unit.informers.api_server import running_server
from tests.unit.informers.pod_port import echo, freeze, pod_port, stay_silent

FORBIDDEN = answer_status(403, "Forbidden", 'User "me" cannot get resource "pods/portforward"')


class Always(KubeconfigSource):
    """The scripted server, whoever asks."""

    def __init__(self, url):
        super().__init__("")
        self._url = url

    async def load(self):
        return ApiEndpoint(url=self._url, namespace="default")


@pytest.fixture
async def server():
    async with running_server() as running:
        yield running


@pytest.fixture
async def api(server):
    async with await connect_to(Always(server.url), user_agent="t") as connected:
        yield connected


@pytest.fixture
async def pool(api):
    opened = ChannelPool(PortForwardDialer(api))
    yield opened
    await opened.close()


def to(port):
    """A node that connects a port-forward to this port of ours."""

    async def forward(side):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(upload(side, writer))
                while data := await reader.read(2**15):
                    await side.send(data)
                up.cancel()
        finally:
            writer.close()

    async def upload(side, writer):
        while data := await side.receive():
            writer.write(data)
            await writer.drain()
        writer.close()

    return pod_port(forward)


@pytest.fixture
async def member(server):
    async with serving() as running:
        server.on_every("get", to(running.port))
        yield running


# ---------------------------------------------------------------------- calls
async def test_member_answers_by_its_pods_name(server, pool, member):
    status = await pool.client(endpoint()).maintenance.status()

    (call,) = server.seen("get")
    assert status.version == "3.6.16"
    assert call.path == "/api/v1/namespaces/ns/pods/main-0/portforward"
    assert call.params == {"ports": "2379"}


async def test_certificate_is_checked_against_the_pods_name(server, pool):
    async with secure_member(FQDN) as (running, tls):
        server.on_every("get", to(running.port))
        pool.trust("ns/main", tls)
        status = await pool.client(endpoint()).maintenance.status()

    assert status.version == "3.6.16"


async def test_calls_at_once_share_one_port_forward(server, pool, member):
    client = pool.client(endpoint())
    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(client.maintenance.status(timeout_s=10))

    assert len(server.seen("get")) == 1


async def test_many_pods_are_reached_at_once(server, pool, member):
    async with asyncio.TaskGroup() as group:
        for number in range(50):
            client = pool.client(endpoint(pod=f"main-{number}", pod_uid=str(number)))
            group.create_task(client.maintenance.status(timeout_s=10))

    assert len({call.path for call in server.seen("get")}) == 50


async def test_snapshot_arrives_whole(pool, member):
    member.chunks = [
        maintenance_pb2.SnapshotResponse(blob=os.urandom(2**19), remaining_bytes=left)
        for left in range(31, -1, -1)
    ]
    sent = b"".join(chunk.blob for chunk in member.chunks)
    client, received = pool.client(endpoint()), bytearray()
    with contextlib.suppress(Exception):  # it has no trailer
        async for chunk in client.maintenance.snapshot():
            received += chunk.blob

    assert received == sent


async def test_call_after_a_broken_connection_succeeds(server, pool, member):
    broken = asyncio.Event()

    async def break_soon(side):
        await side.receive()
        side.drop()
        broken.set()

    server.script("get", pod_port(break_soon))
    client = pool.client(endpoint())
    with contextlib.suppress(UnavailableError):
        await client.maintenance.status(timeout_s=5)
    await broken.wait()
    await until_it_answers(client)


async def until_it_answers(client):
    async def answers():
        with contextlib.suppress(UnavailableError):
            return await client.maintenance.status(timeout_s=5)

    await until(answers)


async def until(probe):
    """Asks again and again until the answer is true; TimeoutError after 15 s."""
    async with asyncio.timeout(15):
        while not await probe():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.02)


# ---------------------------------------------------------------------- refusals
async def test_missing_permission_is_told_in_plain_words(server, pool):
    server.on_every("get", FORBIDDEN)
    with capture_logs() as logs, pytest.raises(UnavailableError):
        await pool.client(endpoint()).maintenance.status()

    words = pool.obstacle(endpoint())
    assert words == (
        "may not forward ports in namespace ns (an operator outside of the cluster needs get and"
        ' create on pods/portforward): User "me" cannot get resource "pods/portforward"'
    )
    warned = [line for line in logs if line["log_level"] == "warning"]
    assert [(line["cluster"], line["why"]) for line in warned] == [("ns/main", words)]


@pytest.mark.parametrize(
    "gone",
    [
        answer_status(404, "NotFound", 'pods "main-0" not found'),
        answer_status(500, "Unknown", 'pod not found ("main-0_ns")'),
        answer_status(400, "BadRequest", "pod main-0 does not have a host assigned"),
    ],
    ids=["gone", "gone from its node", "on no node yet"],
)
async def test_pod_that_is_not_there_is_no_obstacle(server, pool, gone):
    server.on_every("get", gone)
    with capture_logs() as logs, pytest.raises(UnavailableError):
        await pool.client(endpoint()).maintenance.status()

    assert not pool.obstacle(endpoint())
    assert not [line for line in logs if line["log_level"] == "warning"]


async def test_obstacle_is_gone_once_the_way_is_free(server, pool, member):
    client = pool.client(endpoint())
    server.script("get", FORBIDDEN)
    with pytest.raises(UnavailableError):
        await client.maintenance.status()
    assert pool.obstacle(endpoint())

    await until_it_answers(client)
    assert not pool.obstacle(endpoint())


def test_refusals_are_told_once_for_each_cluster_until_something_works():
    complaints, refused = Complaints(), ForbiddenError(403, "Forbidden", "no")
    with capture_logs() as logs:
        for pod in ("main-0", "main-1"):
            complaints.tell(endpoint(pod=pod), refused)
        complaints.tell(endpoint(cluster="ns/other"), refused)
        complaints.forget(endpoint(pod="main-1"))
        complaints.tell(endpoint(), refused)

    assert [line["cluster"] for line in logs] == ["ns/main", "ns/other", "ns/main"]


@contextlib.asynccontextmanager
async def forwarder(api):
    opened = Forwarder(api, endpoint(), Complaints())
    try:
        yield opened
    finally:
        await opened.close()


def path_of(opened):
    return opened.target.removeprefix("unix:")


async def connected(opened):
    return await asyncio.open_unix_connection(path_of(opened))


async def served(opened):
    """Whether bytes come back."""
    reader, writer = await connected(opened)
    try:
        writer.write(b"hello")
        return await reader.read(5) == b"hello"
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.mark.looptime
async def test_api_server_that_refuses_is_asked_less_and_less(server, api):
    server.on_every("get", FORBIDDEN)
    async with forwarder(api) as opened:
        for _ in range(600):
            assert not await served(opened)
            await asyncio.sleep(0.1)

    assert 4 <= len(server.seen("get")) <= 9


@pytest.mark.looptime
async def test_api_server_that_wants_to_be_left_alone_is(server, api):
    server.on_every("get", answer_status(429, headers={"Retry-After": "50"}))
    async with forwarder(api) as opened:
        for _ in range(450):
            assert not await served(opened)
            await asyncio.sleep(0.1)

    assert len(server.seen("get")) == 1


@pytest.mark.looptime
async def test_pod_that_cannot_be_connected_to_is_tried_each_time(server, api):
    async def refuse(side):
        await side.send(b"connection refused", channel=1)

    server.on_every("get", pod_port(refuse))
    async with forwarder(api) as opened:
        for _ in range(20):
            assert not await served(opened)
        assert opened.obstacle == ""

    assert len(server.seen("get")) == 20


# ---------------------------------------------------------------------- the end
async def test_pods_end_closes_grpcs_end(server, api):
    async def say_and_go(side):
        await side.send(b"bye")

    server.on_every("get", pod_port(say_and_go))
    async with forwarder(api) as opened:
        reader, writer = await connected(opened)
        assert await reader.read() == b"bye"
        writer.close()


async def test_grpcs_end_closes_the_pods_end(server, api):
    gone = asyncio.Event()

    async def wait_for_the_end(side):
        await stay_silent(side)
        gone.set()

    server.on_every("get", pod_port(wait_for_the_end))
    async with forwarder(api) as opened:
        _, writer = await connected(opened)
        await server.wait_seen("get")
        writer.close()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_socket_is_for_nobody_else(api):
    async with forwarder(api) as opened:
        folder = Path(path_of(opened)).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_closing_the_pool_takes_everything_down(api, member, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        pool = ChannelPool(PortForwardDialer(api))
        await pool.client(endpoint()).maintenance.status()
        assert any(name.endswith(".sock") for name in names_in(folder))
        await pool.close()

        assert not names_in(folder)
        assert not forwards()


def names_in(folder):
    return [path.name for path in Path(folder).rglob("*")]


def forwards():
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("port-forward")]


def sockets():
    """How many sockets this process has."""
    count = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(file.readlink()).startswith("socket:")
    return count


@pytest.mark.parametrize("step", [hang, pod_port(freeze), pod_port(echo), FORBIDDEN])
async def test_closing_at_any_moment_leaves_no_task_and_no_socket(server, api, step):
    server.on_every("get", step)
    before = sockets()
    for moment in range(60):
        opened = Forwarder(api, endpoint(), Complaints())
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(path_of(opened))
            local.send(b"hello")
            for _ in range(moment):
                await asyncio.sleep(0)
            await opened.close()
            assert not forwards()
    await api.close()

    async def all_are_closed():
        return sockets() <= before

    await until(all_are_closed)


async def test_cancelled_close_closes_all_the_same(server, api):
    server.on_every("get", pod_port(echo))
    opened = Forwarder(api, endpoint(), Complaints())
    reader, writer = await connected(opened)
    writer.write(b"hello")
    await reader.read(5)
    closing = asyncio.get_running_loop().create_task(opened.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert await reader.read() == b""
    writer.close()
    await opened.close()


async def test_connections_are_accepted_again_after_files_ran_out(server, api):
    server.on_every("get", pod_port(echo))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with forwarder(api) as opened:
        with capture_logs() as logs:
            talking = asyncio.get_running_loop().create_task(served(opened))
            await asyncio.sleep(0)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:

                async def is_told():
                    return logs

                await until(is_told)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "Too many open files" in logs[0]["error"]
        assert await talking


# ---------------------------------------------------------------------- the loop of production
def test_uvloop_forwards_just_as_well():
    async def story():
        async with (
            running_server() as server,
            await connect_to(Always(server.url), user_agent="t") as api,
            forwarder(api) as opened,
        ):
            server.on_every("get", pod_port(echo))
            assert await served(opened)
            sent = os.urandom(2**20)
            reader, writer = await connected(opened)
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
            writer.close()

    uvloop.run(story())
