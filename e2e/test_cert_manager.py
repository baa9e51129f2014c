"""cert-manager itself certifies a cluster: what it says while it doesn't is passed on, what it
issues is in force, and what it issues anew reaches members and clients without a lost write.
"""

import base64
import ssl
import sys
import time
from pathlib import Path

import pytest

from e2e.harness import cert_manager
from e2e.harness.client_pod import CREDENTIALS, call_from_a_pod
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, run
from e2e.harness.node import inside
from e2e.harness.report import Measure
from e2e.harness.wait import UnavailableError, until
from e2e.harness.writer import Writer
from e2e.test_rotation import LONGEST_GAP_S, mounted

MEMBERS = ("db-0", "db-1", "db-2")
ISSUED = ("db-server-issued", "db-client-issued")
# kubelet looks at Secrets once a minute or so; etcd reads them at each handshake.
IN_THE_PODS_WITHIN_S = 150.0
# Whom a server shows itself to is no matter: it does so before it asks who calls.
SHOWN = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], 2379)))"


async def held(kube: Kube, namespace: str, secret: str, key: str = "tls.crt") -> str:
    """What a Secret holds; empty where there is none."""
    found = await kube.get("Secret", namespace, secret)
    return base64.b64decode(found["data"][key]).decode() if found else ""


def first(pem: str) -> bytes:
    """The first certificate of several."""
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(pem.partition(end)[0] + end)


async def shown_by(namespace: str, member: str) -> bytes:
    """The certificate that a member shows to who calls it, once its pod is there."""
    host = f"{member}.db-peer.{namespace}.svc.cluster.local"
    ended = await run(*inside(sys.executable, "-I", "-c", SHOWN, host))
    if ended.code != 0:
        raise UnavailableError(ended.err)
    return first(ended.out)


async def in_force(cluster: EtcdCluster) -> None:
    """Waits until all members show what cert-manager has issued last, and clients have theirs."""
    kube, namespace = cluster.kube, cluster.namespace

    async def everywhere() -> bool:
        for role in ("server", "client"):
            issued = await held(kube, namespace, f"db-{role}-issued")
            if not issued or issued != await held(kube, namespace, f"db-{role}-tls"):
                return False
        server = first(await held(kube, namespace, "db-server-issued"))
        return all([await shown_by(namespace, member) == server for member in MEMBERS])

    await until("the new certificates in force", everywhere, within_s=IN_THE_PODS_WITHIN_S)


async def look_at_once(cluster: EtcdCluster) -> None:
    """While a pod is down the operator looks at once, else every five minutes."""
    await cluster.kube.delete("Pod", cluster.namespace, "db-1")


@pytest.mark.timeout(600)
@pytest.mark.long
async def test_cert_manager_certifies_a_cluster_and_renews_without_a_lost_write(
    cluster: EtcdCluster, kube: Kube, namespace: str, tmp_path: Path, measure: Measure
) -> None:
    await cluster.apply(size=3, security={"tls": {"issuerRef": {"name": "corporate"}}})
    message = await cluster.shows("CertManagerMissing", kind="TLSReady")
    assert "cert-manager.io/v1 is not there" in message

    async with cert_manager.installed(tmp_path / "cert-manager.log"):
        await says_what_cert_manager_says(cluster)
        assert not await cluster.pods()

        began = time.monotonic()
        await cert_manager.make_issuer(kube, namespace, "corporate")
        await cluster.ready()
        measure("3 members by cert-manager, from the issuer to Ready", time.monotonic() - began)
        await in_force(cluster)
        authority = await held(kube, namespace, "corporate-ca")
        assert await held(kube, namespace, "db-client-tls", "ca.crt") == authority
        url = f"https://db.{namespace}.svc:2379"
        for secret in ("db-client-issued", "db-client-tls"):
            put = (*CREDENTIALS, "put", "by", secret)
            served = await call_from_a_pod(kube, namespace, secret, url, *put)
            assert served == (True, "OK\n"), served

        async with mounted(cluster, tmp_path / "client") as files:
            async with Writer(cluster, files) as writer:
                before = await held(kube, namespace, "db-server-tls")
                began = time.monotonic()
                for name in ISSUED:
                    await cert_manager.renew(kube, namespace, name)
                await look_at_once(cluster)
                await in_force(cluster)
                measure("both certificates renewed, in all pods", time.monotonic() - began)
                renewed = await held(kube, namespace, "db-server-tls")
                assert renewed != before

                began = time.monotonic()
                for name in ISSUED:
                    await kube.delete("Secret", namespace, name)
                await look_at_once(cluster)
                await in_force(cluster)
                measure("both Secrets deleted, issued anew, in all pods", time.monotonic() - began)
                assert await held(kube, namespace, "db-server-tls") not in {before, renewed}
                await cluster.shows("CertificatesValid", kind="TLSReady", status="True")
                await writer.goes_on()
            measure("longest gap between writes, two renewals", writer.longest_gap_s)
            assert writer.longest_gap_s <= LONGEST_GAP_S
            for member in MEMBERS:
                await writer.nothing_is_lost(member)


async def says_what_cert_manager_says(cluster: EtcdCluster) -> None:
    """There is no such issuer yet."""
    kube, namespace = cluster.kube, cluster.namespace

    async def passed_on() -> bool:
        order = await kube.get("Certificate", namespace, ISSUED[0])
        said = condition(order, "Ready").get("message", "")
        seen = condition(await cluster.get(), "TLSReady")
        return bool(said) and seen["reason"] == "CertificatesPending" and said in seen["message"]

    await until("cert-manager's words in TLSReady", passed_on, within_s=60.0)
