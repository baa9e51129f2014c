"""The members' data is compared before and after a change of version, while that can be done."""

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reasons import Reason
from controllers.cluster.happenings import happenings
from controllers.cluster.outcome import Changed, Done, Hashed, NotYet, Rejected
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import RecordSpec
from controllers.cluster.plan.version_steps import CompareHashes, RecordUpgrade
from controllers.cluster.status import next_status
from tests.unit.controllers.cluster.builders import NOW, pod
from tests.unit.controllers.cluster.test_upgrade import HASH, going, running

OLD, NEW = ("3.5.35",) * 3, ("3.6.16",) * 3
NOT_YET = NotYet(message="members are compacting just now; asking for their hashes again")
LONG = timedelta(minutes=2)


def before(**fields):
    """Everything is ready for the first member but the comparison."""
    return running(
        *OLD, wanted="v3.6.16", upgrade=going("v3.5.35", "v3.6.16", probed=True, **fields)
    )


def at_the_end(*further, **fields):
    """Every member runs 3.6; `further` is what the path goes on to."""
    upgrade = going("v3.5.35", "v3.6.16", *further, probed=True, before=HASH, **fields)
    return running(*NEW, upgrade=upgrade, wanted=further[-1] if further else None)


def after(of, outcome=None):
    """The same with what status holds after the next step."""
    return dataclasses.replace(of, status=next_status(of, plan(of), outcome or Done()))


def told(of, outcome=None):
    """Reason and words of the events about the next step itself."""
    made, outcome = plan(of), outcome or Done()
    new = next_status(of, made, outcome)
    of_status = happenings(of, made, None, new)
    news = happenings(of, made, outcome, new)
    return [(one.reason, one.message) for one in news if one not in of_status]


TIMES = pytest.mark.parametrize("of", [before, at_the_end], ids=["before", "at the end"])


class TestSince:
    @TIMES
    def test_first_try_in_vain_is_remembered(self, of):
        assert after(of(), NOT_YET).status.upgrade.comparing_since == NOW

    @TIMES
    def test_further_tries_do_not_move_it(self, of):
        since = NOW - timedelta(seconds=30)

        assert after(of(comparing_since=since), NOT_YET).status.upgrade.comparing_since == since

    def test_comparison_before_ends_it(self):
        upgrade = after(before(comparing_since=NOW), Hashed(hash=HASH)).status.upgrade

        assert (upgrade.before, upgrade.comparing_since) == (HASH, None)

    def test_comparison_at_the_end_ends_the_change(self):
        assert after(at_the_end(comparing_since=NOW), Hashed(hash=HASH)).status.upgrade is None

    def test_next_step_of_the_path_begins_without_it(self):
        of = after(at_the_end("v3.7.3", comparing_since=NOW), Hashed(hash=HASH))

        assert (of.status.upgrade.path, of.status.upgrade.comparing_since) == (("v3.7.3",), None)
        assert of.status.upgrade.before == HASH

    @TIMES
    @pytest.mark.parametrize(
        "outcome",
        [Changed(what="no leader"), Rejected(reason=Reason.HASHES_DIFFER, message="they differ")],
    )
    def test_anything_else_is_no_try(self, of, outcome):
        assert after(of(), outcome).status.upgrade.comparing_since is None


class TestGivenUp:
    @TIMES
    def test_it_is_tried_for_two_minutes(self, of):
        late = of(comparing_since=NOW - LONG + timedelta(seconds=1))

        assert isinstance(plan(late).step, CompareHashes)

    def test_before_any_member_is_touched_the_change_goes_on_without(self):
        of = before(comparing_since=NOW - LONG)
        step = plan(of).step

        assert (type(step), step.not_compared) == (RecordUpgrade, True)
        taken = plan(after(of)).step
        assert (type(taken), taken.spec["version"]) == (RecordSpec, "v3.6.16")

    def test_what_was_not_compared_before_is_not_held_against_the_end(self):
        unknown = after(before(comparing_since=NOW - LONG)).status.upgrade

        step = plan(running(*NEW, upgrade=unknown)).step

        assert (type(step), step.known) == (CompareHashes, None)
        assert unknown.comparing_since is None

    def test_at_the_end_the_change_is_over(self):
        of = at_the_end(comparing_since=NOW - LONG)
        step = plan(of).step

        assert (type(step), step.not_compared) == (RecordUpgrade, True)
        assert plan(after(of)).step.settled

    def test_between_two_steps_the_next_one_begins_and_is_compared_itself(self):
        of = after(at_the_end("v3.7.3", comparing_since=NOW - LONG))
        upgrade = of.status.upgrade

        assert (upgrade.from_version, upgrade.path) == ("v3.6.16", ("v3.7.3",))
        assert (upgrade.probed, upgrade.before, upgrade.comparing_since) == (False, None, None)

    def test_not_while_a_member_is_down(self):
        down = (pod(0), pod(1), pod(2, ready=False))
        early = dataclasses.replace(before(comparing_since=NOW - LONG), pods=down)
        late = dataclasses.replace(at_the_end(comparing_since=NOW - LONG), pods=down)

        assert not isinstance(plan(early).step, RecordUpgrade)
        assert not isinstance(plan(late).step, RecordUpgrade)


class TestTold:
    def test_user_is_told_to_compare_by_hand(self):
        ((reason, words),) = told(before(comparing_since=NOW - LONG))

        assert reason == "HashesNotCompared"
        assert words == "Go on without comparing the members' data"

    def test_end_of_the_change_is_told_without_a_word_on_the_data(self):
        assert told(at_the_end(comparing_since=NOW - LONG)) == [
            ("HashesNotCompared", "Go on without comparing the members' data"),
            ("Upgraded", "The cluster runs v3.6.16"),
        ]

    def test_next_step_of_the_path_is_no_new_upgrade(self):
        reasons = [reason for reason, _ in told(at_the_end("v3.7.3", comparing_since=NOW - LONG))]

        assert reasons == ["HashesNotCompared"]

    def test_compared_end_is_told_with_its_data(self):
        assert told(at_the_end(), Hashed(hash=HASH)) == [
            ("VersionReached", "Every member runs v3.6.16, data unchanged"),
            ("Upgraded", "The cluster runs v3.6.16"),
        ]

    def test_try_in_vain_is_no_news(self):
        assert told(at_the_end(), NOT_YET) == []


OUTCOMES = st.lists(
    st.tuples(
        st.sampled_from([NOT_YET, Changed(what="no leader"), Hashed(hash=HASH)]),
        st.integers(0, 90),
    ),
    max_size=8,
)


@given(OUTCOMES, st.sampled_from([before, at_the_end]))
def test_idle_cluster_is_held_up_for_two_minutes_and_an_answer_at_most(course, begin):
    of, first = begin(), None
    for outcome, seconds in course:
        if not isinstance(plan(of).step, CompareHashes):
            break
        assert first is None or of.now < first + LONG
        if isinstance(outcome, NotYet):
            first = first or of.now
        of = dataclasses.replace(after(of, outcome), now=of.now + timedelta(seconds=seconds))
    late = dataclasses.replace(of, now=of.now + LONG)

    if first is not None:
        assert not isinstance(plan(late).step, CompareHashes)
