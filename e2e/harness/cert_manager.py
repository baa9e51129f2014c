"""cert-manager for a while: its kinds, and its controllers as a process of the test's own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e.harness.kube import KUBECONFIG, Kube, Object, kubectl
from e2e.harness.parts import part
from e2e.harness.process import DIES_WITH_US
from e2e.harness.wait import until

PART, API_VERSION = "cert-manager", "cert-manager.io/v1"
STOPPED_WITHIN_S = 20.0
ECDSA: Object = {"algorithm": "ECDSA", "size": 256}


@asynccontextmanager
async def installed(log: Path) -> AsyncIterator[None]:
    """From here to the end of the block, where its kinds go, too, with all objects of them."""
    folder = await part(PART)
    kinds = ("-f", folder / "crds")
    await kubectl("apply", "--server-side", *kinds)
    try:
        await kubectl("wait", "--for=condition=Established", "--timeout=60s", *kinds)
        async with _runs(folder / "bin/cert-manager", log):
            yield
    finally:
        await kubectl("delete", *kinds)


@asynccontextmanager
async def _runs(program: Path, log: Path) -> AsyncIterator[None]:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *map(str, (*DIES_WITH_US, program, "--kubeconfig", KUBECONFIG)),
            stdout=output,
            stderr=output,
            env={"PATH": os.environ["PATH"]},
        )
    try:
        yield
        assert process.returncode is None, "cert-manager ended by itself"
    except BaseException:
        print(last_words(log))
        raise
    finally:
        if process.returncode is None:
            process.kill()
        async with asyncio.timeout(STOPPED_WITHIN_S):
            await process.wait()


def last_words(log: Path) -> str:
    return log.read_text()[-3000:]


async def make_issuer(kube: Kube, namespace: str, name: str) -> None:
    """An issuer with an authority of its own, which signs itself."""
    authority = {
        "isCA": True,
        "commonName": name,
        "secretName": f"{name}-ca",
        "privateKey": ECDSA,
        "issuerRef": {"name": "itself"},
    }
    await make(kube, "Issuer", namespace, "itself", {"selfSigned": {}})
    await make(kube, "Certificate", namespace, f"{name}-ca", authority)
    await make(kube, "Issuer", namespace, name, {"ca": {"secretName": f"{name}-ca"}})


async def make(kube: Kube, kind: str, namespace: str, name: str, spec: Object) -> None:
    body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    await kube.create(kind, namespace, body)


async def renew(kube: Kube, namespace: str, name: str) -> None:
    """As `cmctl renew` does it, and waits until it is done."""
    found = await kube.get("Certificate", namespace, name)
    assert found is not None
    revision = found["status"]["revision"]
    issuing = {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
    }
    status = {"conditions": [*found["status"]["conditions"], issuing]}
    body = {"status": status}
    await kube.patch("Certificate", namespace, name, body, subresource="status")

    async def again() -> bool:
        now = await kube.get("Certificate", namespace, name)
        return now is not None and now["status"]["revision"] > revision

    await until(f"Certificate {name} to be issued again", again, within_s=60.0)
