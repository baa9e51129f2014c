"""The own-write gate: a key waits until its informer has seen our last writes (KEP-5647)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from informers.expectations import EXPIRY_S, OwnWrites
from informers.resource import Resource

PODS = Resource("", "v1", "pods", "Pod")
SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")


class Bench:
    """A gate, its clock and the informers' positions."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.gate = OwnWrites(clock=lambda: self.now)
        self.last_rv: dict[Resource, str] = {PODS: "100", SETS: "100"}

    def wrote(self, rv: str, *, owner="ns/a", resource=PODS, key="ns/a-0", uid="u1") -> None:
        self.gate.wrote(owner, resource, key, rv, uid)

    def waiting(self, owner="ns/a") -> list[str]:
        waiting = self.gate.waiting_for(owner, lambda resource, _: self.last_rv[resource])
        return [rv for _, _, rv in waiting]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_c20_key_waits_until_its_informer_has_seen_the_write(bench):
    bench.wrote("105")
    assert bench.waiting() == ["105"]

    bench.last_rv[PODS] = "104"
    assert bench.waiting() == ["105"]
    bench.last_rv[PODS] = "105"
    assert bench.waiting() == []


def test_wait_names_what_it_waits_for(bench):
    bench.wrote("105")

    waiting = bench.gate.waiting_for("ns/a", lambda *_: "100")
    assert waiting == ((PODS, "ns/a-0", "105"),)


def test_c20_other_keys_do_not_wait(bench):
    bench.wrote("105")

    assert bench.waiting(owner="ns/b") == []


def test_c20_each_resource_is_measured_by_its_own_informer(bench):
    bench.wrote("105", resource=PODS)
    bench.wrote("106", resource=SETS)
    bench.last_rv[PODS] = "200"

    assert bench.waiting() == ["106"]


def test_versions_are_compared_as_numbers_of_any_length(bench):
    bench.wrote("1000")
    bench.last_rv[PODS] = "999"
    assert bench.waiting() == ["1000"]

    bench.last_rv[PODS] = "9" * 40
    assert bench.waiting() == []


@pytest.mark.parametrize(
    ("written", "seen"),
    [("abc", "100"), ("105", "xyz"), ("", "100"), ("105", ""), ("0105", "100")],
    ids=["opaque write", "opaque informer", "no write version", "no list yet", "leading zero"],
)
def test_c20_versions_without_an_order_count_as_seen(bench, written, seen):
    bench.wrote(written)
    bench.last_rv[PODS] = seen

    assert bench.waiting() == []


def test_c19_write_is_forgotten_after_five_minutes(bench):
    bench.wrote("105")
    bench.now += EXPIRY_S - 1
    assert bench.waiting() == ["105"]

    bench.now += 1
    assert bench.waiting() == []


def test_writing_nothing_new_does_not_prolong_the_wait(bench):
    """A no-op apply answers with the version that is there already."""
    bench.wrote("105")
    bench.now += EXPIRY_S - 1
    bench.wrote("105")
    bench.now += 1

    assert bench.waiting() == []


def test_c19_newest_write_counts_in_any_order_of_answers(bench):
    bench.wrote("107")
    bench.wrote("105")
    bench.last_rv[PODS] = "106"

    assert bench.waiting() == ["107"]


def test_c20_object_made_anew_replaces_the_old_ones_write(bench):
    bench.wrote("107", uid="u1")
    bench.wrote("103", uid="u2")
    bench.last_rv[PODS] = "105"

    assert bench.waiting() == []


def test_c20_deleted_object_is_not_waited_for(bench):
    bench.wrote("105")
    bench.gate.deleted("ns/a", PODS, "ns/a-0")

    assert bench.waiting() == []


def test_c19_deletion_of_an_earlier_life_changes_nothing(bench):
    bench.wrote("105", uid="u2")
    bench.gate.deleted("ns/a", PODS, "ns/a-0", uid="u1")

    assert bench.waiting() == ["105"]


def test_deletion_of_what_was_never_written_is_no_error(bench):
    bench.gate.deleted("ns/a", PODS, "ns/a-0", uid="u1")

    assert bench.waiting() == []


def test_forgotten_owner_waits_for_nothing(bench):
    bench.wrote("105")
    bench.gate.forget("ns/a")
    bench.gate.forget("ns/never-seen")

    assert bench.waiting() == []


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 50)), max_size=30))
def test_c20_gate_is_open_exactly_when_the_newest_write_was_seen(writes):
    bench = Bench()
    bench.last_rv[PODS] = "25"
    for key, rv in writes:
        bench.wrote(str(rv), key=f"ns/{key}")
    newest = {key: max(rv for k, rv in writes if k == key) for key, _ in writes}

    assert sorted(map(int, bench.waiting())) == sorted(rv for rv in newest.values() if rv > 25)
