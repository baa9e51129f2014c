"""The store beside a naive model: any sequence of changes leaves both with the same content."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from informers.decode import Object
from informers.resource import Resource
from informers.store import (
    Added,
    Deleted,
    DeletedFinalStateUnknown,
    Store,
    Updated,
    by_label,
    by_owner,
)

PODS = Resource("", "v1", "pods", "Pod")
keys = st.sampled_from(["a/1", "a/2", "b/1", "b/2", "b/3"])
values = st.sampled_from(["", "red", "green"])


def obj(key: str, version: int, *, colour: str = "", owner: str = "", uid: str = "u") -> Object:
    namespace, name = key.split("/")
    labels = {"colour": colour} if colour else {}
    return Object(key, namespace, name, uid, str(version), labels, owner, PODS, b"{}")


def words(o: Object) -> list[str]:
    """An index with several values per object, one of them twice."""
    return [o.owner_uid, o.labels.get("colour", ""), o.owner_uid] if o.owner_uid else []


INDEXERS = {"owner": by_owner, "colour": by_label("colour"), "words": words}


class StoreBesideAModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.store = Store(INDEXERS)
        self.model: dict[str, Object] = {}
        self.told: dict[str, str] = {}  # what a handler would believe
        self.version = 0

    def made(self, key, colour, owner) -> Object:
        self.version += 1
        return obj(key, self.version, colour=colour, owner=owner)

    def hear(self, change) -> None:
        match change:
            case Added(new):
                assert new.key not in self.told
                self.told[new.key] = new.resource_version
            case Updated(old, new):
                assert self.told[old.key] == old.resource_version != new.resource_version
                self.told[new.key] = new.resource_version
            case Deleted(last):
                del self.told[last.key]

    @rule(key=keys, colour=values, owner=values)
    def put(self, key, colour, owner):
        self.model[key] = new = self.made(key, colour, owner)
        self.hear(self.store.put(new))

    @rule(key=keys)
    def put_the_same_again(self, key):
        if key in self.model:
            assert self.store.put(self.model[key]) is None

    @rule(key=keys)
    def remove(self, key):
        gone = self.made(key, "", "")
        known = self.model.pop(key, None) is not None
        change = self.store.remove(gone)
        assert (change is not None) == known
        self.hear(change)

    @rule(kept=st.sets(keys), fresh=st.dictionaries(keys, st.tuples(values, values)))
    def replace(self, kept, fresh):
        listed = {k: v for k, v in self.model.items() if k in kept}
        listed |= {key: self.made(key, *labels) for key, labels in fresh.items()}
        self.model = listed
        for change in self.store.replace(listed.values(), str(self.version)):
            self.hear(change)

    @invariant()
    def content_is_the_models(self):
        assert {k: self.store.get(k) for k in self.store.keys()} == self.model  # noqa: SIM118 - not a dict
        assert self.told == {k: o.resource_version for k, o in self.model.items()}

    @invariant()
    def indexes_are_what_a_scan_finds(self):
        for name, indexer in INDEXERS.items():
            for value in ("", "red", "green"):
                expected = {k for k, o in self.model.items() if value in indexer(o)}
                assert {o.key for o in self.store.by_index(name, value)} == expected

    @invariant()
    def no_empty_bucket_stays_behind(self):
        used = sum(len(set(f(o))) for f in INDEXERS.values() for o in self.model.values())
        buckets = [b for index in self.store._indexes.values() for b in index.values()]
        assert all(buckets)
        assert sum(map(len, buckets)) == used


TestStoreBesideAModel = StoreBesideAModel.TestCase
TestStoreBesideAModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_s4_replace_deletes_first_by_tombstone_then_follows_the_list():
    store = Store({})
    store.replace([obj("a/1", 1), obj("a/2", 2)], "2")
    changes = store.replace([obj("a/3", 5), obj("a/2", 4)], "5")
    assert [type(change) for change in changes] == [Deleted, Added, Updated]
    tombstone = changes[0].last
    assert isinstance(tombstone, DeletedFinalStateUnknown)
    assert (tombstone.key, tombstone.obj.resource_version) == ("a/1", "1")


def test_s6_same_version_of_another_object_is_an_update():
    store = Store({})
    store.put(obj("a/1", 1, uid="first"))
    assert isinstance(store.put(obj("a/1", 1, uid="second")), Updated)


def test_r6_failing_replace_leaves_everything_as_it_was():
    """So the reflector does not take for stored what is not (client-go: a failing Replace)."""

    def strict(o: Object) -> list[str]:
        return [o.labels["colour"]]

    store = Store({"strict": strict})
    store.replace([obj("a/1", 1, colour="red")], "1")
    with pytest.raises(KeyError):
        store.replace([obj("a/2", 2)], "2")
    with pytest.raises(KeyError):
        store.put(obj("a/1", 3))
    assert (list(store.keys()), store.resource_version) == (["a/1"], "1")
    assert [o.key for o in store.by_index("strict", "red")] == ["a/1"]


def test_s4_reader_of_an_old_index_is_not_disturbed_by_a_replace():
    store = Store(INDEXERS)
    store.replace([obj("a/1", 1, colour="red")], "1")
    before = store.by_index("colour", "red")
    store.replace([], "2")
    assert [o.key for o in before] == ["a/1"]
    assert store.by_index("colour", "red") == []
