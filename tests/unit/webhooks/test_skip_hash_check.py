"""Who wants a backup with wrong hashes restored has to confirm it, and is warned all the same."""

import pytest

from tests.unit.api.manifests import cluster
from tests.unit.webhooks.test_judge import verdict

CONFIRM = "etcd.etcd.io/confirm-skip-hash-check"
PLAIN = {"backupName": "nightly", "clusterName": "restored"}


def restore(annotation=None, **fields):
    obj = {**cluster(PLAIN | fields, name="again"), "kind": "EtcdRestore"}
    if annotation is not None:
        obj["metadata"] |= {"annotations": {CONFIRM: annotation}}
    return obj


@pytest.mark.parametrize("annotation", [None, "", "true", "restored"])
async def test_it_is_refused_with_the_annotation_to_set(annotation):
    found = await verdict(restore(annotation, skipHashCheck=True))

    assert not found.allowed
    assert "spec.skipHashCheck" in found.message
    assert f"{CONFIRM} to again" in found.message


async def test_confirmed_it_is_allowed_with_a_warning():
    found = await verdict(restore("again", skipHashCheck=True))

    assert found.allowed
    (warning,) = found.warnings
    assert warning.startswith("spec.skipHashCheck is true")


async def test_an_edit_that_takes_it_in_is_asked_the_same():
    stored = restore()

    assert not (await verdict(restore(skipHashCheck=True), stored)).allowed
    assert (await verdict(restore("again", skipHashCheck=True), stored)).allowed


async def test_the_annotation_may_be_taken_away_when_the_restore_has_begun():
    """An object that is there is never made impossible to change."""
    stored = restore("again", skipHashCheck=True)

    assert (await verdict(restore(skipHashCheck=True), stored)).allowed


async def test_nobody_else_is_warned():
    assert not (await verdict(restore())).warnings
