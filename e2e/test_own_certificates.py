"""A cluster lives by the certificates of its user: nothing is started from bad ones, a bad renewal
reaches nobody, a good one is taken up while clients write.
"""

from pathlib import Path

from e2e.harness.certificates import authority, certificate, secret
from e2e.harness.client_pod import CREDENTIALS, call_from_a_pod
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer
from e2e.test_tls import client_secret

GIVEN = {"certificateSecret": "web", "caSecret": "ours", "peerCertificateSecret": "members"}


async def test_a_cluster_lives_by_the_users_certificates(
    cluster: EtcdCluster, kube: Kube, namespace: str, tmp_path: Path, measure: Measure
) -> None:
    domain = f"{namespace}.svc.cluster.local"
    peers = [f"db-peer.{domain}", f"*.db-peer.{domain}"]
    ours, for_members = authority("clients of db"), authority("members of db")

    def web(*names: str) -> dict[str, bytes]:
        return certificate("web", ours, names).pair()

    async def renew(data: dict[str, bytes]) -> None:
        """And kill a pod: while one is down the operator looks at once, else in five minutes."""
        await kube.patch("Secret", namespace, "web", {"data": secret("web", data)["data"]})
        await kube.delete("Pod", namespace, "db-1")

    async def is_well() -> bool:
        pod = await cluster.pod("db-1")
        healthy = condition(await cluster.get(), "MembersHealthy")["status"] == "True"
        return healthy and pod is not None and "deletionTimestamp" not in pod["metadata"]

    await cluster.apply(size=3, security={"tls": {"enabled": True, **GIVEN}})
    message = await cluster.shows("CertificateSecretMissing", kind="TLSReady")
    assert "Secret web (certificateSecret) does not exist" in message
    await kube.create("Secret", namespace, secret("ours", {"ca.crt": ours.pem()}))
    await kube.create("Secret", namespace, secret("web", web(f"db.{domain}")))
    member = certificate("etcd-peer", for_members, peers).pair()
    members = secret("members", {**member, "ca.crt": for_members.pem()})
    await kube.create("Secret", namespace, members)
    message = await cluster.shows("CertificateRefused", kind="TLSReady")
    assert f"names lack *.db-peer.{domain}: have it made with them" in message
    assert not await cluster.pods()

    names = (f"db.{domain}", f"db.{namespace}.svc", peers[1])
    await kube.patch("Secret", namespace, "web", {"data": secret("web", web(*names))["data"]})
    measure("3 members by the user's certificates", await cluster.ready())
    url = f"https://db.{namespace}.svc:2379"
    served = await call_from_a_pod(kube, namespace, "db-client-tls", url, *CREDENTIALS, "get", "a")
    assert served[0], served

    async with Writer(cluster, await client_secret(cluster, tmp_path / "client")) as writer:
        before = await kube.get("Secret", namespace, "db-server-tls")
        await renew(web("elsewhere.example.org"))
        message = await cluster.shows("CertificateRefused", kind="TLSReady")
        assert "the certificates that are there last until" in message
        await until("db-1 to be back", is_well, within_s=90.0)
        kept = await kube.get("Secret", namespace, "db-server-tls")
        assert before is not None
        assert kept is not None
        assert kept["data"] == before["data"]

        await renew(web(*names))
        await cluster.shows("CertificatesValid", kind="TLSReady", status="True", within_s=60.0)
        await until("db-1 to be back", is_well, within_s=90.0)
        renewed = await kube.get("Secret", namespace, "db-server-tls")
        assert renewed is not None
        assert renewed["data"]["tls.crt"] != before["data"]["tls.crt"]
        await cluster.tells("CertificateCopied", of="db-server-tls")
        await writer.goes_on()
    for pod in ("db-0", "db-1", "db-2"):
        await writer.nothing_is_lost(pod)
    measure("longest gap between writes, two renewals, a pod killed at each", writer.longest_gap_s)
