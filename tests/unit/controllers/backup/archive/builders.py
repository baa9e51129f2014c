"""EtcdBackups that keep changes, and the Deployment and the pod that do so, in any state."""

from __future__ import annotations

from datetime import timedelta

from api.v1alpha1.backup import Window
from controllers.backup.archive.observed import Archiver, ArchiverPod
from controllers.backup.archive.order import ArchiverReport
from controllers.backup.archive.plan import wanted
from controllers.backup.archive.render import archiver_deployment
from controllers.backup.plan import plan
from controllers.backup.status import next_status
from controllers.cluster.render.normal import stamped
from tests.unit.controllers.backup.builders import NOW, observed, spec

BASE = "abc-1/nightly-202603010200-4567cdef"
ENABLED = {"enabled": True}


def window(begin=100, end=200, *, base=BASE, ended=NOW):
    """From an hour ago."""
    return Window(
        start_time=NOW - timedelta(hours=1),
        end_time=ended,
        start_revision=begin,
        end_revision=end,
        base=base,
    )


def report(**fields):
    """Of a pod at work: all is in the store up to ten seconds ago."""
    settings = {
        "windows": (window(),),
        "revision": 200,
        "time": NOW - timedelta(seconds=10),
        "cluster_revision": 205,
        "unarchived_seconds": 9.2,
    }
    return ArchiverReport(**settings | fields)


def pod(**fields):
    settings = {
        "name": "changes-0",
        "uid": "pod-uid",
        "address": "10.0.0.7",
        "started": NOW - timedelta(minutes=10),
    }
    return ArchiverPod(**settings | fields)


def backup(*, schedule="0 2 * * *", continuous=ENABLED, archiver=None, **fields):
    """A schedule that keeps changes and has nothing due: its next time is tonight."""
    changes = {name: fields.pop(name) for name in list(fields) if name not in OBSERVED}
    asked = spec(schedule=schedule, continuous=continuous, **changes)
    return observed(**{"name": "nightly", "spec": asked, "archiver": archiver} | fields)


OBSERVED = {"children", "cluster", "created", "image", "is_deleting", "now", "status", "generation"}


def deployment(seen=None, **metadata):
    """The Deployment as the API server has it once it was applied for what was seen."""
    seen = seen or backup()
    settings = wanted(seen.spec)
    cluster = seen.cluster
    body = stamped(
        archiver_deployment(seen, seen.spec, settings, cluster, cluster.status.bootstrap)
    )
    added = {"uid": "deployment-uid", "resourceVersion": "7", **metadata}
    return {**body, "metadata": {**body["metadata"], **added}}


def at_work(**fields):
    """The archiver as it is to be, with a pod that tells how far it is."""
    settings = {"live": deployment(), "pod": pod(), "report": report()}
    return Archiver(**settings | fields)


def told(seen, *, outcome=None):
    """ArchiverReady as the status has it after the next step: status, reason and message."""
    status = next_status(seen, plan(seen), outcome)
    found = next((c for c in status.conditions if c.type == "ArchiverReady"), None)
    return None if found is None else (found.status, found.reason, found.message)
