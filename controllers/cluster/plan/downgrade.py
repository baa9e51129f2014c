"""Rules that take etcd's downgrade back: nobody wants it any more, or somebody has to join; and an
older version that can't be put back any more.

While it is on, etcd lets no new member join, of whatever version (server/etcdserver/bootstrap.go,
allowedVersionRange).  Cancelled half-way it leaves an ordinary mixed cluster; cancelled before a
member runs the older version, etcd makes the data fit the newer one again.
"""

from controllers.cluster.members import voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.edits import record
from controllers.cluster.plan.progress import any_runs, starts_everywhere
from controllers.cluster.plan.steps import RecordSpec
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.plan.version_steps import CancelDowngrade
from controllers.cluster.plan.versions import (
    applied_version,
    downgrade_target,
    hop_spec,
    is_taken,
    running,
    storage_minor,
    template_version,
)
from etcd.versions import Version, parse_version


def stay_newer(observed: Observed) -> RecordSpec | None:
    """An older version was to be put back, and the last member that ran it was restarted on the
    newer one before the template named it: etcd has raised its version since, or is about to, and
    nobody could start on the older one.
    """
    applied = observed.applied
    if applied is None or not is_formed(observed) or observed.status.bootstrap is None:
        return None
    newer = _unfit(observed)
    if newer is None:
        return None
    step = hop_spec(applied, applied, newer)
    why = f"Stay with v{newer}: members can't start on {applied.version} any more"
    return record(observed, step, why) if step else None


def _unfit(observed: Observed) -> Version | None:
    """The version that the members run, where the recorded one is older and they can't start on it:
    before the template names it when in doubt, afterwards only by what they say of their data.
    """
    target, live = applied_version(observed), template_version(observed)
    if live is not None and live.minor > target.minor:
        return None if starts_everywhere(observed, target) else live
    answers = [view.status for view in voters(observed) if view.status is not None]
    versions = [parse_version(status.version) for status in answers]
    newer = any((storage_minor(status) or 0) > target.minor for status in answers)
    # Once the last one that ran it is off the list, etcd raises its version.
    newer = newer or (observed.status.joining is not None and not any_runs(observed, target))
    is_older_run = any(version.minor == target.minor for version in versions)
    if not newer or not versions or is_older_run or downgrade_target(observed) is not None:
        return None
    return max(versions) if max(versions).minor > target.minor else None


def retreat(observed: Observed) -> RecordSpec | None:
    """Somebody has to join while a downgrade is on, which etcd lets nobody do: as long as no member
    runs the older version, the template names the newer one again.
    """
    upgrade, applied = observed.status.upgrade, observed.applied
    if upgrade is None or applied is None or not _bars_joining(observed):
        return None
    target = applied_version(observed)
    before = parse_version(upgrade.from_version)
    if (
        not is_taken(observed, upgrade)
        or before.minor <= target.minor
        or any_runs(observed, target)
    ):
        return None
    step = hop_spec(applied, applied, before)
    return (
        record(observed, step, f"Go back to v{before}, so that a member can join") if step else None
    )


def cancel_for_joining(observed: Observed) -> CancelDowngrade | None:
    """The same: cancelled, members that run the older version go on as in any mixed cluster."""
    target = downgrade_target(observed)
    joining = observed.status.joining
    if target is None or joining is None or not _bars_joining(observed):
        return None
    why = f"while it is on, etcd would not let {joining.name} join"
    return CancelDowngrade(target=target.minor_version, why=why)


def cancel_downgrade(observed: Observed) -> CancelDowngrade | None:
    """A downgrade that nobody wants any more, once no member runs the older version."""
    target, upgrade = downgrade_target(observed), observed.status.upgrade
    if target is None or not is_rolled_out(observed):
        return None
    versions = [running(view, observed) for view in voters(observed)]
    if any(version is None or version.minor == target.minor for version in versions):
        return None
    if upgrade is not None and parse_version(upgrade.path[0]).minor == target.minor:
        return None
    return CancelDowngrade(
        target=target.minor_version, why="spec.version does not ask for it any more"
    )


def _bars_joining(observed: Observed) -> bool:
    """Whether a downgrade is on, and a member that is to join has not started."""
    joining = observed.status.joining
    return joining is not None and not joining.started and downgrade_target(observed) is not None
