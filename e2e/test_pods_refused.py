"""Kubernetes makes no pods: a quota is used up, or the namespace's pod security forbids them. The
condition quotes the refusal, and the cluster goes on when the obstacle is gone.
"""

from e2e.harness.cluster import EtcdCluster


async def test_a_used_up_quota_is_reported_and_a_larger_one_heals(cluster: EtcdCluster) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    await cluster.kube.create("ResourceQuota", cluster.namespace, quota)
    await cluster.apply(size=3)
    message = await cluster.shows("PodsRefused", within_s=60.0)
    assert "exceeded quota" in message
    await cluster.tells("PodsRefused")
    larger = {"spec": {"hard": {"pods": "10"}}}
    await cluster.kube.patch("ResourceQuota", cluster.namespace, "few", larger)
    await cluster.ready()


async def test_a_template_that_breaks_pod_security_is_reported_and_can_be_corrected(
    cluster: EtcdCluster,
) -> None:
    await cluster.apply(size=1, podTemplate={"spec": {"hostNetwork": True}})
    message = await cluster.shows("PodsRefused", within_s=60.0)
    assert "PodSecurity" in message
    assert "hostNetwork" in message
    await cluster.edit(podTemplate=None)
    await cluster.ready()
