"""How far a change of version has come, and what it still needs: questions of its rules.

Pure.  A step of the path is prepared, then taken (the template names its version), then finished.
"""

from datetime import timedelta
from typing import Final

from api.v1alpha1.cluster_status import UpgradeStatus
from controllers.cluster.members import voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.saving import backup_in_words, unsaved
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.plan.versions import (
    applied_version,
    downgrade_target,
    is_taken,
    running,
    storage_minor,
)
from etcd.versions import (
    SNAPSHOT_COUNT,
    Version,
    leaves_v2_entries,
    parse_version,
    reports_storage_version,
)

# Longer than a member needs to correct what it said of its data (5 s were seen).
_SETTLES_WITHIN: Final = timedelta(seconds=6)


def unprepared(observed: Observed, upgrade: UpgradeStatus) -> str:
    """What a step still needs before the template may name it; empty when nothing."""
    target = parse_version(upgrade.path[0])
    if not upgrade.probed:
        return "the probe of the image"
    if puts_back(observed, target):
        return ""
    if unsaved(observed, upgrade):
        return backup_in_words(observed, upgrade)
    if target.minor == applied_version(observed).minor:
        return ""
    if not is_rolled_out(observed):
        down = [f"{v.name} ({v.reason})" for v in voters(observed) if not v.healthy]
        return f"all members to be healthy: {', '.join(down) or 'the roll before it'}"
    return unfit_data(observed, upgrade, target)


def unfit_data(observed: Observed, upgrade: UpgradeStatus, target: Version) -> str:
    """What the members' data and logs still need before another minor version may read them."""
    if upgrade.before is None:
        return "the comparison of the members' data"
    if is_down(observed, upgrade) and not has_settled(observed, upgrade, target):
        return f"etcd to make its data fit {target.minor_version}"
    if not is_down(observed, upgrade) and not starts_everywhere(observed, target):
        return "etcd to make its data fit the version that runs, after a downgrade"
    if upgrade.log_until is not None and missing_entries(observed, upgrade) > 0:
        return f"every member to reach index {upgrade.log_until} of the log"
    if upgrade.log_until is None and leaves_v2_entries(applied_version(observed), target):
        return "a snapshot of every member's log"
    return ""


def puts_back(observed: Observed, target: Version) -> bool:
    """Whether it is the minor version that some member still runs, and the template no longer
    names: put back, not newly reached.
    """
    if target.minor == applied_version(observed).minor:
        return False
    return any_runs(observed, target)


def starts_everywhere(observed: Observed, target: Version) -> bool:
    """Whether every voter could start on a version now, whichever of them restarts first.

    Its data may be older than its version: after a downgrade that was prepared and not done.
    """
    for view in voters(observed):
        version = running(view, observed)
        above = target.minor - version.minor if version else None
        form = storage_minor(view.status) if view.status else None
        if above in {0, 1} and (form is None or target.minor - form <= 1):
            continue
        if above != -1 or form != target.minor:
            return False
    return True


def unfinished(observed: Observed, upgrade: UpgradeStatus) -> str:
    """What a step still needs before it is over; empty when nothing."""
    target = parse_version(upgrade.path[0])
    if not is_rolled_out(observed):
        return "the members to be restarted"
    other = [v.name for v in voters(observed) if running(v, observed) != target]
    if other:
        return f"{', '.join(other)} to run {upgrade.path[0]}"
    if reports_storage_version(target) and not fits(observed, target):
        return f"etcd to raise its version to {target.minor_version}"
    if downgrade_target(observed) is not None:
        return "etcd to end the downgrade"
    return ""


def any_runs(observed: Observed, target: Version) -> bool:
    """Whether some voter runs this minor version, or did when it was last heard of; not one that is
    being replaced: etcd asks it no more.
    """
    joining = observed.status.joining
    stay = [v for v in voters(observed) if joining is None or v.ordinal != joining.ordinal]
    versions = [running(view, observed) for view in stay]
    return any(version is not None and version.minor == target.minor for version in versions)


def is_downgraded(observed: Observed, target: Version) -> bool:
    """Whether etcd's downgrade to it is on and has changed every member's data."""
    enabled = downgrade_target(observed)
    return enabled is not None and enabled.minor == target.minor and fits(observed, target)


def has_settled(observed: Observed, upgrade: UpgradeStatus, target: Version) -> bool:
    since = upgrade.fit_since
    return (
        since is not None
        and observed.now >= since + _SETTLES_WITHIN
        and is_downgraded(observed, target)
    )


def fits(observed: Observed, target: Version) -> bool:
    answers = [view.status for view in voters(observed)]
    return all(status is not None and storage_minor(status) == target.minor for status in answers)


def is_down(observed: Observed, upgrade: UpgradeStatus) -> bool:
    before = parse_version(upgrade.from_version)
    if not is_taken(observed, upgrade):
        before = applied_version(observed)
    return parse_version(upgrade.path[0]).minor < before.minor


def snapshot_count(observed: Observed) -> int:
    rendered = observed.status.rendered
    count: int = (rendered.options if rendered else {}).get("snapshot-count", SNAPSHOT_COUNT)
    return count


def missing_entries(observed: Observed, upgrade: UpgradeStatus) -> int:
    assert upgrade.log_until is not None
    applied = [view.status.raft_applied_index for view in voters(observed) if view.status]
    return upgrade.log_until - min(applied, default=0)


def next_of(observed: Observed, upgrade: UpgradeStatus) -> UpgradeStatus | None:
    """The record of the next step of the path; None after the last."""
    if not upgrade.path[1:]:
        return None
    return UpgradeStatus(
        from_version=upgrade.path[0],
        path=upgrade.path[1:],
        repository=upgrade.repository,
        since=observed.now.replace(microsecond=0),
        saved=upgrade.saved,
    )
