"""The simulation of restores in place finds what it is for: planners from which one guard was taken
are caught, as in test_mutants.
"""

import dataclasses

import pytest

from controllers.cluster.plan import epochs
from tests.simulation.test_epochs import Epochs
from tests.simulation.test_mutants import is_caught_by, with_rule, without


def discards_unasked(patch):
    real = epochs._asks
    patch.setattr(epochs, "_asks", lambda seen, what: what == "Discard" or real(seen, what))


def discards_before_all_serve(patch):
    patch.setattr(epochs, "is_whole", lambda _: True)


def gives_numbers_again(patch):
    patch.setattr(epochs, "next_number", lambda seen: seen.epoch + 1)


def beside_the_writer(observed, real):
    return real(dataclasses.replace(observed, restore_pods=()))


def at_once(observed, real):
    """Without the recorded word that nobody runs any more."""
    return real(dataclasses.replace(observed, live={}, pods=()))


MUTANTS = [
    discards_unasked,
    discards_before_all_serve,
    gives_numbers_again,
    pytest.param(with_rule("begin_switch", beside_the_writer), id="switches_beside_the_writer"),
    pytest.param(without("stop_members"), id="stops_nobody"),
    pytest.param(with_rule("stop_members", at_once), id="believes_that_nobody_runs"),
    pytest.param(without("clear_failed_restore"), id="forgets_nothing"),
    pytest.param(without("complete_switch"), id="never_completes"),
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutate", MUTANTS)
def test_mutant_is_caught(mutate, monkeypatch):
    mutate(monkeypatch)
    is_caught_by(Epochs)
