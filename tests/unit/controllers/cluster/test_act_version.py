"""What a change of version asks of etcd, against members whose answers are scripted.

That real members answer like this is held by tests/integration/etcd/test_change_of_version.py.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reasons import Reason
from api.v1alpha1.cluster_status import DataHash
from controllers.cluster.act import perform
from controllers.cluster.act_version import perform_on_version
from controllers.cluster.outcome import Changed, Done, Hashed, NotYet, Rejected
from controllers.cluster.plan.steps import NudgeLearner
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
)
from controllers.writer import Writer
from etcd.errors import (
    CompactedError,
    DowngradeInProgressError,
    DowngradeTargetError,
    FutureRevisionError,
    NoDowngradeJobError,
    RequestTimedOutError,
)
from etcd.header import Header
from etcd.ids import MemberID
from etcd.maintenance import Alarm, AlarmKind, KeyValueHash
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import CLUSTER_ID, etcd, member_id, observed, status_of
from tests.unit.controllers.cluster.test_upgrade import going

pytestmark = pytest.mark.looptime

HEADER = Header(cluster_id=CLUSTER_ID, member_id=member_id(0), revision=7, raft_term=2)
UNDER_WAY = going("v3.5.35", "v3.6.16", probed=True)


class Member:
    """One member: `data` is what it hashes to, by revision; it has compacted up to `compacted`."""

    def __init__(self, revision=7, compacted=-1, data=None) -> None:
        self.revision, self.compacted = revision, compacted
        self.data: dict[int, int] = data or {}
        self.calls: list[object] = []
        self.refusal: Exception | None = None
        self.entries = self.busy = self.busiest = 0
        self.maintenance = SimpleNamespace(
            status=self._status,
            hash_kv=self._hash,
            disarm=self._disarm,
            downgrade_validate=lambda target, **_: self._ask("validate", target),
            downgrade_enable=lambda target, **_: self._ask("enable", target),
            downgrade_cancel=lambda **_: self._ask("cancel"),
        )

    async def _status(self):
        return status_of(0, revision=self.revision)

    async def _hash(self, *, revision, timeout_s):
        self.calls.append(revision)
        if self.refusal is not None:
            raise self.refusal
        if revision > self.revision:
            raise FutureRevisionError("required revision is a future revision")
        if revision < self.compacted:
            raise CompactedError("required revision has been compacted")
        return KeyValueHash(
            header=HEADER,
            hash=self.data.get(revision, 100 + revision),
            compact_revision=self.compacted,
            hash_revision=revision,
        )

    async def _disarm(self, alarm, *, timeout_s):
        assert alarm == Alarm(member_id=MemberID(0), kind=AlarmKind.NOSPACE)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        await asyncio.sleep(0.001)
        self.busy -= 1
        if self.refusal is not None:
            raise self.refusal
        self.entries += 1

    async def _ask(self, *call):
        if self.refusal is not None:
            raise self.refusal
        self.calls.append(call)


class Clients:
    def __init__(self, *members) -> None:
        self._members = (*members, *three())[:3]

    def client(self, endpoint):
        return self._members[int(endpoint.pod[-1])]


@pytest.fixture
async def take(api):
    """Take a step; the first of the members leads."""

    async def take(step, *members, **changes):
        own_writes = OwnWrites(clock=asyncio.get_running_loop().time)
        writer = Writer(api, own_writes, "prod/db", remaining_s=lambda: 60.0)
        return await perform(step, observed(**changes), writer, Clients(*members))

    return take


def compare(known=None):
    return CompareHashes(known=known, under_way=UNDER_WAY, then=None)


def three(**fields):
    return [Member(**fields) for _ in range(3)]


# ------------------------------------------------------------------ hashes
async def test_all_voters_are_asked_at_the_leaders_revision(take):
    members = three()

    outcome = await take(compare(), *members)

    assert outcome == Hashed(hash=DataHash(revision=7, compact_revision=-1, hash=107))
    assert [member.calls for member in members] == [[7], [7], [7]]


async def test_data_that_differs_is_refused_with_the_hash_of_each(take):
    members = three()
    members[2].data[7] = 1

    outcome = await take(compare(), *members)

    assert outcome == Rejected(
        reason=Reason.HASHES_DIFFER,
        message="The members' data differs at revision 7: db-0 107, db-1 107, db-2 1",
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"compacted": 3, "data": {7: 1}}, id="compacts just now"),
        pytest.param({"compacted": 8, "revision": 9}, id="has compacted the revision"),
        pytest.param({"revision": 6}, id="has not come to it"),
    ],
)
async def test_member_that_cannot_be_compared_just_now_is_asked_again(take, change):
    members = [Member(), Member(), Member(**change)]

    assert isinstance(await take(compare(), *members), NotYet)


async def test_member_that_does_not_answer_is_asked_again(take):
    members = three()
    members[1].refusal = RequestTimedOutError("etcdserver: request timed out")

    assert isinstance(await take(compare(), *members), NotYet)


async def test_known_hash_is_compared_with_where_nothing_was_compacted_since(take):
    known = DataHash(revision=5, compact_revision=-1, hash=105)

    assert await take(compare(known), *three()) == Hashed(hash=known)


async def test_data_that_is_not_what_it_was_before_is_refused(take):
    known = DataHash(revision=5, compact_revision=-1, hash=1)

    outcome = await take(compare(known), *three())

    assert isinstance(outcome, Rejected)
    assert "have the hash 105, and it was 1 before the change of version" in outcome.message


@pytest.mark.parametrize("compacted", [3, 6], ids=["below it", "beyond it"])
async def test_known_hash_of_before_a_compaction_says_nothing(take, compacted):
    known = DataHash(revision=5, compact_revision=-1, hash=1)

    outcome = await take(compare(known), *three(compacted=compacted))

    assert outcome == Hashed(hash=DataHash(revision=7, compact_revision=compacted, hash=107))


MEMBERS = st.lists(
    st.builds(
        Member,
        revision=st.integers(4, 9),
        compacted=st.sampled_from([-1, 3, 6]),
        data=st.dictionaries(st.integers(4, 9), st.sampled_from([1, 2]), max_size=6),
    ),
    min_size=1,
    max_size=5,
)
KNOWN = st.none() | st.fixed_dictionaries(
    {
        "revision": st.integers(4, 9),
        "compact_revision": st.sampled_from([-1, 3]),
        "hash": st.sampled_from([1, 2, 105]),
    }
).map(lambda fields: DataHash(**fields))


@given(MEMBERS, KNOWN)
def test_a_hash_is_that_of_every_voter_at_one_revision_and_compaction(members, known):
    """FutureRevisionError is for the caller: it says "not yet" to any word of etcd's."""
    voters = {f"db-{n}": member for n, member in enumerate(members)}
    asked = perform_on_version(compare(known), voters, members[0], timeout_s=5)
    try:
        outcome = asyncio.run(asked)
    except FutureRevisionError:
        return
    if not isinstance(outcome, Hashed):
        return
    found = outcome.hash
    assert {member.data.get(found.revision, 100 + found.revision) for member in members} == {
        found.hash
    }
    assert {member.compacted for member in members} == {found.compact_revision}
    same = known and found.revision == known.revision
    assert not same or found.compact_revision != known.compact_revision or found == known


# ------------------------------------------------------------------ entries without effect
async def test_log_is_advanced_by_what_is_missing(take):
    leader = Member()

    assert await take(AdvanceLog(until=1000, missing=700), leader) == Done()
    assert leader.entries == 700
    assert leader.busiest <= 64


async def test_one_step_is_soon_over(take):
    leader = Member()

    assert await take(AdvanceLog(until=10_011, missing=10_001), leader) == Done()
    assert leader.entries == 2000


async def test_log_that_cannot_be_advanced_is_tried_again(take):
    leader = Member()
    leader.refusal = RequestTimedOutError("etcdserver: request timed out")

    assert isinstance(await take(AdvanceLog(until=1000, missing=700), leader), NotYet)


async def test_nothing_is_written_after_the_step_has_failed(take):
    """The next reconcile begins anew: what is left over would come on top of that."""
    leader = Member()
    leader.refusal = RequestTimedOutError("etcdserver: request timed out")
    await take(AdvanceLog(until=1000, missing=700), leader)
    leader.refusal = None
    await asyncio.sleep(60)

    assert leader.entries == 0


async def test_learner_gets_exactly_one_entry_and_is_asked_again(take):
    leader = Member()

    outcome = await take(NudgeLearner(name="db-3"), leader)

    assert outcome == NotYet(message="db-3 has not answered yet")
    assert leader.entries == 1


@pytest.mark.parametrize("step", [NudgeLearner(name="db-3"), AdvanceLog(until=11, missing=1)])
async def test_nothing_is_written_while_nobody_leads(take, step):
    leader = Member()

    assert isinstance(await take(step, leader, etcd=etcd(3, statuses={})), Changed)
    assert leader.entries == 0


# ------------------------------------------------------------------ etcd's own downgrade
ENABLE = EnableDowngrade(target="3.5")
CANCEL = CancelDowngrade(target="3.5", why="nobody wants it")


async def test_downgrade_is_validated_before_it_is_enabled(take):
    leader = Member()

    assert await take(ENABLE, leader) == Done()
    assert leader.calls == [("validate", "3.5"), ("enable", "3.5")]


async def test_downgrade_is_cancelled(take):
    leader = Member()

    assert await take(CANCEL, leader) == Done()
    assert leader.calls == [("cancel",)]


@pytest.mark.parametrize(
    ("step", "refusal", "outcome"),
    [
        (ENABLE, DowngradeInProgressError, Done),
        (ENABLE, DowngradeTargetError, NotYet),
        (CANCEL, NoDowngradeJobError, Done),
        (CANCEL, RequestTimedOutError, NotYet),
    ],
)
async def test_what_a_refusal_means(take, step, refusal, outcome):
    leader = Member()
    leader.refusal = refusal("etcd's words")

    assert isinstance(await take(step, leader), outcome)
    assert leader.calls == []
