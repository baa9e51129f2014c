"""What the operator would refuse is refused by `kubectl apply`, with its message; data is deleted
only after it was confirmed. And nobody waits for an operator that is down.
"""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.harness import manifest as installed
from e2e.harness.cluster import EtcdCluster, manifest
from e2e.harness.installation import Installation
from e2e.harness.kube import KUBECTL, Ended, Kube, Object, apply, kubectl, run
from e2e.harness.wait import until

pytestmark = pytest.mark.inside_only("the API server can't call a process on this machine")

# The operator looks every 15 s whether the API server knows its certificate.
ASKED_WITHIN_S = 40.0


@pytest_asyncio.fixture(loop_scope="session")
async def asked(installation: Installation, namespace: str) -> AsyncIterator[str]:
    """A namespace about which the API server asks the operator."""
    await installed.ask_about(namespace)
    wrong = manifest("EtcdCluster", namespace, "asked", {"version": "v3.4.30"})

    async def is_asked() -> bool:
        ended = await run(KUBECTL, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(wrong))
        return ended.code != 0 and "validate.etcd.etcd.io" in ended.err

    await until("the API server to ask the operator", is_asked, within_s=ASKED_WITHIN_S)
    yield namespace
    await installed.ask_about_nothing()


async def test_what_is_refused_is_said_at_once_and_data_goes_only_after_a_word(
    kube: Kube, installation: Installation, asked: str
) -> None:
    cluster = EtcdCluster(kube, asked)
    ended = await _applied(cluster, {"size": 1, "options": {"extra": {"max-txn-opps": "256"}}})
    assert ended.code != 0
    assert "spec.options.extra[max-txn-opps]" in ended.err

    spec: Object = {"size": 1, "storage": {"deletionPolicy": "Delete"}}
    ended = await _applied(cluster, spec)
    assert ended.code == 0, ended.err
    assert "Warning: spec.size is 1" in ended.err
    await cluster.ready()

    ended = await _applied(cluster, {**spec, "version": "v3.7.3"})
    assert ended.code != 0
    assert "spec.version can't be reached" in ended.err

    command = ("delete", "-n", asked, "etcdcluster", cluster.name, "--timeout=60s")
    ended = await run(KUBECTL, *command)
    assert ended.code != 0
    assert f"etcd.etcd.io/confirm-deletion={cluster.name}" in ended.err
    assert "deletionTimestamp" not in (await cluster.get())["metadata"]

    word = f"etcd.etcd.io/confirm-deletion={cluster.name}"
    await kubectl("annotate", "-n", asked, "etcdcluster", cluster.name, word)
    await kubectl(*command)
    await cluster.gone()
    assert await cluster.claims() == []

    await installation.stop()
    try:
        wrong = EtcdCluster(kube, asked, "unasked")
        ended = await _applied(wrong, {"size": 1, "options": {"extra": {"max-txn-opps": "256"}}})
        assert ended.code == 0, ended.err
        await wrong.delete()
    finally:
        await installation.start()


async def _applied(cluster: EtcdCluster, spec: Object) -> Ended:
    return await apply(manifest("EtcdCluster", cluster.namespace, cluster.name, spec))
