"""The steps that change etcd: what is asked of the leader, and what its answers mean.

Etcd's answers are scripted; that real members give them is held by tests/integration/etcd.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from api.labels import CLUSTER_UID_LABEL
from api.reasons import Reason
from controllers.cluster.act import perform
from controllers.cluster.outcome import Changed, Done, NotYet, Rejected
from controllers.cluster.plan.steps import (
    AddLearner,
    DisarmAlarm,
    MoveLeader,
    PromoteLearner,
    RemoveMember,
)
from controllers.resources import CLAIMS
from controllers.writer import LeaseTooShortError, Writer
from etcd.errors import (
    LearnerNotReadyError,
    MemberExistsError,
    MemberNotFoundError,
    NotALearnerError,
    NotLeaderError,
    PeerURLExistsError,
    RequestTimedOutError,
    TooManyLearnersError,
    UnhealthyClusterError,
)
from etcd.ids import MemberID
from etcd.maintenance import Alarm, AlarmKind
from informers.expectations import OwnWrites
from tests.unit.controllers.cluster.builders import UID, etcd, member_id, observed

pytestmark = pytest.mark.looptime

URL = "http://db-3.db-peer.prod.svc.cluster.local:2380"
ADD = AddLearner(name="db-3", peer_urls=(URL,), claim="data-db-3", old_claim="")
REMOVE = RemoveMember(name="db-2", id=member_id(2), voters=3, why="spec.size is 1")
PROMOTE = PromoteLearner(name="db-3", id=MemberID(0xB7))
MOVE = MoveLeader(leader="db-0", target="db-1", target_id=member_id(1))


class Leader:
    """The leader's client: notes each call; `refusal` is raised by the one that changes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.timeouts: list[float] = []
        self.refusal: Exception | None = None
        self.members = etcd(3).members
        self.cluster = SimpleNamespace(
            member_list=self._list,
            member_add=lambda **call: self._change("add", call),
            member_remove=lambda member, **call: self._change("remove", call, member),
            member_promote=lambda member, **call: self._change("promote", call, member),
        )
        self.maintenance = SimpleNamespace(
            move_leader=lambda member, **call: self._change("move", call, member),
            disarm=lambda alarm, **call: self._change("disarm", call, alarm),
        )

    async def _list(self, *, linearizable, timeout_s):
        assert linearizable
        return SimpleNamespace(members=self.members)

    async def _change(self, name, call, argument=None):
        if self.refusal is not None:
            raise self.refusal
        self.timeouts.append(call["timeout_s"])
        self.calls.append((name, argument or (call["peer_urls"], call["is_learner"])))


class Clients:
    """Knows the leader alone."""

    def __init__(self, leader: Leader) -> None:
        self._leader = leader

    def client(self, endpoint):
        assert endpoint.pod == "db-0"
        return self._leader


@pytest.fixture
def leader():
    return Leader()


@pytest.fixture
async def take(api, leader):
    """Take a step with so many seconds of our Lease left."""

    async def take(step, seen=None, lease_s=float("inf")):
        clock = asyncio.get_running_loop().time
        own_writes = OwnWrites(clock=clock)
        writer = Writer(api, own_writes, "prod/db", remaining_s=lambda: lease_s)
        return await perform(step, seen or observed(), writer, Clients(leader))

    return take


@pytest.mark.parametrize(
    ("step", "call"),
    [
        (ADD, ("add", ((URL,), True))),
        (REMOVE, ("remove", member_id(2))),
        (PROMOTE, ("promote", MemberID(0xB7))),
        (MOVE, ("move", member_id(1))),
        (
            DisarmAlarm(id=MemberID(0xDEAD), kind=AlarmKind.CORRUPT),
            ("disarm", Alarm(member_id=MemberID(0xDEAD), kind=AlarmKind.CORRUPT)),
        ),
    ],
)
async def test_each_step_is_one_call_to_the_leader(take, leader, step, call):
    assert await take(step) == Done()
    assert leader.calls == [call]


@pytest.mark.parametrize(
    ("step", "refusal", "outcome"),
    [
        (ADD, PeerURLExistsError, Done),
        (ADD, MemberExistsError, NotYet),
        (ADD, TooManyLearnersError, Changed),
        (ADD, UnhealthyClusterError, NotYet),
        (ADD, RequestTimedOutError, NotYet),
        (REMOVE, MemberNotFoundError, Done),
        (REMOVE, UnhealthyClusterError, NotYet),
        (PROMOTE, NotALearnerError, Done),
        (PROMOTE, LearnerNotReadyError, NotYet),
        (MOVE, NotLeaderError, Changed),
    ],
)
async def test_what_a_refusal_means(take, leader, step, refusal, outcome):
    leader.refusal = refusal("etcd's words")

    assert isinstance(await take(step), outcome)


async def test_nobody_is_removed_from_a_list_that_has_changed(take, leader):
    leader.members = leader.members[:2]

    assert await take(REMOVE) == Changed(what="etcd's member list")
    assert leader.calls == []


async def test_nothing_is_asked_while_nobody_leads(take, leader):
    silent = observed(etcd=etcd(3, statuses={}))

    assert isinstance(await take(REMOVE, silent), Changed)
    assert leader.calls == []


async def test_call_ends_before_our_lease_does(take, leader):
    await take(PROMOTE, lease_s=5.0)

    assert leader.timeouts == [4.0]
    with pytest.raises(LeaseTooShortError):
        await take(PROMOTE, lease_s=1.0)


@pytest.mark.parametrize(("owner", "outcome"), [(UID, Changed), ("another", Rejected)])
async def test_learner_is_not_added_over_a_volume_that_is_there(
    take, leader, server, owner, outcome
):
    labels = {CLUSTER_UID_LABEL: owner}
    server.put(CLAIMS.path("prod", "data-db-3"), {"metadata": {"labels": labels}, "spec": {}})

    found = await take(ADD)

    assert isinstance(found, outcome)
    assert leader.calls == []
    if isinstance(found, Rejected):
        assert found.reason is Reason.LEFTOVER_VOLUMES
