"""Rules that prepare one step of a change of version, and that take it.

Each looks for one thing that is still missing while the template names the version before: the
members' hashes alike, their logs snapshotted, their data in the form of an older version.  What
must never happen: a template whose version a member can't start.
"""

from datetime import timedelta
from typing import Final

from api.v1alpha1.cluster_status import DataHash, UpgradeStatus
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import accepted_edit, refused_by_server
from controllers.cluster.plan.edits import record
from controllers.cluster.plan.progress import (
    is_down,
    is_downgraded,
    missing_entries,
    next_of,
    puts_back,
    snapshot_count,
    starts_everywhere,
    unfinished,
    unprepared,
)
from controllers.cluster.plan.steps import RecordSpec
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.plan.version_steps import (
    AdvanceLog,
    CompareHashes,
    EnableDowngrade,
    RecordUpgrade,
)
from controllers.cluster.plan.versions import (
    applied_version,
    downgrade_target,
    hop_spec,
    is_taken,
)
from etcd.versions import leaves_v2_entries, parse_version

_COMPARED_WITHIN: Final = timedelta(minutes=2)
_UNKNOWN: Final = DataHash(revision=0, compact_revision=0, hash=0)


def compare_before(observed: Observed) -> CompareHashes | None:
    """The data of all members is alike before any of them is touched."""
    upgrade = _to_prepare(observed)
    if upgrade is None or upgrade.before is not None or not is_rolled_out(observed):
        return None
    if puts_back(observed, parse_version(upgrade.path[0])):
        return None
    return CompareHashes(known=None, under_way=upgrade, then=upgrade)


def give_up_comparing(observed: Observed) -> RecordUpgrade | None:
    """For long no revision could be had at which all members have compacted alike: on an idle
    cluster that can last for ever.  The change goes on, and says so.
    """
    upgrade = observed.status.upgrade
    since = upgrade.comparing_since if upgrade else None
    if upgrade is None or since is None or observed.now < since + _COMPARED_WITHIN:
        return None
    if compare_before(observed) is not None:
        new: UpgradeStatus | None = upgrade.model_copy(
            update={"before": _UNKNOWN, "comparing_since": None}
        )
    elif is_taken(observed, upgrade) and not unfinished(observed, upgrade):
        new = next_of(observed, upgrade)
    else:
        return None
    return RecordUpgrade(
        upgrade=new, why="Go on without comparing the members' data", not_compared=True
    )


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
        until = index + snapshot_count(observed) + 1
        new = upgrade.model_copy(update={"log_until": until})
        return RecordUpgrade(upgrade=new, why=f"Let every member snapshot its log up to {until}")
    missing = missing_entries(observed, upgrade)
    return AdvanceLog(until=upgrade.log_until, missing=missing) if missing > 0 else None


def enable_downgrade(observed: Observed) -> EnableDowngrade | None:
    """Have etcd make its data fit before the first member runs the older minor version."""
    upgrade = _to_prepare_down(observed)
    if upgrade is None or not is_rolled_out(observed) or downgrade_target(observed) is not None:
        return None
    return EnableDowngrade(target=parse_version(upgrade.path[0]).minor_version)


def watch_data_fit(observed: Observed) -> RecordUpgrade | None:
    """Since when the data of all has fitted: what a member says just after its start, or just
    before its end, may not last.
    """
    upgrade = _to_prepare_down(observed)
    if upgrade is None:
        return None
    fits = is_downgraded(observed, parse_version(upgrade.path[0]))
    if fits == (upgrade.fit_since is not None):
        return None
    now = observed.now.replace(microsecond=0)
    new = upgrade.model_copy(update={"fit_since": now if fits else None})
    said = "fits" if fits else "does not fit yet:"
    return RecordUpgrade(upgrade=new, why=f"The members' data {said} {upgrade.path[0]}")


def take_version(observed: Observed) -> RecordSpec | None:
    """The template names the next version, once every member could start on it."""
    upgrade = _to_prepare(observed)
    if upgrade is None or refused_by_server(observed):
        return None
    target = parse_version(upgrade.path[0])
    if unprepared(observed, upgrade) or not starts_everywhere(observed, target):
        return None
    assert observed.applied is not None
    step = hop_spec(observed.applied, accepted_edit(observed) or observed.applied, target)
    if step is None:
        return None
    step = step.model_copy(update={"repository": upgrade.repository})
    return record(observed, step, f"Bring the members to {upgrade.repository}:{upgrade.path[0]}")


def _to_prepare(observed: Observed) -> UpgradeStatus | None:
    """The change under way while its next version is not in the template and was probed."""
    upgrade = observed.status.upgrade
    if upgrade is None or is_taken(observed, upgrade) or not upgrade.probed:
        return None
    return upgrade


def _to_prepare_down(observed: Observed) -> UpgradeStatus | None:
    """The same, where only etcd's downgrade leads to that version."""
    upgrade = _to_prepare(observed)
    if upgrade is None or not is_down(observed, upgrade):
        return None
    return None if puts_back(observed, parse_version(upgrade.path[0])) else upgrade
