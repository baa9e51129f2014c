"""Rules that bring the members to another version of etcd, or to another image of the same one.

One step of the path at a time.  Before any member is touched: the path is recorded, a probe pod has
reported the version, the cluster is whole, its hashes are alike, and etcd has made its data fit
(downwards) or has put behind a snapshot what the next version can't read (from 3.6 to 3.7).  Then
the template names the version: from that moment any pod may restart onto it, and the rules of
`roll` restart them in turn.  A step ends when every member runs it, etcd's own version has followed
and the hashes are alike again.  What must never happen: a template whose version a member can't
start.
"""

from api.reasons import Reason
from api.v1alpha1.cluster_status import UpgradeStatus
from controllers.cluster.members import voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import accepted_edit, refused_by_server
from controllers.cluster.plan.edits import in_trouble, may_restart, record
from controllers.cluster.plan.probe import refuse_image
from controllers.cluster.plan.steps import (
    AdvanceLog,
    CancelDowngrade,
    CompareHashes,
    EnableDowngrade,
    RecordSpec,
    RecordUpgrade,
    Wait,
)
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.plan.versions import (
    applied_version,
    downgrade_target,
    hop_spec,
    is_taken,
    path,
    running,
    storage_minor,
    wants_other_image,
)
from etcd.version_path import PathRefusedError, VersionPath
from etcd.versions import (
    SNAPSHOT_COUNT,
    Version,
    leaves_v2_entries,
    parse_version,
    reports_storage_version,
)


def accept_image_at_once(observed: Observed) -> RecordSpec | None:
    """A member can't run as it is: another image of the same minor version, or the older version
    while it can be put back, reaches it without a probe and without quorum.
    """
    hops, wanted, applied = _wished(observed), accepted_edit(observed), observed.applied
    if len(hops) != 1 or wanted is None or applied is None or refused_by_server(observed):
        return None
    if not in_trouble(observed) or not _starts_everywhere(observed, hops[0]):
        return None
    if hops[0].minor != applied_version(observed).minor and not _puts_back(observed, hops[0]):
        return None
    step = hop_spec(applied, wanted, hops[0])
    assert step is not None
    return record(
        observed, step, f"Accept {step.repository}:{step.version} for a member in trouble"
    )


def redirect(observed: Observed) -> RecordUpgrade | None:
    """The spec asks for something else than the path that is under way: another path, or none."""
    upgrade, spec = observed.status.upgrade, observed.spec
    if upgrade is None or spec is None:
        return None
    if (spec.version, spec.repository) == (upgrade.path[-1], upgrade.repository):
        return None
    taken = is_taken(observed, upgrade)
    if not wants_other_image(observed):
        new = upgrade.model_copy(update={"path": upgrade.path[:1]}) if taken else None
        return RecordUpgrade(upgrade=new, why=f"spec.version is {spec.version} again")
    hops = _wished(observed)
    if not hops:
        return None
    if taken and _finishes_first(observed, hops[0]):
        new = upgrade.model_copy(update={"path": (upgrade.path[0], *map(_text, hops))})
        return RecordUpgrade(upgrade=new, why=f"Go on to {_shown(new)} afterwards")
    return _begin(observed, hops, after=upgrade if taken else None)


def begin(observed: Observed) -> RecordUpgrade | None:
    """Record the path before its first step; a maintenance window is waited for only here."""
    hops = _wished(observed)
    if observed.status.upgrade is not None or not hops or not may_restart(observed):
        return None
    return _begin(observed, hops)


def compare_before(observed: Observed) -> CompareHashes | None:
    """The data of all members is alike before any of them is touched."""
    upgrade = _to_prepare(observed)
    if upgrade is None or upgrade.before is not None or not is_rolled_out(observed):
        return None
    if _puts_back(observed, parse_version(upgrade.path[0])):
        return None
    return CompareHashes(known=None, then=upgrade)


def leave_old_entries_behind(observed: Observed) -> RecordUpgrade | AdvanceLog | None:
    """What 3.5 wrote into the log is behind every member's snapshot before the first 3.7 reads it.

    A member snapshots after as many entries as its option snapshot-count says, and at its start
    reads the log from its last snapshot on; 3.7 ends on an entry in the form of the v2 API.
    """
    upgrade = _to_prepare(observed)
    if upgrade is None or not is_rolled_out(observed):
        return None
    if not leaves_v2_entries(applied_version(observed), parse_version(upgrade.path[0])):
        return None
    if upgrade.log_until is None:
        index = max(status.raft_index for status in observed.etcd.statuses.values())
        until = index + _snapshot_count(observed) + 1
        new = upgrade.model_copy(update={"log_until": until})
        return RecordUpgrade(upgrade=new, why=f"Let every member snapshot its log up to {until}")
    missing = _missing_entries(observed, upgrade)
    return AdvanceLog(until=upgrade.log_until, missing=missing) if missing > 0 else None


def enable_downgrade(observed: Observed) -> EnableDowngrade | None:
    """Have etcd make its data fit before the first member runs the older minor version."""
    upgrade = _to_prepare(observed)
    if upgrade is None or not is_rolled_out(observed) or not _is_down(observed, upgrade):
        return None
    target = parse_version(upgrade.path[0])
    if downgrade_target(observed) is not None or _fits(observed, target):
        return None
    return EnableDowngrade(target=target.minor_version)


def take_version(observed: Observed) -> RecordSpec | None:
    """The template names the next version, once every member could start on it."""
    upgrade = _to_prepare(observed)
    if upgrade is None or refused_by_server(observed):
        return None
    target = parse_version(upgrade.path[0])
    if _unprepared(observed, upgrade) or not _starts_everywhere(observed, target):
        return None
    assert observed.applied is not None
    step = hop_spec(observed.applied, accepted_edit(observed) or observed.applied, target)
    if step is None:
        return None
    step = step.model_copy(update={"repository": upgrade.repository})
    return record(observed, step, f"Bring the members to {upgrade.repository}:{upgrade.path[0]}")


def complete(observed: Observed) -> CompareHashes | None:
    """Every member runs the version and etcd's own has followed: compare, then the next step."""
    upgrade = observed.status.upgrade
    if upgrade is None or not is_taken(observed, upgrade) or _unfinished(observed, upgrade):
        return None
    reached, rest = upgrade.path[0], upgrade.path[1:]
    then = None
    if rest:
        then = UpgradeStatus(
            from_version=reached,
            path=rest,
            repository=upgrade.repository,
            since=observed.now.replace(microsecond=0),
        )
    return CompareHashes(known=upgrade.before, then=then, reached=reached)


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
    return CancelDowngrade(target=target.minor_version)


def hold(observed: Observed) -> Wait | None:
    """While a version is about to be put back, nobody else is restarted onto the newer one."""
    upgrade = observed.status.upgrade
    if upgrade is None or is_taken(observed, upgrade) or is_rolled_out(observed):
        return None
    return (
        wait_for_version(observed) if _puts_back(observed, parse_version(upgrade.path[0])) else None
    )


def wait_for_version(observed: Observed) -> Wait | None:
    """A change of version is under way, and its next step is not ours."""
    upgrade = observed.status.upgrade
    if upgrade is None or refuse_image(observed) is not None:
        return None
    missing = (
        _unfinished(observed, upgrade)
        if is_taken(observed, upgrade)
        else _unprepared(observed, upgrade)
    )
    down = _is_down(observed, upgrade)
    return Wait(
        reason=Reason.DOWNGRADING if down else Reason.UPGRADING,
        message=f"From {upgrade.from_version} to {_shown(upgrade)}; waiting for"
        f" {missing or 'the next step'}",
        recheck_s=0.5,
    )


def _wished(observed: Observed) -> tuple[Version, ...]:
    """The path to the spec's image where it differs from the template's and may be taken."""
    if accepted_edit(observed) is None or not wants_other_image(observed):
        return ()
    found = path(observed)
    return () if isinstance(found, PathRefusedError) else found.hops


def _begin(
    observed: Observed, hops: tuple[Version, ...], *, after: UpgradeStatus | None = None
) -> RecordUpgrade:
    """`after`: a step that members are being restarted for, and that this one takes the place of.

    Another patch of the same minor version still came from where that step did, and can be put back
    as it could.
    """
    applied, spec, found = observed.applied, observed.spec, path(observed)
    assert applied is not None
    assert spec is not None
    stays = after is not None and hops[0].minor == applied_version(observed).minor
    here = (_text(hops[0]), spec.repository)
    upgrade = UpgradeStatus(
        from_version=after.from_version if after and stays else applied.version,
        path=tuple(map(_text, hops)),
        repository=spec.repository,
        since=observed.now.replace(microsecond=0),
        probed=after is not None and not stays and here == (after.from_version, applied.repository),
        before=after.before if after and stays else None,
    )
    image = f" ({spec.repository})" if spec.repository != applied.repository else ""
    return RecordUpgrade(
        upgrade=upgrade,
        why=f"Go from {applied.version} to {_shown(upgrade)}{image}",
        warnings=found.warnings if isinstance(found, VersionPath) else (),
    )


def _finishes_first(observed: Observed, hop: Version) -> bool:
    """Whether the step under way is to end before the next: it crosses a minor version that the
    next one does not cross back.
    """
    upgrade = observed.status.upgrade
    assert upgrade is not None
    now = applied_version(observed)
    return hop.minor != now.minor and hop.minor != parse_version(upgrade.from_version).minor


def _to_prepare(observed: Observed) -> UpgradeStatus | None:
    """The change under way while its next version is not in the template and was probed."""
    upgrade = observed.status.upgrade
    if upgrade is None or is_taken(observed, upgrade) or not upgrade.probed:
        return None
    return upgrade


def _unprepared(observed: Observed, upgrade: UpgradeStatus) -> str:
    """What a step still needs before the template may name it; empty when nothing."""
    target = parse_version(upgrade.path[0])
    if not upgrade.probed:
        return "the probe of the image"
    if target.minor == applied_version(observed).minor or _puts_back(observed, target):
        return ""
    if not is_rolled_out(observed):
        down = [f"{v.name} ({v.reason})" for v in voters(observed) if not v.healthy]
        return f"all members to be healthy: {', '.join(down) or 'the roll before it'}"
    return _unfit_data(observed, upgrade, target)


def _unfit_data(observed: Observed, upgrade: UpgradeStatus, target: Version) -> str:
    """What the members' data and logs still need before another minor version may read them."""
    if upgrade.before is None:
        return "the comparison of the members' data"
    if _is_down(observed, upgrade) and not _fits(observed, target):
        return f"etcd to make its data fit {target.minor_version}"
    if upgrade.log_until is not None and _missing_entries(observed, upgrade) > 0:
        return f"every member to reach index {upgrade.log_until} of the log"
    if upgrade.log_until is None and leaves_v2_entries(applied_version(observed), target):
        return "a snapshot of every member's log"
    return ""


def _puts_back(observed: Observed, target: Version) -> bool:
    """Whether it is the minor version that some member still runs, and the template no longer
    names: put back, not newly reached.
    """
    if target.minor == applied_version(observed).minor:
        return False
    versions = [running(view, observed) for view in voters(observed)]
    return any(version is not None and version.minor == target.minor for version in versions)


def _starts_everywhere(observed: Observed, target: Version) -> bool:
    """Whether every voter could start on a version now, whichever of them restarts first."""
    for view in voters(observed):
        version = running(view, observed)
        above = target.minor - version.minor if version else None
        if above in {0, 1}:
            continue
        fits = view.status is not None and storage_minor(view.status) == target.minor
        if above != -1 or not fits:
            return False
    return True


def _unfinished(observed: Observed, upgrade: UpgradeStatus) -> str:
    """What a step still needs before it is over; empty when nothing."""
    target = parse_version(upgrade.path[0])
    if not is_rolled_out(observed):
        return "the members to be restarted"
    other = [v.name for v in voters(observed) if running(v, observed) != target]
    if other:
        return f"{', '.join(other)} to run {upgrade.path[0]}"
    if reports_storage_version(target) and not _fits(observed, target):
        return f"etcd to raise its version to {target.minor_version}"
    if downgrade_target(observed) is not None:
        return "etcd to end the downgrade"
    return ""


def _fits(observed: Observed, target: Version) -> bool:
    answers = [view.status for view in voters(observed)]
    return all(status is not None and storage_minor(status) == target.minor for status in answers)


def _is_down(observed: Observed, upgrade: UpgradeStatus) -> bool:
    before = parse_version(upgrade.from_version)
    if not is_taken(observed, upgrade):
        before = applied_version(observed)
    return parse_version(upgrade.path[0]).minor < before.minor


def _snapshot_count(observed: Observed) -> int:
    rendered = observed.status.rendered
    count: int = (rendered.options if rendered else {}).get("snapshot-count", SNAPSHOT_COUNT)
    return count


def _missing_entries(observed: Observed, upgrade: UpgradeStatus) -> int:
    assert upgrade.log_until is not None
    applied = [view.status.raft_applied_index for view in voters(observed) if view.status]
    return upgrade.log_until - min(applied, default=0)


def _text(version: Version) -> str:
    return f"v{version}"


def _shown(upgrade: UpgradeStatus) -> str:
    return ", then ".join(upgrade.path)
