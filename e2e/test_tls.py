"""A cluster is made with TLS. Applications mount its client Secret; nobody else is let in; members
join, are killed, sleep and wake up among themselves by TLS, and no write is lost.
"""

import asyncio
import base64
import time
from pathlib import Path

import pytest

from e2e.harness import dns
from e2e.harness.certificates import authority, certificate, secret
from e2e.harness.client_pod import CREDENTIALS, ONLY_TRUST, call_from_a_pod
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.report import Measure
from e2e.harness.wait import until
from e2e.harness.writer import Writer

AS_THE_DEFAULT_IS: Object = {"security": {}}
REJECTED = "rejected connection on"
NO_CERTIFICATE = "client didn't provide a certificate"
UNKNOWN_AUTHORITY = "certificate signed by unknown authority"
NO_TLS = "first record does not look like a TLS handshake"
# Each of the versions has another way not to ask DNS who calls.
PEERS_VERSIONS = ("v3.5.21", "v3.6.16", "v3.7.3")
REVERSE_ZONES = "in-addr.arpa ip6.arpa"
# A name that was unknown once costs half a minute.
SLOWER_BY_S = 15.0
NAMELESS = "does not match any of DNSNames"
SECRETS = (
    "db-ca",
    "db-peer-ca",
    "db-server-tls",
    "db-peer-tls",
    "db-client-tls",
    "db-operator-tls",
)


async def client_secret(cluster: EtcdCluster, folder: Path) -> Path:
    """A folder with what the client's Secret holds, as a pod would have it."""
    secret = await cluster.kube.get("Secret", cluster.namespace, f"{cluster.name}-client-tls")
    assert secret is not None
    return written(folder, secret["data"])


def written(folder: Path, data: dict[str, str]) -> Path:
    folder.mkdir()
    for key, value in data.items():
        (folder / key).touch(mode=0o600)
        (folder / key).write_bytes(base64.b64decode(value))
    return folder


async def started(cluster: EtcdCluster, pod: str) -> set[str]:
    """The names of the members that one of them lists as started."""
    listed = await cluster.etcdctl(pod, "member", "list")
    lines = [line.split(", ") for line in listed.splitlines()]
    return {name for _, state, name, *_ in lines if state == "started"}


@pytest.mark.essential
async def test_a_cluster_with_tls_grows_and_survives_by_certificates_of_its_own(
    cluster: EtcdCluster, kube: Kube, tmp_path: Path, measure: Measure
) -> None:
    await cluster.apply(size=1, **AS_THE_DEFAULT_IS)
    measure("1 member with TLS", await cluster.ready())
    status = await cluster.status()
    assert status["clientEndpoints"] == [f"https://db.{cluster.namespace}.svc.cluster.local:2379"]
    assert [one["secret"] for one in status["certificates"]] == list(SECRETS)
    await cluster.shows("CertificatesValid", kind="TLSReady", status="True")
    await cluster.tells("CertificateIssued")

    async with Writer(cluster, await client_secret(cluster, tmp_path / "client")) as writer:
        began = time.monotonic()
        await cluster.edit(size=3)
        await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=180.0)
        measure("1 member to 3 with TLS", time.monotonic() - began)
        for pod in ("db-0", "db-1", "db-2"):
            assert await started(cluster, pod) == {"db-0", "db-1", "db-2"}
        killed = await cluster.pod("db-1")
        assert killed is not None
        await kube.delete("Pod", cluster.namespace, "db-1")
        await writer.goes_on()

        async def came_back() -> bool:
            pod = await cluster.pod("db-1")
            if pod is None or pod["metadata"]["uid"] == killed["metadata"]["uid"]:
                return False
            healthy = condition(await cluster.get(), "MembersHealthy")["status"] == "True"
            return healthy and condition(pod, "Ready").get("status") == "True"

        await until("db-1 to be healthy again", came_back, within_s=90.0)
        await writer.goes_on()
    measure("longest gap between writes, 1 to 3 and a pod killed, TLS", writer.longest_gap_s)
    for pod in ("db-0", "db-1", "db-2"):
        await writer.nothing_is_lost(pod)

    urls = {one["peerURL"].partition(":")[0] for one in (await cluster.status())["members"]}
    assert urls == {"https"}


async def test_only_who_has_the_client_secret_is_let_in(
    cluster: EtcdCluster, kube: Kube, namespace: str
) -> None:
    stranger = EtcdCluster(kube, namespace, "other")
    await cluster.apply(size=3, **AS_THE_DEFAULT_IS)
    await stranger.apply(size=1, **AS_THE_DEFAULT_IS)
    await cluster.ready()
    await stranger.ready()
    service, peer = f"db.{namespace}.svc", f"db-0.db-peer.{namespace}.svc"
    client, peers = f"https://{service}:2379", f"https://{peer}:2380"

    async def call(
        endpoint: str, *arguments: str, secret: str = "db-client-tls"
    ) -> tuple[bool, str]:
        return await call_from_a_pod(kube, namespace, secret, endpoint, *arguments)

    served = await call(client, *CREDENTIALS, "put", "by", "an-application")
    assert served == (True, "OK\n"), served
    refused = {
        "no certificate": call(client, *ONLY_TRUST, "get", "by"),
        "plain text": call(f"http://{service}:2379", "get", "by"),
        "another cluster's": call(client, *CREDENTIALS, "get", "by", secret="other-client-tls"),
        "another cluster's, trusting all": call(
            client,
            "--insecure-skip-tls-verify",
            "--insecure-transport=false",
            *CREDENTIALS[1:],
            "get",
            "by",
            secret="other-client-tls",
        ),
        "a client's at the peers' port": call(
            peers, "--insecure-skip-tls-verify", *CREDENTIALS[1:], "member", "list"
        ),
        "none at the peers' port": call(
            peers, "--insecure-skip-tls-verify", "--insecure-transport=false", "member", "list"
        ),
        "plain text at the peers' port": call(f"http://{peer}:2380", "member", "list"),
    }
    answers = dict(zip(refused, await asyncio.gather(*refused.values()), strict=True))
    assert {who: done for who, (done, _) in answers.items()} == dict.fromkeys(refused, False)
    assert "certificate signed by unknown authority" in answers["another cluster's"][1]
    # A caller may have written before it reads the alert; the listener knows why it refused.
    logs = [await kubectl("logs", "-n", namespace, f"db-{n}", "-c", "etcd") for n in range(3)]
    rejected = [line for log in logs for line in log.splitlines() if REJECTED in line]
    for endpoint in ("client endpoint", "peer endpoint"):
        for why in (NO_CERTIFICATE, UNKNOWN_AUTHORITY, NO_TLS):
            found = [line for line in rejected if endpoint in line and why in line]
            assert found, (endpoint, why, rejected)


async def test_members_sleep_and_wake_up_with_the_same_certificates(
    cluster: EtcdCluster, kube: Kube
) -> None:
    async def secrets() -> dict[str, str]:
        found = {name: await kube.get("Secret", cluster.namespace, name) for name in SECRETS}
        return {name: secret["data"]["tls.crt"] for name, secret in found.items() if secret}

    await cluster.apply(size=3, version="v3.7.3", **AS_THE_DEFAULT_IS)
    await cluster.ready()
    before = await secrets()
    await cluster.etcdctl("db-0", "put", "before", "sleep")
    await cluster.edit(size=0)
    await cluster.shows("Stopped", within_s=90.0)
    await cluster.gone_to_sleep()
    await cluster.edit(size=3)
    await cluster.ready()
    assert (await cluster.etcdctl("db-2", "get", "before")).split() == ["before", "sleep"]
    assert await secrets() == before
    assert len(before) == len(SECRETS)

    await cluster.delete()
    await cluster.gone()

    async def collected() -> bool:
        return not await secrets()

    await until("the Secrets to go with their cluster", collected, within_s=60.0)


async def test_a_cluster_made_in_plain_text_stays_so_when_its_spec_leaves_it_open(
    cluster: EtcdCluster,
) -> None:
    """As the objects that were stored before TLS was the default."""
    await cluster.apply(size=1)
    await cluster.ready()
    before = await cluster.pod("db-0")
    await cluster.edit(security=None)
    await cluster.ready()
    assert "enabled" not in (await cluster.get())["spec"]["security"]["tls"]
    assert (await cluster.status())["clientEndpoints"][0].startswith("http://")
    after = await cluster.pod("db-0")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert await started(cluster, "db-0") == {"db-0"}


async def test_a_lost_authority_is_told_and_not_replaced(cluster: EtcdCluster, kube: Kube) -> None:
    await cluster.apply(size=1, **AS_THE_DEFAULT_IS)
    await cluster.ready()
    lost = await kube.get("Secret", cluster.namespace, "db-peer-ca")
    assert lost is not None
    await kube.delete("Secret", cluster.namespace, "db-peer-ca")
    # A pod that is down has the operator look at once; else it looks every five minutes.
    await kube.delete("Pod", cluster.namespace, "db-0")
    message = await cluster.shows("CertificateAuthorityLost", kind="TLSReady", within_s=60.0)
    assert "db-peer-ca is missing" in message
    assert "Restore" in await cluster.tells("CertificateAuthorityLost")
    await cluster.ready()
    assert await kube.get("Secret", cluster.namespace, "db-peer-ca") is None

    metadata = {"name": "db-peer-ca", "labels": lost["metadata"]["labels"]}
    restored = {"metadata": metadata, "type": lost["type"], "data": lost["data"]}
    await kube.call("POST", f"/api/v1/namespaces/{cluster.namespace}/secrets", restored)
    await cluster.shows("CertificatesValid", kind="TLSReady", status="True", within_s=60.0)


def reverse_zones_not_cached(corefile: str) -> str:
    return remembering_nothing_of(corefile, f"cluster.local {REVERSE_ZONES}")


def reverse_zones_cached(corefile: str) -> str:
    """For 30 s, also that an address has no name; the cluster's own names are not."""
    return remembering_nothing_of(corefile, "cluster.local")


def remembering_nothing_of(corefile: str, zones: str) -> str:
    cache = f"cache 30 {{\ndisable success {zones}\ndisable denial {zones}\n}}"
    return answers_denials(dns.with_cache(corefile, cache))


def answers_denials(corefile: str) -> str:
    """What falls through is answered in a way that no cache keeps."""
    return corefile.replace(f"fallthrough {REVERSE_ZONES}", "")


@pytest.mark.long
async def test_members_join_although_dns_remembers_that_addresses_had_no_names(
    kube: Kube, namespace: str, measure: Measure
) -> None:
    """Every address that a new pod may get has been asked for, and is known to have no name."""

    async def grows(how: str, version: str) -> float:
        name = f"{how}-{version.replace('.', '-')}"
        cluster = EtcdCluster(kube, namespace, name)
        await cluster.apply(size=1, version=version, **AS_THE_DEFAULT_IS)
        await cluster.ready()
        began = time.monotonic()
        await cluster.edit(size=3)
        await cluster.shows("UpToDate", kind="UpToDate", status="True", within_s=180.0)
        await cluster.ready()
        took = time.monotonic() - began
        pods = {f"{name}-{number}" for number in range(3)}
        assert [await started(cluster, pod) for pod in pods] == [pods] * 3
        measure(f"1 to 3 members with TLS, {version}, reverse zones {how}", took)
        assert not await refused_as_nameless(cluster)
        await cluster.delete()
        await cluster.gone()
        return took

    async def all_grow(how: str) -> list[float]:
        return await asyncio.gather(*(grows(how, version) for version in PEERS_VERSIONS))

    (pod,) = await kube.list("Pod", dns.NAMESPACE, dns.LABELS)
    near = pod["status"]["podIP"]
    async with dns.configured(kube, reverse_zones_not_cached):
        async with dns.asked_for_names(kube, near) as asked:
            without = await all_grow("not-cached")
        assert asked.unknown > 0
        assert asked.known > 0
        assert asked.unknown_from_cache == 0
    async with dns.configured(kube, reverse_zones_cached):
        async with dns.asked_for_names(kube, near) as asked:
            cached = await all_grow("cached")
            await who_asks_dns_is_held_up(EtcdCluster(kube, namespace, "control"))
        assert asked.unknown_from_cache > 0
    assert max(cached) <= max(without) + SLOWER_BY_S


async def who_asks_dns_is_held_up(cluster: EtcdCluster) -> None:
    """Up to 3.5 etcd asks it about a caller whose certificate has names, as a user's has."""
    service = f"{cluster.name}-peer.{cluster.namespace}.svc.cluster.local"
    by = authority("members")
    pair = certificate("etcd-peer", by, (service, f"*.{service}")).pair()
    members = secret("members", {**pair, "ca.crt": by.pem()})
    await cluster.kube.create("Secret", cluster.namespace, members)
    given = {"peerCertificateSecret": "members"}
    await cluster.apply(size=1, version="v3.5.21", security={"tls": given})
    await cluster.ready()
    await cluster.edit(size=3)

    async def is_refused() -> bool:
        return await refused_as_nameless(cluster)

    await until("a new member to be turned away", is_refused, within_s=90.0)


async def refused_as_nameless(cluster: EtcdCluster) -> bool:
    """Whether its first member turned one away whose address has no name of its certificate."""
    log = await kubectl("logs", "-n", cluster.namespace, f"{cluster.name}-0", "-c", "etcd")
    return any(NAMELESS in line for line in log.splitlines() if REJECTED in line)
