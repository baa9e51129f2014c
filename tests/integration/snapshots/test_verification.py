"""A backup is tried out as its pod does it: fetched, restored, served by an etcd, and compared."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime

import pytest

from api.labels import DATA_MOUNT_PATH
from cli.agent import verification
from cli.agent.verification import prepare, verify
from controllers.backup.verification_pod import PEER_URL, etcd_arguments
from controllers.restore.order import RestoreOrder, etcdutl_arguments
from etcd.kv_types import Put
from snapshots.errors import NotServedError, PartCorruptedError, ServedDataError
from snapshots.locations import LocalLocation, WorkloadIdentity
from snapshots.manifest import Content
from snapshots.placing import Volume, read_fetched, write_fetched
from snapshots.stores import open_store
from tests.integration.etcd.processes import free_ports, programs
from tests.integration.snapshots.etcds import started, take, write_some

pytestmark = pytest.mark.timeout(120)

VERSIONS = ["3.5.21", "3.6.16"]


def now():
    return datetime.now(UTC)  # noqa: TID251 - certificates are valid by the clock on the wall


class Pod:
    """What the pod has: a volume of the store, and one for the data; its containers by name."""

    def __init__(self, folder, version, manifest):
        self.version = version
        self.store = folder / "store"
        self.root = folder / "root"
        self.root.mkdir()
        self.client, self.peer = free_ports(2)
        self.order = RestoreOrder.model_validate(
            {
                "token": "t",
                "folder": manifest.folder("one").path,
                "member": "verification",
                "peerURL": PEER_URL.replace("2380", str(self.peer)),
                "etcdVersion": version,
                "local": {"claimName": "backups"},
            }
        )
        self.etcd = None

    async def fetch(self):
        await prepare(self.order, {}, now=now, volume=self.store, root=self.root)

    async def restore(self):
        assert await (await self._start("etcdutl", etcdutl_arguments(self.order))).wait() == 0

    async def serve(self):
        ports = [text.replace("2379", str(self.client)) for text in etcd_arguments(self.order)]
        self.etcd = await self._start("etcd", ports)

    async def compare(self):
        return await verify(self.order, now=now, root=self.root, port=self.client)

    async def run(self):
        await self.fetch()
        await self.restore()
        await self.serve()
        return await self.compare()

    async def _start(self, program, arguments):
        return await asyncio.create_subprocess_exec(
            programs(self.version) / program,
            *(text.replace(DATA_MOUNT_PATH, str(self.root)) for text in arguments),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )


@pytest.fixture
async def pod_of(tmp_path):
    pods = []

    def make(version, manifest):
        pods.append(Pod(tmp_path, version, manifest))
        return pods[-1]

    yield make
    for pod in pods:
        if pod.etcd is not None and pod.etcd.returncode is None:
            pod.etcd.kill()
            await pod.etcd.wait()


@pytest.fixture
def store(tmp_path):
    (tmp_path / "store").mkdir()
    return open_store(LocalLocation(folder=tmp_path / "store"), WorkloadIdentity())


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_saved_is_served(pool, store, tmp_path, pod_of, version):
    async with started(pool, tmp_path / "source", version) as (_, (client,)):
        await write_some(client, rounds=120)
        manifest = await take(client, store)
    pod = pod_of(version, manifest)

    found = await pod.run()

    content = manifest.content
    assert (found.etcd_version, found.etcd_revision) == (version, content.revision)
    assert (found.keys, found.kv_hash) == (content.keys, content.kv_hash.value)
    assert await asyncio.wait_for(pod.etcd.wait(), 20) == -signal.SIGTERM


async def test_data_that_ask_who_is_calling_are_compared_as_well(pool, store, tmp_path, pod_of):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await write_some(client, rounds=20)
        await client.auth.role_add("root")
        await client.auth.user_add("root", "root's password")
        await client.auth.user_grant_role("root", "root")
        await client.auth.enable()
        root = client.with_token(await client.auth.authenticate("root", "root's password"))
        manifest = await take(root, store)
    assert manifest.content.kv_hash is not None

    found = await pod_of("3.6.16", manifest).run()

    assert found.kv_hash == manifest.content.kv_hash.value


async def test_keys_whose_leases_run_out_meanwhile_are_no_difference(pool, store, tmp_path, pod_of):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        lease = await client.lease.grant(2)
        await client.kv.put(Put(key=b"soon", value=b"gone", lease=lease.id))
        manifest = await take(client, store)
    pod = pod_of("3.6.16", manifest)
    await pod.fetch()
    await pod.restore()
    await pod.serve()
    await asyncio.sleep(6)  # etcd gives a lease its whole time again, and looks twice a second

    assert (await pod.compare()).keys == manifest.content.keys == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keys": 1}, "keys at revision"),
        ({"revision": 10_000, "keys": None, "kv_hash": None}, "at revision"),
        ({"kv_hash": {"value": 1, "compact_revision": 0}}, "hash"),
    ],
)
async def test_other_data_than_were_saved_are_told(pool, store, tmp_path, pod_of, changes, words):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        for number in range(10):
            await client.kv.put(Put(key=b"key-%d" % number, value=b""))
        manifest = await take(client, store)
    pod = pod_of("3.6.16", manifest)
    await pod.fetch()
    await pod.restore()
    volume = Volume(pod.root)
    fetched = read_fetched(volume)
    content = Content.model_validate(fetched.manifest.content.model_dump() | changes)
    other = fetched.manifest.model_copy(update={"content": content})
    write_fetched(volume, fetched.model_copy(update={"manifest": other}))
    await pod.serve()

    with pytest.raises(ServedDataError, match=words):
        await pod.compare()
    assert await asyncio.wait_for(pod.etcd.wait(), 20) == -signal.SIGTERM


async def test_a_backup_with_a_flipped_byte_is_found_before_etcd_sees_it(
    pool, store, tmp_path, pod_of
):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await write_some(client, rounds=20)
        manifest = await take(client, store)
    folder = tmp_path / "store" / manifest.folder("one").path / manifest.attempt
    (part, *_) = sorted(folder.iterdir())
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)

    with pytest.raises(PartCorruptedError):
        await pod_of("3.6.16", manifest).fetch()


async def test_etcd_that_ends_by_itself_is_not_waited_for(pool, store, tmp_path, pod_of):
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        await client.kv.put(Put(key=b"a", value=b"b"))
        manifest = await take(client, store)
    pod = pod_of("3.6.16", manifest)
    await pod.fetch()
    await pod.restore()
    await pod.serve()
    pod.etcd.send_signal(signal.SIGSTOP)  # it is there, and does not answer

    async def end_it():
        await asyncio.sleep(7)
        pod.etcd.kill()

    compared, _ = await asyncio.gather(pod.compare(), end_it(), return_exceptions=True)

    assert isinstance(compared, NotServedError)
    assert "ended by itself" in str(compared)


async def test_etcd_that_never_comes_is_given_up(pool, store, tmp_path, pod_of, monkeypatch):
    monkeypatch.setattr(verification, "START_S", 1.0)
    async with started(pool, tmp_path / "source", "3.6.16") as (_, (client,)):
        manifest = await take(client, store)
    pod = pod_of("3.6.16", manifest)
    await pod.fetch()

    with pytest.raises(NotServedError, match="within 1 s"):
        await pod.compare()
