"""Cache and handlers, through the whole informer. Docstrings name client-go's tests of the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from informers.handlers import InformerStoppedError
from informers.informer import Informer
from informers.store import by_label, by_owner
from tests.unit.informers.api_faults import answer_status, hang
from tests.unit.informers.watching import (
    CONFIG_MAPS,
    Recorder,
    config_map,
    eventually,
    path_of,
    running,
)

if TYPE_CHECKING:
    from informers.wire import KubeApi

pytestmark = pytest.mark.looptime


@pytest.fixture
def informer(api: KubeApi) -> Informer:
    indexers = {"owner": by_owner, "cluster": by_label("cluster")}
    return Informer(api, CONFIG_MAPS, indexers=indexers, streaming=False)


@pytest.fixture
def recorder(informer: Informer) -> Recorder:
    recorder = Recorder()
    informer.add_handler(recorder)
    return recorder


def named(name: str) -> dict:
    obj = config_map()
    obj["metadata"]["name"] = name
    return obj


async def relist(server) -> None:
    """Make the informer list again, and wait until it watches."""
    lists = len(server.seen("list"))
    server.send_error(500, "InternalError")
    await server.wait_seen("list", lists + 1)
    await server.wait_watchers(0)
    await server.wait_watchers(1)


# ---------------------------------------------------------------------- lists and changes
async def test_s4_s5_relist_deletes_by_tombstone_then_follows_the_list(server, informer, recorder):
    """TestReplaceEvents: a relist deletes first, by tombstone, then adds and updates in order."""
    for name in ("gone", "kept", "changed"):
        server.put(path_of(name), config_map("1"))
    async with running(informer):
        await server.wait_watchers()
        del recorder.events[:]
        with server.unseen():
            server.remove(path_of("gone"))
            server.put(path_of("changed"), config_map("2"))
            server.put(path_of("added"), config_map("1"))
        await relist(server)
    assert recorder.events == [("delete", "a/gone"), ("add", "a/added"), ("update", "a/changed")]
    assert recorder.tombstones == ["a/gone"]
    assert "a/added" not in recorder.initial


async def test_s7_relist_of_unchanged_objects_is_no_news(server, informer, recorder):
    """TestSharedInformerWatchDisruption: a relist of unchanged objects is no news to anybody."""
    for number in range(5):
        server.put(path_of(f"x{number}"), config_map())
    async with running(informer):
        await server.wait_watchers()
        del recorder.events[:]
        await relist(server)
        assert recorder.events == []


async def test_s9_synced_when_the_first_list_is_handed_out_and_for_ever(server, informer, recorder):
    """TestRealFIFO_HasSynced: not before the first list is handed out, and for ever after."""
    server.put(path_of("x"), config_map())
    server.script("list", answer_status(500))
    async with running(informer):
        await eventually(lambda: informer.last_error is not None)
        assert not informer.has_synced
        await informer.wait_synced()
        assert recorder.events == [("add", "a/x")]
        server.on_every("*", answer_status(500))
        server.abort_watches()
        await eventually(lambda: informer.last_error is not None)
        assert informer.has_synced


async def test_s9_empty_list_syncs_too(informer):
    async with running(informer):
        await informer.wait_synced()
    assert informer.keys() == []


async def test_s10_s11_late_handler_is_told_all_then_each_change_once(server, informer):
    """TestAddWhileActive: a late handler is told all that is there, then each change once."""
    server.put(path_of("early"), config_map())
    async with running(informer):
        await server.wait_watchers()
        late = Recorder()
        registration = informer.add_handler(late)
        assert late.initial == ["a/early"]
        assert registration.has_synced
        server.put(path_of("x"), config_map())
        await eventually(lambda: len(late.events) == 2)
    assert late.events == [("add", "a/early"), ("add", "a/x")]


async def test_s11_handler_added_between_two_slices_misses_nothing(server, informer):
    """TestSharedInformerInitializationRace: who comes in between sees each object once."""

    class Inviting(Recorder):
        def on_add(self, obj, *, initial):
            super().on_add(obj, initial=initial)
            if len(self.events) == 500:  # the end of a slice
                loop.call_soon(informer.add_handler, late)

    loop, late = asyncio.get_running_loop(), Recorder()
    for number in range(1200):
        server.put(path_of(f"x{number:04}"), config_map())
    informer.add_handler(Inviting())
    async with running(informer):
        await informer.wait_synced()
        server.remove(path_of("x0000"))
        await eventually(lambda: len(late.events) == 1201)
    assert len(late.known) == 1199


async def test_s6_same_name_with_another_uid_is_an_update(server, informer, recorder):
    """An object deleted and made again in a gap: handlers must compare uids."""
    server.put(path_of("x"), config_map())
    updates = []
    recorder.on_update = lambda old, new: updates.append((old.uid, new.uid))
    async with running(informer):
        await server.wait_watchers()
        old_uid = informer.peek("a/x").uid
        with server.unseen():
            server.remove(path_of("x"))
            server.put(path_of("x"), config_map())
        await relist(server)
        assert updates == [(old_uid, informer.peek("a/x").uid)]
    assert updates[0][0] != updates[0][1]


# ---------------------------------------------------------------------- own writes
async def test_s3_cache_changes_before_handlers_are_told_of_every_version(server, informer):
    """TestUpdate: no two changes are made one, and a handler may read what it is told of."""

    class Reader(Recorder):
        def on_update(self, old, new):
            super().on_update(old, new)
            seen.append((informer.peek(new.key).resource_version, new["data"]["value"]))

        def on_delete(self, obj):
            super().on_delete(obj)
            seen.append((informer.peek(obj.key), "gone"))

    seen = []
    informer.add_handler(Reader())
    async with running(informer):
        await server.wait_watchers()
        for value in "0123":
            server.put(path_of("x"), config_map(value))
        server.remove(path_of("x"))
        await eventually(lambda: len(seen) == 4)
    assert seen == [("102", "1"), ("103", "2"), ("104", "3"), (None, "gone")]


class Shares(Recorder):
    """How many objects were added in each turn of the loop; for the block's time."""

    def __init__(self) -> None:
        super().__init__()
        self.told = [0]
        self.has_all = asyncio.Event()  # the last of 2000

    def on_add(self, obj, *, initial):
        super().on_add(obj, initial=initial)
        self.told[-1] += 1
        if len(self.known) == 2000:
            self.has_all.set()

    def __enter__(self):
        self._turn()
        return self

    def __exit__(self, *_):
        self._next.cancel()

    def _turn(self) -> None:
        self.told.append(0)
        self._next = asyncio.get_running_loop().call_soon(self._turn)


@pytest.mark.parametrize("streaming", [False, True])
async def test_s20_others_get_turns_while_a_long_list_is_handed_out(server, api, streaming):
    """TestProcessDeltasInBatch: at least one after every 100 objects."""
    put_2000(server)
    informer = Informer(api, CONFIG_MAPS, streaming=streaming)
    with Shares() as shares:
        informer.add_handler(shares)
        async with running(informer):
            await shares.has_all.wait()
    assert max(shares.told) <= 100


async def test_s20_others_get_turns_in_a_flood_of_events(server, informer):
    """At least one after every 16, however many come at once."""
    async with running(informer):
        await server.wait_watchers()
        with Shares() as shares:
            informer.add_handler(shares)
            put_2000(server)
            await shares.has_all.wait()
    assert max(shares.told) <= 16


def put_2000(server) -> None:
    for number in range(2000):
        server.put(path_of(f"x{number}"), config_map())


async def test_s18_own_write_is_in_the_cache_only_with_its_event(server, api, informer):
    """The gate of own writes rests on this: the version moves with the cache, never before it."""
    async with running(informer):
        await server.wait_watchers()
        server.frozen = True
        written = await api.create(CONFIG_MAPS, named("x"), namespace="a")
        await asyncio.sleep(5)
        assert informer.last_resource_version == "100"
        assert informer.get("a/x") is None
        server.frozen = False
        await eventually(
            lambda: informer.last_resource_version == written["metadata"]["resourceVersion"]
        )
        assert informer.get("a/x") is not None


async def test_s19_version_moves_with_bookmarks_too(server, informer):
    """Else a write to an object outside the informer's selector would be waited for in vain."""
    async with running(informer):
        await server.wait_watchers()
        server.bookmark()
        await eventually(lambda: informer.last_resource_version_of("a/x") == "101")


# ---------------------------------------------------------------------- reading
async def test_s16_cache_hands_out_copies(server, informer):
    server.put(path_of("x"), config_map("1"))
    async with running(informer):
        await informer.wait_synced()
        informer.get("a/x")["data"]["value"] = "edited"
        assert informer.get("a/x")["data"]["value"] == "1"


async def test_s16_what_handlers_are_given_cannot_be_changed(server, informer, recorder):
    server.put(path_of("x"), config_map("1", app="etcd"))
    async with running(informer):
        await informer.wait_synced()
    obj = informer.peek("a/x")
    with pytest.raises(AttributeError):
        obj.uid = "mine"
    with pytest.raises(TypeError):
        obj.labels["app"] = "mine"
    obj["data"]["value"] = "mine"
    assert obj.body() == informer.get("a/x")
    assert obj["data"] == {"value": "1"}


async def test_listed_objects_have_kind_and_api_version(server, informer):
    """Items of a list come without them; objects of a watch have them."""
    bare = config_map()
    del bare["kind"], bare["apiVersion"]
    server.put(path_of("x"), bare)
    async with running(informer):
        await informer.wait_synced()
    assert informer.get("a/x")["kind"] == "ConfigMap"
    assert informer.get("a/x")["apiVersion"] == "v1"


async def test_s2_index_follows_label_and_owner(server, informer):
    owner = {"uid": "u1", "controller": True, "kind": "K", "name": "n", "apiVersion": "v1"}
    obj = config_map(cluster="c1")
    obj["metadata"]["ownerReferences"] = [{"uid": "other"}, owner]
    server.put(path_of("x"), obj)
    async with running(informer):
        await server.wait_watchers()
        assert [o["metadata"]["name"] for o in informer.by_index("owner", "u1")] == ["x"]
        assert informer.by_index("owner", "other") == []
        server.put(path_of("x"), config_map(cluster="c2"))
        await eventually(lambda: informer.by_index("cluster", "c2"))
        assert informer.by_index("cluster", "c1") == []
        assert informer.by_index("owner", "u1") == []


async def test_s2_undeclared_index_is_an_error(informer):
    with pytest.raises(KeyError):
        informer.by_index("colour", "red")


async def test_r31_s15_scope_is_narrowed_on_the_server(server, api):
    server.put(path_of("in"), config_map(app="etcd"))
    server.put(path_of("out"), config_map(app="other"))
    server.put(path_of("elsewhere", "b"), config_map(app="etcd"))
    informer = Informer(api, CONFIG_MAPS, namespace="a", label_selector="app=etcd")
    async with running(informer):
        await server.wait_watchers()
        server.put(path_of("out"), config_map(app="etcd"))
        await eventually(lambda: len(informer.keys()) == 2)
        server.put(path_of("in"), config_map())
        await eventually(lambda: informer.keys() == ["a/out"])


# ---------------------------------------------------------------------- handlers
async def test_s13_failing_handler_disturbs_neither_cache_nor_others(server, informer, caplog):
    class Broken(Recorder):
        def on_add(self, obj, *, initial):
            raise ValueError(obj.key)

    informer.add_handler(Broken())
    healthy = Recorder()
    informer.add_handler(healthy)
    server.put(path_of("x"), config_map())
    async with running(informer, handler_errors=2):
        await server.wait_watchers()
        server.put(path_of("y"), config_map())
        await eventually(lambda: len(healthy.events) == 2)
    assert "ValueError: a/x" in caplog.text


async def test_s12_removed_handler_is_not_called_again(server, informer):
    recorder = Recorder()
    registration = informer.add_handler(recorder)
    async with running(informer):
        await server.wait_watchers()
        registration.remove()
        registration.remove()
        server.put(path_of("x"), config_map())
        await eventually(informer.keys)
    assert recorder.events == []
    assert not registration.is_active


async def test_s12_handler_may_remove_itself(server, informer):
    class Once(Recorder):
        def on_add(self, obj, *, initial):
            super().on_add(obj, initial=initial)
            registration.remove()

    once = Once()
    registration = informer.add_handler(once)
    for number in range(3):
        server.put(path_of(f"x{number}"), config_map())
    async with running(informer):
        await informer.wait_synced()
    assert len(once.events) == 1


async def test_s12_handler_for_a_stopped_informer_is_refused(informer):
    """TestAddOnStoppedSharedInformer."""
    async with running(informer):
        await informer.wait_synced()
    with pytest.raises(InformerStoppedError):
        informer.add_handler(Recorder())


async def test_s17_second_start_is_refused(informer):
    """TestSharedInformerStartRace."""
    async with running(informer):
        await informer.wait_synced()
        with pytest.raises(RuntimeError):
            await informer.run()


async def test_s17_end_leaves_no_task_and_no_watch_behind(server, informer, recorder):
    """TestShutdown, TestStateSharedInformer: and nobody is told of anything any more."""
    async with running(informer):
        await server.wait_watchers()
        assert server.watcher_count == 1
    await server.wait_watchers(0)
    server.put(path_of("x"), config_map())
    await asyncio.sleep(600)
    own = {task for task in asyncio.all_tasks() if "informers" in str(task.get_coro())}
    assert own == set()
    assert recorder.events == []


async def test_s10_s17_waiting_ends_with_the_informer(server, informer):
    server.on_every("list", hang)
    registration = informer.add_handler(Recorder())
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(_stopped(w)) for w in (informer, registration)]
        async with running(informer):
            await server.wait_seen("list")
    assert [wait.result() for wait in waits] == [True, True]


async def _stopped(waiting_for) -> bool:
    with pytest.raises(InformerStoppedError):
        await waiting_for.wait_synced()
    return True


async def test_statistics_tell_what_the_informer_did(server, informer):
    server.put(path_of("x"), config_map())
    async with running(informer):
        await server.wait_watchers()
        statistics = informer.statistics()
    assert (statistics.resource, statistics.namespace) == ("configmaps", "")
    assert (statistics.objects, statistics.resource_version) == (1, "101")
    assert (statistics.reflector.lists, statistics.reflector.watches) == (1, 1)
