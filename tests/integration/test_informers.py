"""Informers against a real API server, behind a proxy that cuts, freezes and delays.

Whatever happens in between, the cache and what its handlers were told must become what the server
has. The servers are of this file alone: they are restarted, and their history is compacted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from etcd.dialer import DirectDialer
from etcd.dialer import Endpoint as EtcdEndpoint
from etcd.pool import ChannelPool
from informers.errors import ForbiddenError, NotFoundError, TransportError
from informers.informer_set import InformerSet
from informers.kubeconfig import Endpoint, KubeconfigSource
from informers.resource import Resource
from informers.wire import KubeApi, connect_to
from tests.integration.conftest import PROGRAM, STOP_DEADLINE_S, VERSIONS, _await_ready
from tests.integration.tcp_proxy import TcpProxy
from tests.unit.informers.watching import CONFIG_MAPS, Recorder, config_map, eventually, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE_S = 40
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "roles", "Role")
BINDINGS = Resource(RBAC, "v1", "rolebindings", "RoleBinding")
CRDS = Resource(
    *("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition"),
    namespaced=False,
)


# ---------------------------------------------------------------------- servers
@dataclass(frozen=True)
class Server:
    """A kube-apiserver and its etcd, and the pipe to who looks after them."""

    folder: Path
    version: str
    process: subprocess.Popen[bytes]

    @property
    def streams_lists(self) -> bool:
        return self.version != "old"

    async def command(self, words: str) -> None:
        """Have a program stopped, killed, started or restarted, and wait until it is."""
        await asyncio.to_thread(self._command, words)

    def _command(self, words: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{words}\n".encode())
        self.process.stdin.flush()
        while not (line := self.process.stdout.readline().decode()).startswith(f"OK {words}"):
            assert line, "the servers ended"
            assert not line.startswith("FAILED"), line

    def etcd_port(self) -> int:
        pid = json.loads((self.folder / "pids.json").read_text())["etcd"]
        for flag in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            name, _, value = flag.partition("=")
            if name == "--listen-client-urls":
                return int(value.rpartition(":")[2])
        raise AssertionError("etcd listens nowhere")

    async def compact(self, revision: int) -> None:
        """Forget what was before; a resourceVersion is a revision of etcd."""
        endpoint = EtcdEndpoint(
            cluster="kube-system/control-plane",
            namespace="kube-system",
            pod="etcd",
            pod_uid="etcd",
            address="127.0.0.1",
            fqdn="localhost",
            port=self.etcd_port(),
        )
        pool = ChannelPool(DirectDialer())
        try:
            await pool.client(endpoint).kv.compact(revision, physical=True)
        finally:
            await pool.close()


@pytest.fixture(scope="module", params=VERSIONS)
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"informers-{request.param}")
    command = [sys.executable, str(PROGRAM), "run", "--dir", str(folder)]
    with subprocess.Popen(
        [*command, "--version", request.param], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            _await_ready(process)
            yield Server(folder, request.param, process)
        finally:
            process.stdin.close()
            process.wait(STOP_DEADLINE_S)


@dataclass
class Fixed:
    endpoint: Endpoint
    max_age_s: float | None = None

    async def load(self) -> Endpoint:
        return self.endpoint


@pytest.fixture
async def endpoint(server) -> Endpoint:
    return await KubeconfigSource(str(server.folder / "kubeconfig")).load()


@pytest.fixture
async def api(endpoint) -> AsyncIterator[KubeApi]:
    """The administrator's, past the proxy: what tests write and compare with."""
    async with await connect_to(Fixed(endpoint), user_agent="informers-tests") as connected:
        yield connected


@pytest.fixture
async def proxy(endpoint) -> AsyncIterator[TcpProxy]:
    async with TcpProxy.to("127.0.0.1", int(endpoint.url.rpartition(":")[2])) as between:
        yield between


@pytest.fixture
async def far(endpoint, proxy) -> AsyncIterator[KubeApi]:
    """The informers', through the proxy."""
    through = replace(endpoint, url=f"https://127.0.0.1:{proxy.port}")
    async with await connect_to(Fixed(through), user_agent="informers-tests-far") as connected:
        yield connected


# ---------------------------------------------------------------------- what is looked at
@dataclass(frozen=True)
class Place:
    """A namespace of the test's own, its informer, and a handler there."""

    api: KubeApi
    namespace: str
    informers: InformerSet
    recorder: Recorder

    async def put(self, name: str, value: str = "") -> None:
        body = config_map(value, app="x")
        body["metadata"]["name"] = name
        scope = {"namespace": self.namespace, "name": name}
        await self.api.apply(CONFIG_MAPS, body, **scope, field_manager="tests", timeout_s=30)

    async def remove(self, name: str) -> None:
        await self.api.delete(CONFIG_MAPS, namespace=self.namespace, name=name)

    async def converges(self) -> None:
        """Wait until cache and handler have exactly what the server has."""
        listed = await self.api.list(CONFIG_MAPS, namespace=self.namespace, label_selector="app=x")
        there = {
            f"{self.namespace}/{o['metadata']['name']}": o["metadata"]["resourceVersion"]
            for o in listed
        }
        assert there
        await eventually(lambda: self.held() == there == self.recorder.known, DEADLINE_S)

    def held(self) -> dict[str, str]:
        keys = self.informers.keys()
        return {key: self.informers.peek(key).resource_version for key in keys}

    def counts(self):
        (statistics,) = self.informers.statistics()
        return statistics.reflector


async def new_namespace(api: KubeApi) -> str:
    name = "informers-" + base64.b32encode(os.urandom(5)).decode().lower()
    await api.create(NAMESPACES, {"metadata": {"name": name}})
    return name


@asynccontextmanager
async def place_of(api: KubeApi, far: KubeApi, **options) -> AsyncIterator[Place]:
    """Ten objects are there, the informer has them, and its watch is open."""
    namespace = await new_namespace(api)
    informers = InformerSet(
        far, CONFIG_MAPS, namespaces=[namespace], label_selector="app=x", **options
    )
    place = Place(api, namespace, informers, Recorder())
    informers.add_handler(place.recorder)
    for number in range(10):
        await place.put(f"x{number}")
    async with running(informers):
        async with asyncio.timeout(DEADLINE_S):
            await informers.wait_synced()
        await place.put("x9", "seen by the watch")
        await place.converges()
        yield place


@pytest.fixture
async def place(api, far) -> AsyncIterator[Place]:
    async with place_of(api, far) as made:
        yield made


# ---------------------------------------------------------------------- lists and watches
async def test_r27_r28_new_servers_stream_their_lists_and_old_ones_are_listed(server, place):
    await eventually(lambda: place.counts().watches == (1 if server.streams_lists else 2))
    assert place.counts().lists == (0 if server.streams_lists else 1)
    assert place.counts().failures == 0


async def test_r29_streamed_set_is_the_listed_one(server, api, far, place):
    plain = InformerSet(far, CONFIG_MAPS, namespaces=[place.namespace], streaming=False)
    async with running(plain):
        await plain.wait_synced()
        assert {key: plain.get(key) for key in plain.keys()} == {  # noqa: SIM118 - not a dict
            key: place.informers.get(key)
            for key in place.informers.keys()  # noqa: SIM118 - not a dict
        }


async def test_r25_managed_fields_are_not_stored_and_not_lost_by_writing_back(api, place):
    key = f"{place.namespace}/x0"
    scope = {"namespace": place.namespace, "name": "x0"}
    body = place.informers.get(key)
    assert "managedFields" not in body["metadata"]
    body["data"]["more"] = "1"
    await api.replace(CONFIG_MAPS, body, **scope)
    written = await api.get(CONFIG_MAPS, **scope)
    assert "tests" in {entry["manager"] for entry in written["metadata"]["managedFields"]}


# ---------------------------------------------------------------------- the network
async def test_r15_cut_connections_lose_nothing_and_list_nothing(proxy, place):
    before = place.counts()
    for number in range(10):
        await place.put(f"x{number}", "new")
        await place.put(f"y{number}")
        if number % 3 == 0:
            proxy.cut()
        await place.remove(f"x{number}")
    await place.converges()
    assert place.counts().lists == before.lists
    assert place.recorder.tombstones == []


async def test_r15_server_out_of_reach_is_followed_again(proxy, place):
    proxy.refusing = True
    proxy.cut()
    await place.put("late")
    await eventually(lambda: isinstance(place.informers.last_error, TransportError), DEADLINE_S)
    await place.remove("x0")
    proxy.refusing = False
    await place.converges()
    assert place.informers.last_error is None


async def test_r21_r22_half_open_connection_is_left_after_the_idle_deadline(api, far, proxy):
    async with place_of(api, far, idle_s=2) as place:
        before = place.counts()
        proxy.freeze()
        await place.put("late")
        await place.remove("x0")
        await place.converges()
        assert place.counts().idle_watches > before.idle_watches
        assert place.counts().lists == before.lists


async def test_r24_long_lines_pass_a_slow_network(proxy, place):
    proxy.delay_s = 0.05
    await asyncio.gather(*(place.put(f"big{number}", "x" * 900_000) for number in range(3)))
    await place.remove("x0")
    await place.converges()
    proxy.cut()
    await place.put("late")
    await place.converges()


# ---------------------------------------------------------------------- the server
async def test_r12_s5_s6_compacted_history_is_bridged_by_a_list(server, proxy, place):
    """No events are to be had of the gap: a tombstone, a new uid under an old name, no more."""
    gone, made_anew, late = (f"{place.namespace}/{name}" for name in ("x0", "x1", "late"))
    old_uid = place.informers.peek(made_anew).uid
    proxy.refusing = True
    proxy.cut()
    for name in ("x0", "x1"):
        await place.remove(name)
    for name in ("x1", "late"):
        await place.put(name)
    newest = await place.api.list(CONFIG_MAPS, namespace=place.namespace)
    await server.compact(max(int(obj["metadata"]["resourceVersion"]) for obj in newest))
    await server.command("restart kube-apiserver")
    before = len(place.recorder.events)
    proxy.refusing = False
    await place.converges()
    told = [("add", late), ("delete", gone), ("update", made_anew)]
    assert sorted(place.recorder.events[before:]) == told
    assert place.recorder.tombstones == [gone]
    assert place.informers.peek(made_anew).uid != old_uid


async def test_r15_s7_restarted_api_server_is_no_news(server, place):
    before = len(place.recorder.events)
    await server.command("restart kube-apiserver")
    await place.put("late")
    await place.converges()
    assert place.recorder.events[before:] == [("add", f"{place.namespace}/late")]
    assert place.informers.last_error is None


async def test_r15_etcd_away_for_a_while(server, place):
    await server.command("stop etcd")
    await server.command("start etcd")
    await place.put("late")
    await place.remove("x0")
    await place.converges()


# ---------------------------------------------------------------------- rights and kinds
async def test_r18_rights_that_come_later_are_enough(api, far, endpoint, proxy):
    namespace = await new_namespace(api)
    token = await account_token(api, namespace)
    mine = replace(
        endpoint,
        url=f"https://127.0.0.1:{proxy.port}",
        authorization=f"Bearer {token}",
        tls=without_certificate(endpoint),
    )
    async with await connect_to(Fixed(mine), user_agent="informers-tests") as weak:
        informers = InformerSet(weak, CONFIG_MAPS, namespaces=[namespace])
        async with running(informers):
            await eventually(lambda: isinstance(informers.last_error, ForbiddenError), DEADLINE_S)
            assert not informers.has_synced
            await grant(api, namespace)
            async with asyncio.timeout(DEADLINE_S):
                await informers.wait_synced()
            assert informers.last_error is None


async def test_r14_r18_kind_that_comes_later_is_followed(api, far):
    widgets = Resource("informers.example.com", "v1", "widgets", "Widget")
    informers = InformerSet(far, widgets)
    async with running(informers):
        await eventually(lambda: isinstance(informers.last_error, NotFoundError), DEADLINE_S)
        await api.create(CRDS, crd(widgets))
        async with asyncio.timeout(DEADLINE_S):
            await informers.wait_synced()
        assert informers.last_error is None


async def account_token(api: KubeApi, namespace: str) -> str:
    await api.create(ACCOUNTS, {"metadata": {"name": "reader"}}, namespace=namespace)
    asked = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    path = ACCOUNTS.path(namespace, "reader", "token")
    answer = await api.request("POST", path, body=json.dumps(asked).encode())
    return json.loads(answer)["status"]["token"]


def without_certificate(endpoint: Endpoint):
    """The same server, without the administrator's certificate, which would win over a token."""
    context = ssl.create_default_context()
    for authority in endpoint.tls.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=authority)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


async def grant(api: KubeApi, namespace: str) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
    meta = {"metadata": {"name": "reader"}}
    await api.create(ROLES, meta | {"rules": [rule]}, namespace=namespace)
    binding = meta | {
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": namespace}],
    }
    await api.create(BINDINGS, binding, namespace=namespace)


def crd(resource: Resource) -> dict:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": resource.plural, "kind": resource.kind}
    return {
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [version],
        },
    }
