"""Kubernetes as these tests speak to it: `kubectl` where a user would, HTTP where we look often."""

import asyncio
import base64
import json
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml

from e2e.harness.wait import UnavailableError

CHECKOUT = Path(__file__).resolve().parents[2]
# As hack/node has it: a checkout may run nodes of several names.
KUBECONFIG = CHECKOUT / ".node" / os.environ.get("ETCD_OPERATOR_NODE", "") / "kubeconfig"
KUBECTL = CHECKOUT / "hack/kubectl"
REQUEST_LIMIT_S = 15.0
KUBECTL_LIMIT_S = 90.0

# An API server that has too much to do, or has just been started.
_BUSY = (429, 503)

Object = dict[str, Any]

_PLURALS = {
    "Namespace": "/api/v1 namespaces",
    "Node": "/api/v1 nodes",
    "Pod": "/api/v1 pods",
    "Service": "/api/v1 services",
    "ConfigMap": "/api/v1 configmaps",
    "Secret": "/api/v1 secrets",
    "PersistentVolumeClaim": "/api/v1 persistentvolumeclaims",
    "PersistentVolume": "/api/v1 persistentvolumes",
    "Event": "/api/v1 events",
    "ResourceQuota": "/api/v1 resourcequotas",
    "StatefulSet": "/apis/apps/v1 statefulsets",
    "Deployment": "/apis/apps/v1 deployments",
    "Job": "/apis/batch/v1 jobs",
    "PodDisruptionBudget": "/apis/policy/v1 poddisruptionbudgets",
    "Lease": "/apis/coordination.k8s.io/v1 leases",
    "StorageClass": "/apis/storage.k8s.io/v1 storageclasses",
    "Certificate": "/apis/cert-manager.io/v1 certificates",
    "Issuer": "/apis/cert-manager.io/v1 issuers",
    "EtcdCluster": "/apis/etcd.etcd.io/v1alpha1 etcdclusters",
    "EtcdBackup": "/apis/etcd.etcd.io/v1alpha1 etcdbackups",
    "EtcdRestore": "/apis/etcd.etcd.io/v1alpha1 etcdrestores",
}


class RefusedError(AssertionError):
    """The API server answered with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(frozen=True)
class Ended:
    """What a program that has ended left."""

    code: int
    out: str
    err: str


async def run(*command: object, stdin: str = "", limit_s: float = KUBECTL_LIMIT_S) -> Ended:
    """Runs a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": str(KUBECONFIG)},
    )
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def kubectl(*arguments: object, stdin: str = "") -> str:
    """What kubectl prints; an AssertionError with its complaint when it fails."""
    ended = await run(KUBECTL, *arguments, stdin=stdin)
    assert ended.code == 0, f"kubectl {' '.join(map(str, arguments))}: {ended.err}"
    return ended.out


async def apply(manifest: Object) -> Ended:
    """`kubectl apply -f -`, whatever comes of it."""
    return await run(KUBECTL, "apply", "-f", "-", stdin=json.dumps(manifest))


def path(kind: str, namespace: str | None, name: str | None = None) -> str:
    """The URL path of one object, or of all of a kind."""
    prefix, plural = _PLURALS[kind].split()
    middle = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{middle}/{plural}" + (f"/{name}" if name else "")


class Kube:
    """The API server over HTTP, with the node's own administrator."""

    def __init__(self) -> None:
        configuration = yaml.safe_load(KUBECONFIG.read_text())
        cluster = configuration["clusters"][0]["cluster"]
        self.server: str = cluster["server"]
        self.authority: str = cluster["certificate-authority-data"]
        self.user: Object = configuration["users"][0]["user"]
        self._tls = ssl.create_default_context(cadata=_decode(self.authority))
        with tempfile.NamedTemporaryFile("w") as pair:
            pair.write(_decode(self.user["client-certificate-data"]))
            pair.write(_decode(self.user["client-key-data"]))
            pair.flush()
            self._tls.load_cert_chain(pair.name)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self.server,
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=REQUEST_LIMIT_S),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, url: str, body: object = None, content_type: str = "application/json"
    ) -> Object:
        """The answer's body. Raises RefusedError, and UnavailableError when there is no answer."""
        answer: Object = json.loads(await self.text(method, url, body, content_type))
        return answer

    async def text(
        self, method: str, url: str, body: object = None, content_type: str = "application/json"
    ) -> str:
        """As `call`, for answers that are not JSON."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        try:
            async with self._session.request(method, url, data=data, headers=headers) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"{method} {url}: {error!r}") from error
        if response.status in _BUSY:
            raise UnavailableError(f"{method} {url}: {response.status} {text}")
        if response.status >= 300:
            raise RefusedError(response.status, text)
        return text

    async def refuses(self, token: str) -> bool:
        """Whether somebody with this token, and nothing else, is not let in."""
        tls = ssl.create_default_context(cadata=_decode(self.authority))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as stranger,
            stranger.get(
                self.server + path("EtcdCluster", None),
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=REQUEST_LIMIT_S),
            ) as response,
        ):
            return response.status == 401

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None when there is none."""
        try:
            return await self.call("GET", path(kind, namespace, name))
        except RefusedError as refused:
            if refused.code == 404:
                return None
            raise

    async def list(self, kind: str, namespace: str | None, labels: str = "") -> list[Object]:
        """All objects of a kind in a namespace."""
        answer = await self.call("GET", f"{path(kind, namespace)}?labelSelector={labels}")
        items: list[Object] = answer["items"]
        return items

    async def watch(
        self, kind: str, namespace: str | None, name: str, *, for_s: float
    ) -> AsyncIterator[Object]:
        """The object as it is now and after each change, for so long. As soon as it is told."""
        url = f"{path(kind, namespace)}?watch=1&fieldSelector=metadata.name={name}"
        limit = aiohttp.ClientTimeout(total=for_s)
        try:
            async with self._session.get(url, timeout=limit) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        yield event["object"]
        except TimeoutError:
            return

    async def create(self, kind: str, namespace: str | None, body: Object) -> Object:
        return await self.call("POST", path(kind, namespace), body)

    async def patch(
        self, kind: str, namespace: str | None, name: str, body: Object, *, subresource: str = ""
    ) -> Object:
        """A JSON merge patch."""
        content_type = "application/merge-patch+json"
        whole = path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return await self.call("PATCH", whole, body, content_type)

    async def delete(
        self, kind: str, namespace: str | None, name: str, *, grace_s: int | None = None
    ) -> None:
        """Deletes in the background; what is not there already is fine."""
        body: Object = {"propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        try:
            await self.call("DELETE", path(kind, namespace, name), body)
        except RefusedError as refused:
            if refused.code != 404:
                raise


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()
