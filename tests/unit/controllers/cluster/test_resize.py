"""Members are given other resources in place where that can be, and are restarted where not."""

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.labels import NOT_RESIZED_ANNOTATION, RESIZED_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from api.reasons import Reason
from controllers.cluster.observed import Problem
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import DeletePod, MoveLeader, Wait
from controllers.cluster.plan.version_steps import RefuseResize, ResizePod
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import NOW, REVISION, etcd, live_of, observed, pod

OLD = "db-old"
BEFORE = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
WANTED = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "4Gi"}}
NOTED = {RESIZED_ANNOTATION: REVISION}
REFUSED = {NOT_RESIZED_ANNOTATION: REVISION}
DEFERRED = {"resizing": "Deferred: no room", "resizing_since": NOW - timedelta(seconds=59)}


def cluster(*pods, wanted=WANTED, of=3, template=None):
    """A cluster whose template asks for `wanted`; `pods` says of each what differs from one that
    was made before, with the resources of then.
    """
    changes = {"podTemplate": {"spec": template}} if template else {}
    seen = observed(of, spec_fields={"resources": wanted, **changes})
    made = seen.live["StatefulSet", "db"]["spec"]["template"]["metadata"]["annotations"]
    return dataclasses.replace(
        seen, pods=tuple(_pod(n, made, pods[n] if n < len(pods) else {}) for n in range(of))
    )


def _pod(ordinal, made, changes):
    notes = changes.get("annotations", {})
    given = notes.get(RESIZED_ANNOTATION) or changes.get("revision", OLD)
    fields = {"resources": BEFORE, **changes, "revision": given, "annotations": {**made, **notes}}
    return pod(ordinal, **fields)


def resized(**changes):
    return {"annotations": NOTED, "resources": WANTED, **changes}


def step(*pods, **changes):
    return plan(cluster(*pods, **changes)).step


def up_to_date(of):
    conditions = next_status(of, plan(of), None).conditions
    return next((c.status, c.reason) for c in conditions if c.type == "UpToDate")


class TestAsked:
    def test_pod_that_runs_is_given_the_resources_of_the_newest_template(self):
        assert step() == ResizePod(name="db-0", uid="pod-0", resources=WANTED, revision=REVISION)

    def test_next_one_follows_when_the_first_has_them(self):
        assert step(resized()).name == "db-1"

    def test_next_one_waits_while_the_first_gets_them(self):
        of = cluster(resized(resizing="in progress"))

        assert plan(of).step.reason is Reason.ROLLING_OUT
        assert "db-0 (in progress)" in plan(of).step.message
        assert up_to_date(of) == ("False", "RollingOut")

    def test_next_one_waits_while_the_first_is_not_well_with_them(self):
        """What is too little for one must not end all of them."""
        of = cluster(resized(ready=False))

        assert plan(of).step.reason is Reason.ROLLING_OUT
        assert "To be given other resources in place: db-1, db-2" in plan(of).step.message
        assert "waiting for db-0" in plan(of).step.message
        assert up_to_date(of) == ("False", "RollingOut")

    def test_who_is_not_well_is_first_also_while_another_is_resized(self):
        assert step(resized(resizing="in progress"), {}, {"ready": False}).name == "db-2"

    def test_two_voters_are_resized_though_neither_could_be_restarted(self):
        of = cluster()
        status = of.status.model_copy(update={"voter_ordinals": (0, 1)})
        two = dataclasses.replace(etcd(3), members=etcd(3).members[:2])
        of = dataclasses.replace(of, status=status, etcd=two, pods=of.pods[:2])

        assert isinstance(plan(dataclasses.replace(of, live=live_of(of))).step, ResizePod)

    def test_all_is_settled_when_all_have_them(self):
        of = cluster(resized(), resized(), resized())

        assert plan(of).step.settled
        assert up_to_date(of) == ("True", "UpToDate")

    def test_last_one_under_way_is_not_up_to_date(self):
        of = cluster(resized(), resized(), resized(resizing="in progress"))

        assert not plan(of).step.settled
        assert up_to_date(of) == ("False", "RollingOut")

    def test_quantity_in_other_words_is_the_same(self):
        same = {"requests": {"cpu": "2000m", "memory": "1024Mi"}, "limits": {"memory": "4096Mi"}}

        assert plan(cluster(*[resized(resources=same)] * 3)).step.settled

    def test_what_is_limited_and_not_requested_is_requested_like_in_a_new_pod(self):
        one = {"cpu": "1"}
        asked = step(
            {"resources": {"limits": one, "requests": one}}, wanted={"limits": {"cpu": "2"}}
        )

        assert asked.resources == {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}

    def test_template_that_its_controller_has_not_seen_is_waited_for(self):
        of = cluster()
        made = of.live["StatefulSet", "db"]
        stale = {**made, "metadata": {**made["metadata"], "generation": 2}}
        of = dataclasses.replace(of, live={**of.live, ("StatefulSet", "db"): stale})

        assert isinstance(plan(of).step, Wait)


class TestAskedAgain:
    def test_noted_order_that_did_not_reach_the_pod(self):
        """The operator ended between its note and the request, or the server dropped it."""
        assert step({"annotations": NOTED}, resized(), resized()).name == "db-0"

    def test_template_that_is_the_one_before_again(self):
        """What its node could not give is still in the pod's spec, and may come at any time."""
        earlier = {"annotations": {NOT_RESIZED_ANNOTATION: "db-between"}, "revision": REVISION}
        has = {"revision": REVISION, "resources": WANTED}
        asked = step({**earlier, "resources": BEFORE}, has, has)

        assert (asked.name, asked.resources) == ("db-0", WANTED)
        assert step({**earlier, "resources": WANTED}, has, has).settled


class TestRestartedInstead:
    """The leader of these is db-0, so that db-2 is the first that is restarted."""

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"annotations": {TEMPLATE_HASH_ANNOTATION: "other"}}, id="more differs"),
            pytest.param({"annotations": REFUSED}, id="refused by the server"),
            pytest.param(
                {
                    "annotations": REFUSED,
                    "resources": WANTED,
                    "resizing": "Infeasible: too much",
                    "resize_failed": True,
                },
                id="refused by its node",
            ),
        ],
    )
    def test_pod_that_cannot_have_them_as_it_is(self, changes):
        found = step(resized(), resized(), changes)

        assert (type(found), found.name) == (DeletePod, "db-2")

    def test_not_a_pod_that_only_somebody_else_has_noted_something_on(self):
        assert isinstance(step(resized(), resized(), {"annotations": {"theirs": "x"}}), ResizePod)

    @pytest.mark.parametrize("kind", ["requests", "limits"])
    def test_pod_that_has_what_the_template_no_longer_names(self, kind):
        """Servers take nothing away in place, and a merge patch would leave it as it is."""
        more = {**BEFORE, kind: {**BEFORE[kind], "ephemeral-storage": "1Gi"}}
        found = step(resized(), resized(), {"resources": more})

        assert (type(found), found.name) == (DeletePod, "db-2")

    def test_pod_that_keeps_what_it_was_refused_though_its_own_template_is_the_newest(self):
        """Its node may still give it what nobody asks for any more."""
        less = {"requests": WANTED["requests"]}
        has = {"revision": REVISION, "resources": less}
        kept = {"annotations": {NOT_RESIZED_ANNOTATION: "db-between"}, "resources": WANTED}
        of = cluster(has, has, {**has, **kept}, wanted=less)

        assert (type(plan(of).step), plan(of).step.name) == (DeletePod, "db-2")
        assert up_to_date(of)[0] == "False"

    def test_pod_that_was_refused_what_the_template_that_made_it_names_again(self):
        """Given less in place since, it asks for the right resources and does not have them."""
        has = {"revision": REVISION, "resources": WANTED}
        of = cluster(has, has, {**has, "annotations": REFUSED})

        assert (type(plan(of).step), plan(of).step.name) == (DeletePod, "db-2")
        assert up_to_date(of)[0] == "False"

    def test_pod_whose_container_would_be_restarted_by_it(self):
        policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
        template = {"containers": [{"name": "etcd", "resizePolicy": policy}]}

        assert (type(step(template=template)), step(template=template).name) == (DeletePod, "db-2")

    def test_pod_that_is_down(self):
        bad = Problem(reason=Reason.CRASH_LOOPING, message="OOMKilled")
        down = {"running": False, "ready": False, "problem": bad}
        of = cluster({}, {}, down)
        silent = {name: s for name, s in of.etcd.statuses.items() if name != "db-2"}

        of = dataclasses.replace(of, etcd=etcd(3, statuses=silent))

        assert (type(plan(of).step), plan(of).step.name) == (DeletePod, "db-2")


class TestHopeless:
    @pytest.mark.parametrize(
        "told",
        [
            pytest.param({"resizing": "Infeasible: too much", "resize_failed": True}, id="never"),
            pytest.param(
                DEFERRED | {"resizing_since": NOW - timedelta(minutes=1)}, id="not for a minute"
            ),
        ],
    )
    def test_it_is_given_up_and_noted_with_the_nodes_words(self, told):
        assert step(resized(**told)) == RefuseResize(
            name="db-0", uid="pod-0", revision=REVISION, why=told["resizing"]
        )

    def test_node_has_a_minute_to_find_room(self):
        found = step(resized(**DEFERRED), resized(), resized())

        assert isinstance(found, Wait)
        assert "db-0 (Deferred: no room)" in found.message

    def test_words_of_an_earlier_change_say_nothing_of_this_one(self):
        earlier = {RESIZED_ANNOTATION: "db-between"}
        told = {"resizing": "Infeasible: too much", "resize_failed": True}

        assert isinstance(step({"annotations": earlier, **told}), ResizePod)


class Nodes:
    """Pods whose server and nodes answer as they are told to; holds what may never happen."""

    def __init__(self, size, leader):
        self.now, self.leader = NOW, leader % size
        self.pods = {n: {} for n in range(size)}
        self._formed = cluster(of=size)

    def seen(self):
        of = self._formed
        made = of.pods[0].annotations
        leads = of.etcd.members[self.leader].id
        statuses = {
            name: dataclasses.replace(status, leader=leads)
            for name, status in of.etcd.statuses.items()
        }
        return dataclasses.replace(
            of,
            now=self.now,
            pods=tuple(_pod(n, made, changes) for n, changes in self.pods.items()),
            etcd=dataclasses.replace(of.etcd, statuses=statuses),
        )

    def take(self, answer):
        """One reconcile; `answer` is what becomes of a pod that is resized."""
        of = self.seen()
        step = plan(of).step
        match step:
            case ResizePod(name=name):
                n = int(name[-1])
                others = [one for one in of.pods if one.ordinal != n]
                begun = RESIZED_ANNOTATION in of.pods[n].annotations
                assert begun or all(one.ready and not one.resizing for one in others)
                self.pods[n] = answer
            case RefuseResize(name=name):
                self.pods[int(name[-1])] = {"annotations": REFUSED, "resources": WANTED}
            case DeletePod(name=name):
                n = int(name[-1])
                assert NOT_RESIZED_ANNOTATION in of.pods[n].annotations
                assert all(one.ready for one in of.pods if one.ordinal != n)
                self.pods[n] = {"revision": REVISION, "resources": WANTED, "ready": False}
            case MoveLeader(target=target):
                self.leader = int(target[-1])
            case _:
                assert isinstance(step, Wait)

    def time_passes(self, seconds):
        """Who is starting has started, and what is under way has arrived or is put off still."""
        self.now += timedelta(seconds=seconds)
        for n, changes in self.pods.items():
            over = {"ready"} | ({"resizing"} if changes.get("resizing") == "in progress" else set())
            self.pods[n] = {key: value for key, value in changes.items() if key not in over}


ANSWERS = st.sampled_from(
    [
        resized(),
        resized(resizing="in progress"),
        resized(resizing="Deferred: no room", resizing_since=NOW),
        resized(resizing="Infeasible: never", resize_failed=True),
        {"annotations": NOTED},  # dropped on its way
        {"annotations": REFUSED},  # by the server
    ]
)


@settings(max_examples=40)  # each is a whole course of steps
@given(
    size=st.sampled_from([1, 3, 5]),
    leader=st.integers(0, 4),
    course=st.lists(st.tuples(ANSWERS, st.sampled_from([0, 1, 61])), max_size=15),
)
def test_whatever_server_and_nodes_say_all_get_them_one_by_one(size, leader, course):
    nodes = Nodes(size, leader)
    for answer, seconds in course:
        nodes.take(answer)
        nodes.time_passes(seconds)
    for _ in range(5 * size):
        nodes.take(resized())
        nodes.time_passes(61)

    assert plan(nodes.seen()).step.settled
    assert all(one.resources == WANTED for one in nodes.seen().pods)
