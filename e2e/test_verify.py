"""A backup is tried out by restoring it; one with a flipped byte in its store says so."""

import pytest

from e2e.harness.backup import EtcdBackup, damage, make_claim
from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.kube import Kube, Object
from e2e.harness.wait import until

pytestmark = pytest.mark.inside_only("pods that try backups out run the operator's image")

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
STORED: Object = {
    "clusterName": "db",
    "storageType": "Local",
    "local": {"claimName": "backups"},
    "encryption": {"keySecret": "backup-key"},
}


async def test_a_backup_is_tried_out_and_a_damaged_one_is_told(
    cluster: EtcdCluster, kube: Kube, namespace: str
) -> None:
    backup = EtcdBackup(kube, namespace, "once")

    async def ask(request: str) -> None:
        asked = {"metadata": {"annotations": {"etcd.etcd.io/verify": request}}}
        await kube.patch("EtcdBackup", namespace, "once", asked)

    async def result(request: str) -> Object:
        async def found() -> Object | None:
            verified: Object = (await backup.get())["status"].get("verified") or {}
            return verified if verified.get("request") == request else None

        seen = await until(f"the verification {request}", found, within_s=150.0)
        assert seen is not None
        return seen

    await cluster.apply(size=1, security={"tls": {"enabled": True}})
    await make_claim(kube, namespace, "backups")
    secret = {"metadata": {"name": "backup-key"}, "stringData": {"key": KEY}}
    await kube.create("Secret", namespace, secret)
    await cluster.ready()
    for number in range(20):
        await cluster.etcdctl("db-0", "put", f"key-{number}", "x" * 100)
    await backup.apply(**STORED)
    await backup.shows("BackupCompleted", within_s=90.0)
    status = (await backup.get())["status"]
    assert status["encryptionKeyID"]

    await ask("good")
    good = await result("good")

    assert good["result"] == "Passed", good
    assert "20 keys" in good["message"]
    assert condition(await backup.get(), "Verified")["status"] == "True"
    await damage(kube, namespace, "backups", status["storagePath"].removeprefix("pvc://backups/"))
    await ask("damaged")
    damaged = await result("damaged")
    assert (damaged["result"], damaged["reason"]) == ("Failed", "BackupDamaged"), damaged
    assert damaged["message"] == await backup.shows("VerificationFailed")
    assert condition(await backup.get(), "Verified")["status"] == "False"
