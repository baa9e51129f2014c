"""With changes kept, what goes never takes a state of the kept time with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from controllers.backup.plan import plan
from controllers.backup.steps import Await, ExpireChild
from tests.unit.controllers.backup.archive.builders import at_work, backup
from tests.unit.controllers.backup.builders import NOW, child

DAY = timedelta(days=1)


def days_old(*ages, phase="Completed", **fields):
    return [child(NOW - age * DAY, phase, **fields) for age in ages]


def going(children, *, continuous=True, **policy):
    """The names that go, one after the other."""
    seen = backup(
        archiver=at_work(),
        continuous={"enabled": continuous},
        created=NOW,
        children=tuple(children),
        retentionPolicy=policy,
    )
    if not continuous:
        seen = replace(seen, archiver=None)
    names = []
    while isinstance(step := plan(seen), ExpireChild):
        names.append(step.name)
        marked = (replace(c, expired=c.expired or c.name == step.name) for c in seen.children)
        seen = replace(seen, children=tuple(marked))
    assert isinstance(step, Await)
    return names


def test_the_backup_that_the_oldest_kept_state_goes_on_from_stays():
    oldest, old, base, new, today = days_old(12, 9, 8, 3, 0)

    assert going([oldest, old, base, new, today], maxAge="7d") == [oldest.name, old.name]


def test_without_changes_it_goes_as_well():
    old, base, new = days_old(9, 8, 3)

    assert going([old, base, new], maxAge="7d", continuous=False) == [old.name, base.name]


def test_nothing_goes_on_from_a_backup_that_is_not_good():
    base, failed, doubtful, new = (
        *days_old(10),
        *days_old(9, phase="Failed"),
        *days_old(8, verified="Failed"),
        *days_old(3),
    )

    assert base.name not in going([base, failed, doubtful, new], maxAge="7d")


def test_one_that_is_going_is_no_base():
    base, gone, new = *days_old(9), *days_old(8, expired=True), *days_old(3)

    assert going([base, gone, new], maxAge="7d") == []


def test_without_an_age_the_number_alone_counts():
    """A window begins at the oldest backup that is left."""
    old, new = days_old(9, 3)

    assert going([old, new], maxBackups=1) == [old.name]


ages = st.integers(0, 60)
backups = st.lists(
    st.tuples(ages, st.sampled_from(["Completed", "Failed"])), unique_by=lambda one: one[0]
)


@given(backups, st.integers(1, 30), st.none() | st.integers(1, 5), st.integers(0, 3))
def test_every_state_of_the_kept_time_that_could_be_restored_still_can(made, days, most, weeks):
    """Changes go on from any good backup before them: one that is left is enough."""
    children = [child(NOW - age * DAY, phase) for age, phase in made]
    policy = {"maxAge": f"{days}d", "keepWeekly": weeks}
    if most is not None:
        policy["maxBackups"] = most

    gone = set(going(children, **policy))

    good = [one for one in children if one.phase == "Completed"]
    left = [one for one in good if one.name not in gone]
    oldest_kept = NOW - days * DAY
    if any(one.scheduled <= oldest_kept for one in good):
        assert any(one.scheduled <= oldest_kept for one in left)
    if good:
        assert max(good, key=lambda one: one.scheduled) in left
