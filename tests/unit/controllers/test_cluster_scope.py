"""What the operator may not read is asked for once, and told with what it does without."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from controllers.cluster_scope import EFFECTS, REMEMBERED_S, ClusterScope, NotAllowed
from controllers.resources import NAMESPACES, NODES, VOLUMES
from tests.unit.informers.api_faults import answer_status

pytestmark = pytest.mark.looptime

FORBIDDEN = answer_status(403, "Forbidden", "nodes is forbidden")


async def test_object_is_returned_and_none_where_there_is_none(api, server):
    server.put(NODES.path(name="n1"), {"metadata": {}})
    outside = ClusterScope(api)

    assert (await outside.get(NODES, "n1"))["metadata"]["name"] == "n1"
    assert await outside.get(NODES, "n2") is None


async def test_refusal_is_not_asked_for_again_whatever_the_name(api, server):
    server.on_every("get", FORBIDDEN)
    outside = ClusterScope(api)
    answers = [await outside.get(NODES, name) for name in ("n1", "n2", "n1")]

    assert answers == [NotAllowed("nodes is forbidden")] * 3
    assert len(server.seen("get")) == 1


async def test_refusal_of_one_kind_says_nothing_of_another(api, server):
    server.script("get", FORBIDDEN)
    outside = ClusterScope(api)

    assert isinstance(await outside.get(NODES, "n1"), NotAllowed)
    assert await outside.get(VOLUMES, "v1") is None


async def test_each_namespace_is_asked_for_as_a_role_can_allow_one(api, server):
    server.script("get", FORBIDDEN)
    outside = ClusterScope(api)

    assert isinstance(await outside.get(NAMESPACES, "a"), NotAllowed)
    assert await outside.get(NAMESPACES, "b") is None


async def test_granted_right_is_noticed_after_some_minutes(api, server):
    server.script("get", FORBIDDEN)
    server.put(NODES.path(name="n1"), {"metadata": {}})
    outside = ClusterScope(api)
    await outside.get(NODES, "n1")
    await asyncio.sleep(REMEMBERED_S + 1)

    assert not isinstance(await outside.get(NODES, "n1"), NotAllowed)


def test_documentation_names_each_effect():
    page = Path(__file__).resolve().parents[3] / "docs/tasks/one-namespace.md"
    told = page.read_text()

    for resource, effect in EFFECTS.items():
        assert f"| `{resource.plural}` get" in told
        assert effect in told


async def test_effect_is_told_once(api, server):
    server.on_every("get", FORBIDDEN)
    outside = ClusterScope(api)
    with capture_logs() as lines:
        await outside.get(NODES, "n1")
        await asyncio.sleep(REMEMBERED_S + 1)
        await outside.get(NODES, "n1")

    assert [line["effect"] for line in lines] == [EFFECTS[NODES]]
    assert len(server.seen("get")) == 2
