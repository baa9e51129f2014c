"""Rules of the probe: a pod with the new image reports its version before any member runs it.

A tag can be missing, unpullable where the members run, or name something else than it says; all of
that is found out here, at nobody's cost.
"""

import re
from datetime import timedelta
from typing import Final

from api.reasons import Reason
from api.v1alpha1.cluster_status import UpgradeStatus
from controllers.cluster.observed import Observed, Probe
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.version_steps import (
    DeleteProbe,
    MakeProbe,
    RecordUpgrade,
)
from controllers.cluster.plan.versions import is_taken
from controllers.cluster.render import identity
from controllers.cluster.render.probe import probe_pod

# What etcd prints first for --version (server/etcdmain/config.go).
_VERSION: Final = re.compile(r"^etcd Version: (\S+)$", re.MULTILINE)
# A registry that is slow or just restarting is given this long.
_PATIENCE: Final = timedelta(seconds=30)
# A failed probe is tried again, in case it was the registry.
_TRIED_AGAIN_AFTER: Final = timedelta(minutes=5)


def drop_probe(observed: Observed) -> DeleteProbe | None:
    """Done with, or of an image that is no longer wanted, or failed so long ago that it is tried
    again.
    """
    probe, upgrade = observed.probe, _to_probe(observed)
    if probe is None or probe.terminating:
        return None
    if upgrade is None or probe.image != _image(upgrade):
        return DeleteProbe(name=probe.name, uid=probe.uid, why="it has served its purpose")
    old = probe.created is not None and observed.now >= probe.created + _TRIED_AGAIN_AFTER
    if _failure(observed, upgrade) and old:
        return DeleteProbe(name=probe.name, uid=probe.uid, why="the image is tried once more")
    return None


def make_probe(observed: Observed) -> MakeProbe | RecordUpgrade | None:
    """Make it, and record that it has reported what it should."""
    upgrade, probe = _to_probe(observed), observed.probe
    rendered, bootstrap = observed.status.rendered, observed.status.bootstrap
    if upgrade is None or rendered is None or bootstrap is None:
        return None
    if probe is None:
        who = identity(observed, bootstrap)
        return MakeProbe(pod=probe_pod(who, rendered.pod_template, _image(upgrade)))
    if not probe.ended or probe.terminating or _failure(observed, upgrade):
        return None
    return RecordUpgrade(
        upgrade=upgrade.model_copy(update={"probed": True}),
        why=f"{_image(upgrade)} reports {upgrade.path[0]}, as it should",
    )


def refuse_image(observed: Observed) -> Wait | None:
    """The image is not what it should be, or can't be started: no member is touched."""
    upgrade = _to_probe(observed)
    failure = _failure(observed, upgrade) if upgrade else ""
    if upgrade is None or not failure:
        return None
    return Wait(
        reason=Reason.PROBE_FAILED,
        message=f"{_image(upgrade)} is not used: {failure}",
        recheck_s=30.0,
    )


def _to_probe(observed: Observed) -> UpgradeStatus | None:
    upgrade = observed.status.upgrade
    if upgrade is None or upgrade.probed or is_taken(observed, upgrade):
        return None
    return upgrade


def _image(upgrade: UpgradeStatus) -> str:
    return f"{upgrade.repository}:{upgrade.path[0]}"


def _failure(observed: Observed, upgrade: UpgradeStatus) -> str:
    """What is wrong with the image; empty while nothing is known to be."""
    probe = observed.probe
    if probe is None or probe.terminating or probe.image != _image(upgrade):
        return ""
    if probe.ended:
        return _misreport(probe, upgrade)
    patient = probe.created is None or observed.now < probe.created + _PATIENCE
    if probe.problem is None or patient:
        return ""
    return f"{probe.problem.reason}: {probe.problem.message}"


def _misreport(probe: Probe, upgrade: UpgradeStatus) -> str:
    found = _VERSION.search(probe.output)
    if found is not None and f"v{found[1]}" == upgrade.path[0]:
        return ""
    if found is not None:
        return f"it reports version {found[1]}"
    said = probe.output.strip().splitlines() or ["nothing"]
    why = f" ({probe.problem.message})" if probe.problem else ""
    return f"it reports no version but {said[-1][:200]!r}{why}"
