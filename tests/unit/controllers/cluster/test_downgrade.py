"""A downgrade of etcd is taken back when somebody has to join, or nobody wants it any more; what an
upgrade replaced is not put back too late.
"""

import dataclasses
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from api.v1alpha1.cluster_status import JoiningMember
from controllers.cluster.happenings import happenings
from controllers.cluster.membership import SCALE_OUT
from controllers.cluster.outcome import Done
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import AddLearner, ApplyObjects, RecordSpec
from controllers.cluster.plan.version_steps import CancelDowngrade, EnableDowngrade, RecordUpgrade
from controllers.cluster.status import next_status
from etcd.ids import member_id_hex
from tests.unit.controllers.cluster.builders import NOW, live_of, pod
from tests.unit.controllers.cluster.test_membership import NEW_ID, learner, with_learner
from tests.unit.controllers.cluster.test_upgrade import HASH, going, running

NEW, OLDER = "3.6.16", "3.5.35"
PREPARED = going("v3.6.16", "v3.5.35", probed=True, before=HASH)


def going_down(*versions, applied=None, joins=None, upgrade=PREPARED, **more):
    """Members of these versions while etcd's downgrade to 3.5 is on; db-3 `joins` them."""
    more = {"size": 5, **more} if joins else more
    fields = {"wanted": "v3.5.35", "downgrade": "3.5.0", "storage": "3.5.0", **more}
    of = running(*versions, applied=applied or "v3.6.16", upgrade=upgrade, **fields)
    return joined_by(of, joins) if joins else of


def joined_by(of, joins):
    status = of.status.model_copy(update={"joining": joins})
    of = dataclasses.replace(of, status=status)
    return dataclasses.replace(of, live=live_of(of))


def joining(**fields):
    return JoiningMember(name="db-3", ordinal=3, reason=SCALE_OUT, since=NOW, **fields)


def after(of):
    """The same with what the step has recorded."""
    return dataclasses.replace(of, status=next_status(of, plan(of), Done()))


class TestSomebodyHasToJoin:
    def test_downgrade_is_cancelled_before_the_learner_is_added(self):
        of = going_down(NEW, NEW, NEW, joins=joining())
        planned = plan(of)

        assert planned.rule == "cancel_for_joining"
        assert planned.step.target == "3.5"
        over = going_down(NEW, NEW, NEW, joins=joining(), downgrade=None)
        assert isinstance(plan(over).step, AddLearner)

    def test_event_says_for_whom(self):
        of = going_down(NEW, NEW, NEW, joins=joining())
        made = plan(of)
        news = happenings(of, made, Done(), next_status(of, made, Done()))
        told = {one.reason: one.message for one in news}

        assert told["DowngradeCancelled"] == (
            "The downgrade to 3.5 was cancelled: while it is on, etcd would not let db-3 join"
        )

    def test_template_names_the_newer_version_again_while_nobody_runs_the_older(self):
        of = going_down(NEW, NEW, NEW, applied="v3.5.35", joins=joining())
        step = plan(of).step

        assert isinstance(step, RecordSpec)
        assert step.spec["version"] == "v3.6.16"
        assert step.rendered.pod_template["spec"]["containers"][0]["image"].endswith(":v3.6.16")
        assert "so that a member can join" in step.why

    def test_mixed_cluster_keeps_its_template(self):
        """Whoever runs the older version goes on, and so may the next one."""
        of = going_down(OLDER, NEW, NEW, applied="v3.5.35", joins=joining())

        assert plan(of).rule == "cancel_for_joining"

    def test_member_that_is_down_counts_by_what_it_ran_last(self):
        of = going_down(OLDER, NEW, NEW, applied="v3.5.35", size=5)
        known = next_status(of, plan(of), None).members
        silent = {name: s for name, s in of.etcd.statuses.items() if name != "db-0"}
        of = dataclasses.replace(
            of,
            status=of.status.model_copy(update={"members": known}),
            etcd=dataclasses.replace(of.etcd, statuses=silent),
            pods=(pod(0, ready=False), pod(1), pod(2)),
        )

        assert plan(joined_by(of, joining())).rule == "cancel_for_joining"

    def test_one_that_has_started_is_barred_no_more(self):
        state = joining(id=member_id_hex(NEW_ID), started=True, listed=(0, 1, 2, 3))
        of = with_learner(going_down(NEW, NEW, NEW, size=5), learner(3))
        of = joined_by(dataclasses.replace(of, pods=(*of.pods[:3], pod(3))), state)

        assert plan(of).rule == "refresh_files"

    def test_upgrade_under_way_bars_nobody(self):
        up = going("v3.5.35", "v3.6.16", probed=True, before=HASH)
        of = running(OLDER, OLDER, OLDER, applied="v3.6.16", upgrade=up, size=5)

        assert isinstance(plan(joined_by(of, joining())).step, AddLearner)

    def test_upgrade_is_not_taken_back_for_it(self):
        up = going("v3.5.35", "v3.6.16", probed=True, before=HASH)
        of = running(OLDER, OLDER, OLDER, applied="v3.6.16", upgrade=up, size=5, downgrade="3.4.0")

        assert plan(joined_by(of, joining())).rule == "cancel_for_joining"

    def test_downgrade_of_somebody_else_is_cancelled_too(self):
        of = running(NEW, NEW, NEW, downgrade="3.5.0", size=5)

        assert plan(joined_by(of, joining())).rule == "cancel_for_joining"


class TestUpInstead:
    """A downgrade was prepared, and a newer version than the one that runs is wanted now."""

    up = going("v3.6.16", "v3.7.3", probed=True, before=HASH, log_until=10)

    def wanted(self, **fields):
        return running(NEW, NEW, NEW, wanted="v3.7.3", upgrade=self.up, **fields)

    def test_it_is_cancelled_before_the_newer_version_is_taken(self):
        step = plan(self.wanted(downgrade="3.5.0", storage="3.5.0")).step

        assert isinstance(step, CancelDowngrade)

    def test_data_is_of_the_version_that_runs_by_then(self):
        assert plan(self.wanted(storage="3.5.0")).rule == "wait_for_version"
        assert plan(self.wanted(storage="3.6.0")).step.spec["version"] == "v3.7.3"


class TestTooLateToPutBack:
    """The older version is recorded, and nobody runs it when the template would name it."""

    back = going("v3.6.16", "v3.5.35", probed=True)

    def recorded(self, *versions, storage, named="v3.6.16"):
        fields = {"wanted": "v3.5.35", "storage": storage, "upgrade": self.back}
        of = running(*versions, applied="v3.5.35", **fields)
        live = running(*versions, applied=named).live
        return dataclasses.replace(of, live=live)

    def test_older_one_is_put_back_while_somebody_runs_it(self):
        of = self.recorded(NEW, OLDER, OLDER, storage="3.5.0")

        assert isinstance(plan(of).step, ApplyObjects)

    def test_afterwards_the_template_stays_as_it_is(self):
        of = self.recorded(NEW, NEW, NEW, storage="3.6.0")
        planned = plan(of)

        assert planned.rule == "stay_newer"
        assert planned.step.spec["version"] == "v3.6.16"
        assert plan(after(of)).rule != "correct_drift"

    def test_member_that_is_silent_is_not_counted_on(self):
        of = self.recorded(NEW, NEW, NEW, storage="3.5.0")
        told = {name: s for name, s in of.etcd.statuses.items() if name != "db-0"}
        of = dataclasses.replace(of, etcd=dataclasses.replace(of.etcd, statuses=told))

        assert plan(of).rule == "stay_newer"

    def test_template_that_names_it_already_is_taken_back(self):
        of = self.recorded(NEW, NEW, NEW, storage="3.6.0", named="v3.5.35")

        assert plan(of).rule == "stay_newer"

    def test_template_is_taken_back_before_the_last_one_that_ran_it_is_replaced(self):
        """Off the list it keeps etcd from raising its version no more."""
        of = self.recorded(OLDER, NEW, NEW, storage="3.5.0", named="v3.5.35")
        known = next_status(of, plan(of), None).members
        told = {name: s for name, s in of.etcd.statuses.items() if name != "db-0"}
        lost = JoiningMember(name="db-0", ordinal=0, reason="DataError", since=NOW, old_id="a0")
        status = of.status.model_copy(update={"members": known, "joining": lost})
        of = dataclasses.replace(
            of, status=status, etcd=dataclasses.replace(of.etcd, statuses=told)
        )

        assert plan(of).rule == "stay_newer"

    def test_downgrade_by_etcd_goes_on(self):
        of = going_down(NEW, NEW, NEW, applied="v3.5.35")

        assert plan(of).rule != "stay_newer"


class TestThenItGoesOn:
    lasting = PREPARED.model_copy(update={"fit_since": NOW - timedelta(hours=1)})

    def test_data_must_fit_anew_before_it_is_enabled_again(self):
        """What fitted before it was cancelled may just be changing back."""
        of = going_down(NEW, NEW, NEW, upgrade=self.lasting, downgrade=None)
        planned = plan(of)

        assert planned.step.upgrade.fit_since is None
        assert plan(after(of)).step == EnableDowngrade(target="3.5")

    def test_fit_that_is_as_old_as_the_first_try_takes_nothing(self):
        of = after(going_down(NEW, NEW, NEW, upgrade=self.lasting, downgrade=None))
        upgrade = of.status.upgrade

        step = plan(going_down(NEW, NEW, NEW, upgrade=upgrade)).step

        assert (type(step), step.upgrade.fit_since) == (RecordUpgrade, NOW)


class TestNobodyWantsIt:
    def test_downgrade_without_a_change_of_version_is_cancelled(self):
        step = plan(running(NEW, NEW, NEW, downgrade="3.5.0")).step

        assert step == CancelDowngrade(
            target="3.5", why="spec.version does not ask for it any more"
        )

    def test_not_while_a_member_runs_the_older_version(self):
        of = running(OLDER, NEW, NEW, applied="v3.6.16", storage="3.5.0", downgrade="3.5.0")

        assert not isinstance(plan(of).step, CancelDowngrade)

    def test_not_while_a_member_may_run_the_older_version_unheard(self):
        of = running(NEW, NEW, NEW, downgrade="3.5.0")
        silent = {name: s for name, s in of.etcd.statuses.items() if name != "db-2"}
        of = dataclasses.replace(of, etcd=dataclasses.replace(of.etcd, statuses=silent))

        assert not isinstance(plan(of).step, CancelDowngrade)

    def test_not_the_one_that_is_under_way(self):
        assert not isinstance(plan(going_down(NEW, NEW, NEW)).step, CancelDowngrade)

    def test_another_downgrade_is_cancelled_before_the_wanted_one(self):
        to_36 = going("v3.7.3", "v3.6.16", probed=True, before=HASH)
        of = running("3.7.3", "3.7.3", "3.7.3", wanted="v3.6.16", upgrade=to_36, downgrade="3.5.0")

        assert plan(of).step.target == "3.5"


VERSIONS = st.lists(st.sampled_from([NEW, OLDER]), min_size=3, max_size=3)


@given(
    versions=VERSIONS,
    applied=st.sampled_from(["v3.6.16", "v3.5.35"]),
    storage=st.sampled_from(["3.5.0", "3.6.0"]),
    downgrade=st.sampled_from([None, "3.5.0"]),
    upgrade=st.sampled_from([None, PREPARED]),
    started=st.booleans(),
)
def test_learner_is_never_added_while_etcd_would_bar_it(
    versions, applied, storage, downgrade, upgrade, started
):
    joins = joining(id="b7" if started else "", started=started)
    of = going_down(
        *versions,
        applied=applied,
        storage=storage,
        downgrade=downgrade,
        upgrade=upgrade,
        joins=joins,
    )
    step = plan(of).step

    assert not (downgrade and isinstance(step, AddLearner))
    # Nor is a template taken back that a member is already running.
    if isinstance(step, RecordSpec) and "join" in step.why:
        assert OLDER not in versions
