"""Every time that a window shows can be restored."""

from __future__ import annotations

from cli.agent.archive import State, report_of
from snapshots.changes.history import Base, way_to_time
from tests.unit.snapshots.changes.chains import NOON, at, chain


def reported(*, completed, until):
    state = State()
    state.bases["one"] = Base(path="c-1/one", revision=4, completed=at(completed))
    kept = chain(5, 9, until=until)
    state.progress.chains[kept.folder] = kept
    (window,) = report_of(state, NOON).windows
    return window, [*state.bases.values()], [kept]


def test_both_ends_of_a_window_can_be_restored():
    window, bases, chains = reported(completed=10.2, until=20.9)

    assert (window.start_time, window.end_time) == (at(11), at(20))
    for moment in (window.start_time, window.end_time):
        way_to_time(bases, chains, moment)


def test_a_window_without_a_whole_second_has_none():
    window, *_ = reported(completed=10.2, until=10.4)

    assert window.start_time == window.end_time
