"""A cluster lives by the certificates of its user: nothing is started from bad ones, a bad renewal
reaches nobody, a good one is taken up while clients write. Whose authority signs changes meanwhile,
from the operator's to the user's, to another one, and back; clients that write notice nothing.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from e2e.harness.certificates import Issued, authority, certificate, secret
from e2e.harness.client_pod import CREDENTIALS, call_from_a_pod
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer
from e2e.test_auth import AUTH, DENIED, make_secret, refused
from e2e.test_rotation import LONGEST_GAP_S, TLS, authorities, mounted, rotated
from e2e.test_tls import client_secret

GIVEN = {"certificateSecret": "web", "caSecret": "ours", "peerCertificateSecret": "members"}


def for_clients(namespace: str, by: Issued) -> dict[str, bytes]:
    """What `certificateSecret` holds, with its authority beside."""
    domain = f"{namespace}.svc.cluster.local"
    names = (f"db.{domain}", f"db.{namespace}.svc", f"*.db-peer.{domain}")
    return {**certificate("web", by, names).pair(), "ca.crt": by.pem()}


def for_members(namespace: str, by: Issued) -> dict[str, bytes]:
    """What `peerCertificateSecret` holds."""
    service = f"db-peer.{namespace}.svc.cluster.local"
    names = (service, f"*.{service}")
    return {**certificate("etcd-peer", by, names).pair(), "ca.crt": by.pem()}


async def calls(kube: Kube, namespace: str, of: str) -> bool:
    """Whether an application with the Secret of this name is let in."""
    url = f"https://db.{namespace}.svc:2379"
    return (await call_from_a_pod(kube, namespace, of, url, *CREDENTIALS, "get", "a"))[0]


async def keep(kube: Kube, namespace: str, name: str) -> None:
    """A copy of what clients have now, as an application that never looks again has it."""
    found = await kube.get("Secret", namespace, "db-client-tls")
    assert found is not None
    await kube.create("Secret", namespace, {"metadata": {"name": name}, "data": found["data"]})


async def trusted(kube: Kube, namespace: str, name: str) -> str:
    """The authorities in a Secret of the cluster's, as they are written there."""
    found = await kube.get("Secret", namespace, name)
    assert found is not None
    return str(found["data"]["ca.crt"])


def written(by: Issued) -> str:
    return str(secret("", {"ca.crt": by.pem()})["data"]["ca.crt"])


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@contextlib.asynccontextmanager
async def writing(
    cluster: EtcdCluster, folder: Path, measure: Measure, what: str
) -> AsyncIterator[None]:
    """A client writes meanwhile, by the files that its Secret holds then, and loses nothing."""
    async with mounted(cluster, made(folder) / "client") as files:
        async with Writer(cluster, files) as writer:
            began = time.monotonic()
            yield
            measure(what, time.monotonic() - began)
            await writer.goes_on()
        measure(f"longest gap between writes, {what}", writer.longest_gap_s)
        for pod in ("db-0", "db-1", "db-2"):
            await writer.nothing_is_lost(pod)
        assert writer.longest_gap_s <= LONGEST_GAP_S


@pytest.mark.timeout(420)
@pytest.mark.long
async def test_the_operators_certificates_become_the_users_and_no_write_is_lost(
    cluster: EtcdCluster, kube: Kube, namespace: str, tmp_path: Path, measure: Measure
) -> None:
    ours, of_members = authority("clients of db"), authority("members of db")
    await cluster.apply(size=3, **TLS)
    await cluster.ready()
    before = await authorities(cluster)
    await keep(kube, namespace, "before")
    named = {"certificateSecret": "web", "peerCertificateSecret": "members"}

    async with writing(cluster, tmp_path / "client", measure, "certificates become the user's"):
        await cluster.edit(security={"tls": named})
        await cluster.shows("CertificateSecretMissing", kind="TLSReady")
        assert await authorities(cluster) == {**before, "given": []}
        for name, data in (
            ("web", for_clients(namespace, ours)),
            ("members", for_members(namespace, of_members)),
        ):
            await kube.create("Secret", namespace, secret(name, data))
        await rotated(cluster, before, "client", "peer")

    assert set((await authorities(cluster))["given"]) == {"client", "peer"}
    for name, by in (("server", ours), ("client", ours), ("peer", of_members)):
        assert await trusted(kube, namespace, f"db-{name}-tls") == written(by)
    assert await calls(kube, namespace, "db-client-tls")
    assert not await calls(kube, namespace, "before")
    for name in ("client", "peer"):
        await cluster.tells("AuthorityRotating", of=f"The {name} authority has been replaced")


@pytest.mark.timeout(420)
@pytest.mark.long
async def test_another_authority_of_the_users_and_back_to_the_operators_and_no_write_is_lost(
    cluster: EtcdCluster, kube: Kube, namespace: str, tmp_path: Path, measure: Measure
) -> None:
    first, second = authority("the first"), authority("the second")
    for name, by in (("web", first), ("other", second)):
        await kube.create("Secret", namespace, secret(name, for_clients(namespace, by)))
    tls = {**TLS["security"]["tls"], "certificateSecret": "web"}
    await cluster.apply(size=3, security={"tls": tls})
    await cluster.ready()
    before = await authorities(cluster)
    await keep(kube, namespace, "before")

    async with writing(cluster, tmp_path / "other", measure, "another authority of the user's"):
        await cluster.edit(security={"tls": {"certificateSecret": "other"}})
        await rotated(cluster, before, "client")
    assert await trusted(kube, namespace, "db-client-tls") == written(second)
    assert await calls(kube, namespace, "db-client-tls")
    assert not await calls(kube, namespace, "before")

    between = await authorities(cluster)
    async with writing(cluster, tmp_path / "back", measure, "certificates become the operator's"):
        await cluster.edit(security={"tls": {"certificateSecret": None}})
        await rotated(cluster, between, "client")
    now = await authorities(cluster)
    assert (now["given"], now["peer"]) == ([], before["peer"])
    assert await trusted(kube, namespace, "db-client-tls") != written(second)
    assert await calls(kube, namespace, "db-client-tls")
    assert not await calls(kube, namespace, "web")


@pytest.mark.timeout(360)
@pytest.mark.long
async def test_users_and_roles_stay_while_the_users_authority_takes_over(
    cluster: EtcdCluster, kube: Kube, namespace: str, measure: Measure
) -> None:
    ours, app = authority("clients of db"), ("--user", "app:first")
    await make_secret(kube, namespace, "db-root", username="root", password="of-root")
    await make_secret(kube, namespace, "db-app", password="first")
    await cluster.apply(size=3, security={**TLS["security"], "auth": AUTH})
    await cluster.ready()
    await cluster.shows("AuthEnforced", kind="AuthReady", status="True")
    await cluster.etcdctl("db-0", *app, "put", "/app/one", "1")
    before = await authorities(cluster)

    await kube.create("Secret", namespace, secret("web", for_clients(namespace, ours)))
    admin = certificate("root", ours, ()).pair()
    await kube.create("Secret", namespace, secret("admin", admin))
    began = time.monotonic()
    named = {"certificateSecret": "web", "operatorCertificateSecret": "admin"}
    await cluster.edit(security={"tls": named})
    await rotated(cluster, before, "client")
    measure("users stay, certificates become the user's", time.monotonic() - began)

    assert await trusted(kube, namespace, "db-operator-tls") == written(ours)
    await cluster.shows("AuthEnforced", kind="AuthReady", status="True")
    await cluster.ready()
    assert DENIED in await refused(cluster, *app, "put", "/other", "1")
    await cluster.etcdctl("db-0", *app, "put", "/app/one", "2")
    # The operator is root by the user's certificate: what is given away by hand is taken back.
    root = ("--user", "root:of-root")
    await cluster.etcdctl("db-0", *root, "user", "grant-role", "app", "root")
    await cluster.tells("AuthChanged", of="role root from app", within_s=60.0)


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
