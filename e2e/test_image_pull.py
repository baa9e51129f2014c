"""A user asks for an image that nobody has. The condition says so, and a corrected tag heals it."""

from e2e.harness.cluster import EtcdCluster, condition
from e2e.harness.report import Measure


async def test_a_wrong_tag_is_reported_and_its_correction_heals(
    cluster: EtcdCluster, measure: Measure
) -> None:
    await cluster.apply(size=3, version="v3.5.999")
    message = await cluster.shows("ImagePullFailed", within_s=90.0)
    assert "v3.5.999" in message
    assert "spec.version" in await cluster.tells("ImagePullFailed"), "it says what to do next"
    assert condition(await cluster.get(), "Ready")["status"] == "False"
    await cluster.edit(version="v3.5.35")
    measure("corrected tag to Ready, 3 members", await cluster.ready())
    assert len(await cluster.members()) == 3
