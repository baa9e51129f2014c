"""What becomes of data that nobody serves any more is said by one field, whichever they are: those
from before the restore, or, after the way back, those that were restored.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.labels import OLD_DATA_ANNOTATION
from controllers.restore.plan import plan
from controllers.restore.steps import AskCluster, Rest
from tests.unit.controllers.restore.builders import after, asked_of, begun, in_place


def put_back(wish):
    """It was gone back; then the owner edits the field."""
    seen = begun(in_place(oldData="PutBack"), phase="PutBack")
    seen = replace(seen, target=asked_of(seen, {"phase": "PutBack"}))
    return replace(seen, spec=in_place(oldData=wish))


@pytest.mark.parametrize("wish", ["Discard", "Keep"])
def test_after_the_way_back_it_can_still_be_said(wish):
    seen = put_back(wish)

    step = plan(seen)

    assert isinstance(step, AskCluster)
    assert step.annotations == {OLD_DATA_ANNOTATION: wish}
    assert after(seen, step).phase == "PutBack"
    assert after(seen, step).conditions == seen.status.conditions


def test_it_is_said_once():
    seen = put_back("Discard")
    asked = asked_of(replace(seen, spec=in_place(oldData="Discard")), {"phase": "PutBack"})

    assert plan(replace(seen, target=asked)) == Rest()


def test_who_asked_for_other_data_since_decides_about_the_old_ones():
    seen = put_back("Discard")
    other = replace(begun(in_place()), uid="other", name="later")
    there = asked_of(other, {"uid": "other", "phase": "Completed"})

    assert plan(replace(seen, target=there)) == Rest()
