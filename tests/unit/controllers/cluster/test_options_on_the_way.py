"""Options follow a change of version: each version of the path gets them under the names that it
knows, and what the wanted one does not know is named.
"""

import pytest

from controllers.cluster.options import option_errors
from controllers.cluster.plan import plan
from controllers.cluster.plan.steps import RecordSpec
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.test_upgrade import HASH, THREE, edited, going, running

LIMIT = "compaction-batch-limit"
OLD_NAME = f"experimental-{LIMIT}"
NEWER = ("3.6.16",) * 3


def extra(**options):
    return {"extra": {name.replace("_", "-"): value for name, value in options.items()}}


PLAIN = extra(compaction_batch_limit="500")
EXPERIMENTAL = extra(experimental_compaction_batch_limit="500")


def taken(applied, *path, options, edit):
    """The step that brings the members to the next version of the path."""
    prepared = going(f"v{applied[0]}", *path, probed=True, before=HASH, log_until=10)
    of = edited(running(*applied, options=options, upgrade=prepared), version=path[-1], **edit)
    step = plan(of).step
    assert isinstance(step, RecordSpec)
    assert step.spec["version"] == path[0]
    return step


@pytest.mark.parametrize(
    ("applied", "path"), [(THREE, ("v3.6.16", "v3.7.3")), (NEWER, ("v3.7.3",))], ids=str
)
def test_plain_name_is_rendered_as_each_version_knows_it(applied, path):
    before = running(*applied, options=PLAIN).status.rendered.options
    after = taken(applied, *path, options=PLAIN, edit={}).rendered.options

    assert before[OLD_NAME if applied == THREE else LIMIT] == 500
    assert (after[LIMIT], OLD_NAME in after) == (500, False)


@pytest.mark.parametrize(
    ("version", "options", "words"),
    [
        ("v3.7.3", EXPERIMENTAL, f"extra[{OLD_NAME}] etcd 3.7.3 calls it {LIMIT}"),
        ("v3.5.35", extra(max_learners="2"), "extra[max-learners]"),
    ],
    ids=["taken away", "not there yet"],
)
def test_option_that_the_wanted_version_does_not_know_is_named(version, options, words):
    (error,) = option_errors(spec(version=version, options=options))

    assert words in str(error)


def test_renamed_option_is_taken_with_the_first_version_that_knows_it():
    step = taken(THREE, "v3.6.16", "v3.7.3", options=EXPERIMENTAL, edit={"options": PLAIN})

    assert step.spec["options"] == PLAIN
    assert step.rendered.options[LIMIT] == 500


def test_option_of_the_newer_version_waits_for_it():
    wanted = {"options": extra(max_learners="2")}
    first = plan(edited(running(*THREE), version="v3.6.16", **wanted))
    assert first.rule == "begin"

    step = taken(THREE, "v3.6.16", options={}, edit=wanted)

    assert step.rendered.options["max-learners"] == 2
