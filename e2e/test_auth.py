"""The owner says who may do what: on a running cluster, with a password, with a certificate and as
root; a password changes, a member is replaced, and everybody may do everything again.
"""

import base64
import time

from e2e.harness.client_pod import CREDENTIALS, call_from_a_pod
from e2e.harness.cluster import EtcdCluster
from e2e.harness.kube import Kube, Object, kubectl
from e2e.harness.report import Measure
from e2e.harness.wait import until

REPLACE = "etcd.etcd.io/replace"
DENIED = "permission denied"
WRONG = "authentication failed"
AUTH: Object = {
    "enabled": True,
    "rootCredentialsSecret": "db-root",
    "roles": [
        {
            "name": "app",
            "permissions": [{"access": "ReadWrite", "key": "/app/", "prefix": True}],
        },
        {"name": "guest", "permissions": [{"access": "Read", "key": "/app/", "prefix": True}]},
    ],
    "users": [
        {"name": "app", "passwordSecret": {"name": "db-app"}, "roles": ["app"]},
        {"name": "etcd-client", "roles": ["guest"]},
    ],
}


async def make_secret(kube: Kube, namespace: str, name: str, **values: str) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    body = {"metadata": {"name": name}, "data": data}
    await kube.call("POST", f"/api/v1/namespaces/{namespace}/secrets", body)


async def refused(cluster: EtcdCluster, *arguments: str) -> str:
    """Why etcdctl in a pod failed."""
    try:
        answer = await cluster.etcdctl("db-0", *arguments)
    except AssertionError as error:
        return str(error)
    raise AssertionError(f"etcdctl {' '.join(arguments)} was allowed: {answer}")


async def test_who_may_do_what_is_said_and_taken_back_on_a_running_cluster(
    cluster: EtcdCluster, kube: Kube, namespace: str, measure: Measure
) -> None:
    await make_secret(kube, namespace, "db-root", username="root", password="of-root")
    await cluster.apply(size=3, security={"tls": {"enabled": True}})
    await cluster.ready()
    pods = {name: pod["metadata"]["uid"] for name, pod in (await cluster.pods()).items()}
    await cluster.etcdctl("db-0", "put", "/other", "1")

    # Without the password of every user it is not switched on.
    await cluster.edit(security={"auth": AUTH})
    assert "Secret db-app for app" in await cluster.shows("CredentialsMissing", kind="AuthReady")
    await cluster.etcdctl("db-0", "put", "/other", "2")
    began = time.monotonic()
    await make_secret(kube, namespace, "db-app", password="first")
    await cluster.shows("AuthEnforced", kind="AuthReady", status="True")
    measure("authentication on after its last Secret was made", time.monotonic() - began)
    await cluster.tells("AuthSwitchedOn")
    await cluster.ready()
    assert {name: pod["metadata"]["uid"] for name, pod in (await cluster.pods()).items()} == pods

    app, root = ("--user", "app:first"), ("--user", "root:of-root")
    await cluster.etcdctl("db-0", *app, "put", "/app/one", "1")
    assert DENIED in await refused(cluster, *app, "put", "/other", "3")
    assert DENIED in await refused(cluster, *app, "user", "list")
    assert WRONG in await refused(cluster, "--user", "app:wrong", "get", "/app/one")
    assert (await cluster.etcdctl("db-0", *root, "get", "/other")).split() == ["/other", "2"]
    service = f"https://db.{namespace}.svc:2379"
    read = await call_from_a_pod(
        kube, namespace, "db-client-tls", service, *CREDENTIALS, "get", "/app/one"
    )
    assert read == (True, "/app/one\n1\n")
    assert DENIED in await refused(cluster, "put", "/app/one", "2")
    assert len((await cluster.etcdctl("db-0", "member", "list")).splitlines()) == 3

    # The operator is root by its certificate: a member is replaced as ever.
    before = {one["name"]: one["id"] for one in (await cluster.status())["members"]}
    began = time.monotonic()
    await kubectl("annotate", "-n", namespace, "etcdcluster/db", f"{REPLACE}=db-1")

    async def replaced() -> bool:
        members = {one["name"]: one for one in (await cluster.status())["members"]}
        new = members.get("db-1", {})
        return bool(new.get("ready")) and new["id"] != before["db-1"]

    await until("db-1 to be replaced", replaced, within_s=120.0)
    measure("member replaced with authentication on", time.monotonic() - began)
    await cluster.etcdctl("db-1", *app, "put", "/app/two", "2")

    # What somebody gives away by hand is taken back; a password changes with its Secret.
    await cluster.etcdctl("db-0", *root, "user", "grant-role", "app", "root")
    await cluster.tells("AuthChanged", of="role root from app", within_s=60.0)
    assert DENIED in await refused(cluster, *app, "put", "/other", "3")
    began = time.monotonic()
    second = {"data": {"password": base64.b64encode(b"second").decode()}}
    await kube.patch("Secret", namespace, "db-app", second)
    await cluster.tells("AuthChanged", of="password of app", within_s=90.0)
    measure("changed password taken over", time.monotonic() - began)
    await cluster.etcdctl("db-0", "--user", "app:second", "put", "/app/three", "3")
    assert WRONG in await refused(cluster, *app, "get", "/app/one")
    status = await cluster.status()
    assert "second" not in str(status)

    await cluster.edit(security={"auth": {"enabled": False}})
    await cluster.shows("AuthDisabled", kind="AuthReady", within_s=30.0)
    await cluster.etcdctl("db-0", "put", "/other", "3")
    assert (await cluster.etcdctl("db-0", "user", "list")).split() == ["root"]
    assert "auth" not in await cluster.status()
    await cluster.ready()


async def test_authentication_without_tls_is_refused(cluster: EtcdCluster) -> None:
    await cluster.apply(size=1, security={"tls": {"enabled": False}, "auth": {"enabled": True}})
    assert "Set spec.security.tls.enabled to true" in await cluster.shows("InvalidSpec")
