"""Object stores that pods can reach: real servers, as processes of the test's own on the node."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from e2e.harness.kube import Kube, Object, run
from e2e.harness.node import inside, run_inside
from e2e.harness.parts import part
from e2e.harness.process import DIES_WITH_US
from e2e.harness.wait import until

BUCKET: Final = "backups"
SECRET: Final = "store"
STOPPED_WITHIN_S: Final = 20.0
_PORTS: Final = {"S3": 9100, "Azure": 9101}
_KEYS: Final = ("operator", "not-so-secret")
# Azurite's one account and its key, which its documentation names.
_ACCOUNT: Final = "devstoreaccount1"
_ACCOUNT_KEY: Final = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
_LISTENS: Final = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
# Signed by hand: what speaks to a store otherwise makes no containers.
_MAKE_CONTAINER: Final = """
import base64, email.utils, hmac, sys, urllib.request
endpoint, account, key, name = sys.argv[1:]
headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
said = "".join(f"{name}:{value}\\n" for name, value in headers.items())
text = "PUT" + "\\n" * 12 + said + f"/{account}/{account}/{name}\\nrestype:container"
signed = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), "sha256")).decode()
headers["Authorization"] = f"SharedKey {account}:{signed}"
url = f"{endpoint}/{account}/{name}?restype=container"
urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=20)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What an EtcdBackup says of it, and the Secret that this names."""

    kind: str
    place: Object
    secret: dict[str, str]

    @property
    def spec(self) -> Object:
        return {"storageType": self.kind, self.kind.lower(): self.place}

    async def give_keys(self, kube: Kube, namespace: str) -> None:
        data = {key: base64.b64encode(one.encode()).decode() for key, one in self.secret.items()}
        body = {"metadata": {"name": SECRET}, "data": data}
        await kube.create("Secret", namespace, body)


@asynccontextmanager
async def store(kind: str, folder: Path, kube: Kube) -> AsyncIterator[Store]:
    """An empty store of this kind until the end of the block."""
    address, port = await _address(kube), _PORTS[kind]
    command = await (_s3 if kind == "S3" else _azurite)(folder, address, port)
    async with _runs(command, folder):

        async def listens() -> bool:
            asked = inside(sys.executable, "-I", "-c", _LISTENS, address, port)
            return (await run(*asked)).code == 0

        await until(f"the {kind} store to listen", listens, within_s=60.0)
        endpoint = f"http://{address}:{port}"
        if kind == "S3":
            keys = dict(zip(("accessKey", "secretKey"), _KEYS, strict=True))
            place = {"bucket": BUCKET, "region": "us-east-1", "endpoint": endpoint}
            place |= {"pathStyle": True, "accessKeySecret": SECRET, "secretKeySecret": SECRET}
        else:
            keys = {"accountKey": _ACCOUNT_KEY}
            place = {"account": _ACCOUNT, "container": BUCKET, "endpoint": f"{endpoint}/{_ACCOUNT}"}
            place |= {"accountKeySecret": SECRET}
            make = (sys.executable, "-I", "-c", _MAKE_CONTAINER)
            await run_inside(*make, endpoint, _ACCOUNT, _ACCOUNT_KEY, BUCKET)
        yield Store(kind=kind, place={**place, "path": "etcd"}, secret=keys)


async def _address(kube: Kube) -> str:
    """The node's own: pods reach it, and nobody else does."""
    (node, *_) = await kube.list("Node", None)
    addresses: list[Object] = node["status"]["addresses"]
    return str(next(one["address"] for one in addresses if one["type"] == "InternalIP"))


async def _s3(folder: Path, address: str, port: int) -> tuple[object, ...]:
    for name in (f"data/{BUCKET}", "meta"):
        (folder / name).mkdir(parents=True)
    access, secret = _KEYS
    return (
        await part("versitygw-1.8.0") / "bin/versitygw",
        *("--port", f"{address}:{port}", "--region", "us-east-1"),
        *("--access", access, "--secret", secret),
        *("posix", "--sidecar", folder / "meta", folder / "data"),
    )


async def _azurite(folder: Path, address: str, port: int) -> tuple[object, ...]:
    return (
        *("node", await part("azurite-3.37.0") / "node_modules/azurite/dist/src/blob/main.js"),
        *("--blobHost", address, "--blobPort", port),
        *("--location", folder, "--silent", "--skipApiVersionCheck"),
    )


@asynccontextmanager
async def _runs(command: tuple[object, ...], folder: Path) -> AsyncIterator[None]:
    log = folder / "log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *map(str, (*DIES_WITH_US, *inside(*command))),
            stdout=output,
            stderr=output,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        yield
        assert process.returncode is None, f"the store ended by itself: {log.read_text()[-2000:]}"
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await process.wait()
