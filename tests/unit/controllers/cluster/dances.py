"""What the dances of certificates share: a planner from which one guard was taken is caught."""

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test


def assert_caught(dance, changes, monkeypatch):
    """Some run of the dance fails with these (module, name, changed) in the planner."""
    for module, name, changed in changes:
        monkeypatch.setattr(module, name, changed)
    how = settings(
        dance.TestCase.settings,
        max_examples=60,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(dance, settings=how)
