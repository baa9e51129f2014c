"""Which versions run, which are wanted, and by what path: questions of the rules of `upgrade`.

Pure.  "Mixed" is a cluster whose members run two minor versions.  While it is, the older one can
be put back: of an upgrade as long as a member still runs it, because etcd raises its version, and
with it the form of its data, only when none does (server/etcdserver/version/monitor.go); of a
downgrade always, the newer one reads both.
"""

from api.changes import Kind, taken
from api.errors import FieldError
from api.labels import ETCD_CONTAINER, stateful_set_name
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import UpgradeStatus
from controllers.cluster.members import ViewOfMember, voters
from controllers.cluster.observed import Observed, derived
from controllers.cluster.options import option_errors
from etcd.maintenance import Status
from etcd.version_path import PathRefusedError, VersionPath, version_path
from etcd.versions import Version, parse_version, reports_storage_version


def applied_version(observed: Observed) -> Version:
    """What the template names, and a pod that is made now runs."""
    assert observed.applied is not None
    return parse_version(observed.applied.version)


def template_version(observed: Observed) -> Version | None:
    """What the template names that is there, and may be older than what is recorded."""
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)))
    containers = made["spec"]["template"]["spec"]["containers"] if made else ()
    for container in containers:
        if container["name"] == ETCD_CONTAINER:
            try:
                return parse_version(container["image"].rpartition(":")[2])
            except ValueError:
                return None
    return None


def running(view: ViewOfMember, observed: Observed) -> Version | None:
    """What a voter runs by its own word, or ran when it was last heard of."""
    if view.status is not None:
        return parse_version(view.status.version)
    known = next((m.version for m in observed.status.members if m.name == view.name), "")
    return parse_version(known) if known else None


def storage_minor(status: Status) -> int | None:
    """The minor version whose form a member's data has; None while it has not said."""
    version = parse_version(status.version)
    if not reports_storage_version(version):
        return version.minor
    return parse_version(status.storage_version).minor if status.storage_version else None


def downgrade_target(observed: Observed) -> Version | None:
    """The target of a downgrade that is on, by anybody's word."""
    for status in observed.etcd.statuses.values():
        if status.downgrade is not None:
            return parse_version(status.downgrade.target_version)
    return None


def is_taken(observed: Observed, upgrade: UpgradeStatus) -> bool:
    """Whether the template names the next version of the path: members are being restarted."""
    applied = observed.applied
    assert applied is not None
    return (applied.version, applied.repository) == (upgrade.path[0], upgrade.repository)


def wants_other_image(observed: Observed) -> bool:
    """Whether the spec names another image than the template."""
    spec, applied = observed.spec, observed.applied
    if spec is None or applied is None:
        return False
    return (spec.version, spec.repository) != (applied.version, applied.repository)


@derived
def path(observed: Observed) -> VersionPath | PathRefusedError:
    """The way from what the template names to what the spec names: a single step for another
    repository, none for the same image.
    """
    if observed.spec is None or not wants_other_image(observed):
        return VersionPath(hops=())
    try:
        wanted = parse_version(observed.spec.version)
        found = _by_putting_back(observed, wanted) or version_path(
            applied_version(observed), wanted
        )
        _check_those_between(observed, found)
    except PathRefusedError as refused:
        return refused
    except ValueError:
        return PathRefusedError(f"{observed.spec.version} is not a release")
    return found if found.hops else VersionPath(hops=(wanted,))


def refused_version(observed: Observed) -> tuple[FieldError, ...]:
    """Why the edit's version can't be reached; options that a version of the path does not have."""
    found = path(observed)
    if isinstance(found, PathRefusedError):
        return (FieldError("spec.version", f"can't be reached: {found}"),)
    assert observed.applied is not None
    assert observed.spec is not None
    for hop in found.hops:
        if hop_spec(observed.applied, observed.spec, hop) is None:
            return _unfit_options(observed.applied, hop)
    return ()


def hop_spec(applied: ClusterSpec, wanted: ClusterSpec, version: Version) -> ClusterSpec | None:
    """The accepted spec with the version of a step, and with the edit's template fields where their
    options fit; with the old ones where only these do; None where neither do.
    """
    for base in (taken(applied, wanted, Kind.TEMPLATE), applied):
        step = base.model_copy(update={"version": f"v{version}", "repository": wanted.repository})
        if not option_errors(step):
            return step
    return None


def _unfit_options(applied: ClusterSpec, hop: Version) -> tuple[FieldError, ...]:
    step = applied.model_copy(update={"version": f"v{hop}"})
    return tuple(
        FieldError(error.field, f"does not fit etcd {hop}, which is on the way: {error.message}")
        for error in option_errors(step)
    )


def _by_putting_back(observed: Observed, wanted: Version) -> VersionPath | None:
    """The way over the version that ran before the step under way, where that one can be put back
    and lies in the wanted direction.
    """
    upgrade = observed.status.upgrade
    if upgrade is None or not is_taken(observed, upgrade):
        return None
    before, now = parse_version(upgrade.from_version), applied_version(observed)
    back = before.minor - now.minor
    if not back or (wanted.minor - now.minor) * back <= 0 or not _can_put_back(observed, before):
        return None
    if wanted.minor == before.minor:
        return VersionPath(hops=(wanted,))
    rest = version_path(before, wanted)
    return VersionPath(hops=(before, *rest.hops), warnings=rest.warnings)


def _check_those_between(observed: Observed, found: VersionPath) -> None:
    """Members that don't run yet what the template names take the first step from what they run:
    where that is another minor version, its gate holds for them. Raises PathRefusedError.
    """
    first = found.hops[0] if found.hops else applied_version(observed)
    for view in voters(observed):
        version = running(view, observed)
        if version is not None and abs(first.minor - version.minor) == 1:
            version_path(version, first)


def _can_put_back(observed: Observed, before: Version) -> bool:
    answers = [view.status for view in voters(observed) if view.status is not None]
    versions = [parse_version(status.version) for status in answers]
    still_run = any(version.minor == before.minor for version in versions)
    if before.minor > applied_version(observed).minor:
        return still_run or downgrade_target(observed) is not None
    return still_run and all(storage_minor(status) == before.minor for status in answers)
