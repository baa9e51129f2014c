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
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import accepted_edit, refused_by_server
from controllers.cluster.plan.edits import in_trouble, may_restart, record
from controllers.cluster.plan.probe import refuse_image
from controllers.cluster.plan.progress import (
    is_down,
    next_of,
    puts_back,
    starts_everywhere,
    unfinished,
    unprepared,
)
from controllers.cluster.plan.roll import changes_from_two
from controllers.cluster.plan.saving import wait_for_backup
from controllers.cluster.plan.steps import RecordSpec, Wait
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.plan.version_steps import CompareHashes, RecordUpgrade
from controllers.cluster.plan.versions import (
    applied_version,
    hop_spec,
    is_taken,
    path,
    wants_other_image,
)
from etcd.version_path import PathRefusedError, VersionPath
from etcd.versions import Version, parse_version


def accept_image_at_once(observed: Observed) -> RecordSpec | None:
    """A member can't run as it is: another image of the same minor version, or the older version
    while it can be put back, reaches it without a probe and without quorum.
    """
    hops, wanted, applied = _wished(observed), accepted_edit(observed), observed.applied
    if len(hops) != 1 or wanted is None or applied is None or refused_by_server(observed):
        return None
    if not in_trouble(observed) or not starts_everywhere(observed, hops[0]):
        return None
    if hops[0].minor != applied_version(observed).minor and not puts_back(observed, hops[0]):
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
    if observed.status.next_epoch is not None:
        return None  # its data are made for the version that runs
    return _begin(observed, hops)


def complete(observed: Observed) -> CompareHashes | None:
    """Every member runs the version and etcd's own has followed: compare, then the next step."""
    upgrade = observed.status.upgrade
    if upgrade is None or not is_taken(observed, upgrade) or unfinished(observed, upgrade):
        return None
    known = upgrade.before if upgrade.before and upgrade.before.revision else None
    reached, then = upgrade.path[0], next_of(observed, upgrade)
    return CompareHashes(known=known, under_way=upgrade, then=then, reached=reached)


def hold(observed: Observed) -> Wait | None:
    """While a version is about to be put back, nobody else is restarted onto the newer one."""
    upgrade = observed.status.upgrade
    if upgrade is None or is_taken(observed, upgrade) or is_rolled_out(observed):
        return None
    if not puts_back(observed, parse_version(upgrade.path[0])):
        return None
    return refuse_image(observed) or wait_for_version(observed)


def wait_for_version(observed: Observed) -> Wait | None:
    """A change of version is under way, and its next step is not ours; of two voters neither can
    be restarted, so the size goes on.
    """
    upgrade = observed.status.upgrade
    if upgrade is None or refuse_image(observed) is not None or changes_from_two(observed):
        return None
    if wait_for_backup(observed) is not None:
        return None
    missing = (
        unfinished(observed, upgrade)
        if is_taken(observed, upgrade)
        else unprepared(observed, upgrade)
    )
    down = is_down(observed, upgrade)
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
        saved=after.saved if after else "",
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


def _text(version: Version) -> str:
    return f"v{version}"


def _shown(upgrade: UpgradeStatus) -> str:
    return ", then ".join(upgrade.path)
