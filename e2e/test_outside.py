"""Somebody runs the operator on a laptop, with what kubectl is content with: a user of few rights,
contexts, credentials that are renewed while it runs, a proxy in between.
"""

import base64
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.harness import proxy, rights
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.manifest import NAMESPACE
from e2e.harness.operator import Operator, absent
from e2e.harness.process import QUIET, OperatorProcess
from e2e.harness.proxy import Proxy
from e2e.harness.wait import until

pytestmark = pytest.mark.outside_only("about the kubeconfig of a user outside")

# The API server remembers for 10 s that a token was good.
REFUSED_WITHIN_S = 30.0


@pytest_asyncio.fixture(loop_scope="session")
async def nobody_else(operator: Operator) -> AsyncIterator[None]:
    """The operator of the other tests is away, so that it can't do the work."""
    async with absent(operator):
        yield


@pytest.mark.essential
async def test_a_missing_right_to_forward_ports_is_named_and_found_once_it_is_granted(
    operator: Operator, nobody_else: None, cluster: EtcdCluster, tmp_path: Path
) -> None:
    process = await operator.process(tmp_path, cluster.namespace, may_forward=False)
    async with process.runs():
        await cluster.apply(size=1)
        message = await cluster.shows("MembersUnreachable")
        for words in (
            "may not forward ports",
            cluster.namespace,
            "get and create",
            "pods/portforward",
        ):
            assert words in message
        await rights.grant_port_forwards(cluster.namespace)
        await cluster.ready(within_s=45.0)
    assert process.log().count("may not forward ports") == 1, "it is told once"


class Login:
    """A token in a file, which can be replaced by another while the old one stops being good."""

    def __init__(self, kube: Kube, folder: Path) -> None:
        self._kube = kube
        self.file = folder / "token"
        self._bound_to = ""

    async def renew(self) -> None:
        """When this returns, the token before is refused."""
        old, self._bound_to = self._bound_to, f"login-{secrets.token_hex(4)}"
        before = self.file.read_text() if old else ""
        await kubectl("create", "secret", "generic", self._bound_to, "-n", NAMESPACE)
        flags = ("--bound-object-kind=Secret", f"--bound-object-name={self._bound_to}")
        self.file.write_text(await rights.token(*flags))
        if old:
            await self.forget(old)

            async def is_refused() -> bool:
                return await self._kube.refuses(before)

            await until("the old token to be refused", is_refused, within_s=REFUSED_WITHIN_S)

    async def forget(self, bound_to: str = "") -> None:
        await kubectl("delete", "secret", bound_to or self._bound_to, "-n", NAMESPACE)


@pytest_asyncio.fixture(loop_scope="session")
async def login(kube: Kube, operator: Operator, tmp_path: Path) -> AsyncIterator[Login]:
    made = Login(kube, tmp_path)
    await made.renew()
    yield made
    await made.forget()


def kubeconfig(kube: Kube, user: Object, authorities: str = "", **cluster: object) -> Object:
    """Its own current context leads nowhere; `it` leads to the API server, through the proxy."""
    pem = base64.b64decode(kube.authority).decode() + authorities
    made = rights.kubeconfig_of(
        kube,
        user,
        server=f"https://{proxy.KNOWN_TO_THE_PROXY}",
        **{"certificate-authority-data": base64.b64encode(pem.encode()).decode()},
        **cluster,
    )
    made["clusters"].append({"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}})
    made["contexts"].append({"name": "old", "context": {"cluster": "nowhere", "user": "it"}})
    return made | {"current-context": "old"}


def run_with(folder: Path, made: Object, namespace: str, **environment: str) -> OperatorProcess:
    flags = ("--context", "it", "--namespace", namespace, *QUIET)
    file = rights.write(folder / "kubeconfig", made)
    return OperatorProcess(folder / "operator.log", file, *flags, environment=environment)


async def test_a_token_file_that_is_renewed_behind_a_proxy(
    kube: Kube, nobody_else: None, cluster: EtcdCluster, login: Login, tmp_path: Path
) -> None:
    async with proxy.running(kube.server) as between:
        user = {"tokenFile": str(login.file)}
        made = kubeconfig(kube, user, **{"proxy-url": between.url})
        async with run_with(tmp_path, made, cluster.namespace).runs():
            await is_cared_for(cluster, between, login)


async def test_a_credential_plugin_whose_token_expires_behind_a_proxy_with_tls(
    kube: Kube, nobody_else: None, cluster: EtcdCluster, login: Login, tmp_path: Path
) -> None:
    certificate = proxy.self_signed(tmp_path / "proxy.pem")
    async with proxy.running(kube.server, tmp_path / "proxy.pem") as between:
        user = {"exec": plugin(login.file)}
        made = kubeconfig(kube, user, certificate, **{"proxy-url": between.url})
        async with run_with(tmp_path, made, cluster.namespace).runs():
            await is_cared_for(cluster, between, login)


async def test_a_client_certificate_and_the_proxy_of_the_environment(
    kube: Kube, nobody_else: None, cluster: EtcdCluster, tmp_path: Path
) -> None:
    async with proxy.running(kube.server) as between:
        made = kubeconfig(kube, kube.user)
        async with run_with(tmp_path, made, cluster.namespace, HTTPS_PROXY=between.url).runs():
            await is_cared_for(cluster, between, None)


def plugin(token: Path) -> Object:
    """A program that prints whatever is in the file as its credential."""
    version = "client.authentication.k8s.io/v1"
    script = (
        "import json, pathlib;"
        f"status = {{'token': pathlib.Path({str(token)!r}).read_text()}};"
        f"head = {{'apiVersion': {version!r}, 'kind': 'ExecCredential'}};"
        "print(json.dumps(head | {'status': status}))"
    )
    return {
        "apiVersion": version,
        "command": sys.executable,
        "args": ["-I", "-c", script],
        "interactiveMode": "Never",
    }


async def is_cared_for(cluster: EtcdCluster, between: Proxy, login: Login | None) -> None:
    """Watches, calls and port-forwards work, also those that are made after the credentials were
    renewed and every connection was cut.
    """
    await rights.grant_port_forwards(cluster.namespace)
    await cluster.apply(size=1)
    await cluster.ready()
    if login is not None:
        await login.renew()
    between.cut()
    await cluster.edit(paused=True)
    await cluster.shows("Paused", kind="Paused", status="True")
    await cluster.edit(paused=None)
    await cluster.kube.delete("Pod", cluster.namespace, "db-0", grace_s=0)

    async def is_missed() -> bool:
        return condition(await cluster.get(), "MembersHealthy").get("status") == "False"

    await until("db-0 to be missed", is_missed, within_s=30.0)
    await cluster.ready()
    assert set(between.asked) == {proxy.KNOWN_TO_THE_PROXY}
