"""Rules that take up an edit of a formed cluster: each part in its own way to the members.

What touches no member is in force at once.  What restarts members is in force once the API server
has taken the template in a dry run, and not before a maintenance window opens, unless a member is
down that it may mend.  What comes only from a newer operator waits for a switch or a window.  The
image has rules of its own (`upgrade`), and so have the volumes (`volumes`).
"""

from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from api.changes import Kind, changed_fields, taken
from api.reasons import Reason
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import Rendering
from controllers.cluster.members import members_of
from controllers.cluster.membership import is_asleep
from controllers.cluster.observed import Observed, derived
from controllers.cluster.options import option_errors
from controllers.cluster.plan.accepted import (
    accepted_edit,
    edited_kinds,
    is_formed,
    refused_by_server,
)
from controllers.cluster.plan.claims import claims_of_members, must_move
from controllers.cluster.plan.saving import is_awake_unsaved
from controllers.cluster.plan.sources import with_sources_held
from controllers.cluster.plan.steps import RecordSpec, Wait
from controllers.cluster.render import rendered_for, restarted, stateful_set_for
from controllers.cluster.windows import is_open, may_disrupt, next_opening

_MOST_SHOWN: Final = 20
_AT_ONCE: Final = (Kind.LIVE, Kind.TLS)


def accept_live(observed: Observed) -> RecordSpec | None:
    """What takes effect without touching a member; TLS is then switched by rules of its own.

    Sleep waits until the cluster is saved.
    """
    wanted, applied = accepted_edit(observed), observed.applied
    if wanted is None or applied is None or edited_kinds(observed).isdisjoint(_AT_ONCE):
        return None
    new = taken(applied, with_sources_held(observed, wanted), *_AT_ONCE)
    if is_awake_unsaved(observed):
        new = new.model_copy(update={"size": applied.size})
    return None if new == applied else RecordSpec(spec=new.to_json(), why="Accept the new spec")


def accept_template(observed: Observed) -> RecordSpec | None:
    """What restarts the members; together with another image it is in force when that is."""
    new = _waiting_template(observed)
    if new is None or refused_by_server(observed) or not may_restart(observed):
        return None
    return record(observed, new, "Accept the new spec: members are to be restarted")


def accept_restart(observed: Observed) -> RecordSpec | None:
    """The annotation asks for a restart of all members: a change of the template like another."""
    recorded, asked = observed.status.rendered, observed.restart_asked
    if not asked or recorded is None or observed.applied is None or not is_formed(observed):
        return None
    new = restarted(recorded, asked)
    if new == recorded:
        return None
    return RecordSpec(
        spec=observed.applied.to_json(),
        rendered=new,
        why=f"Restart all members, as the annotation asks ({asked})",
    )


def accept_operator_changes(observed: Observed) -> RecordSpec | None:
    """What this version of the operator makes otherwise, once it may."""
    applied, fresh = observed.applied, _fresh(observed)
    if applied is None or fresh is None:
        return None
    if observed.status.rendered is None:
        return RecordSpec(spec=applied.to_json(), rendered=fresh, why="Record what was made so far")
    may = applied.accept_operator_changes or is_open(applied.maintenance_windows, observed.now)
    if not may or not operator_changes(observed) or refused_by_server(observed):
        return None
    return record(observed, applied, "Roll out what this version of the operator makes otherwise")


def wait_for_window(observed: Observed) -> Wait | None:
    """An edit that waits for its window."""
    applied = observed.applied
    image = Kind.IMAGE in edited_kinds(observed) and observed.status.upgrade is None
    waiting = image or _waiting_template(observed) is not None or _moves_members(observed)
    if applied is None or accepted_edit(observed) is None or not waiting or may_restart(observed):
        return None
    opens = next_opening(applied.maintenance_windows, observed.now)
    at = f"opens at {opens:%Y-%m-%d %H:%M} UTC" if opens else "never opens: correct its schedule"
    return Wait(
        reason=Reason.WAITING_FOR_WINDOW,
        message=f"The edit restarts members and waits for a maintenance window, which {at}",
        not_before=opens,
        recheck_s=30.0,
    )


def may_restart(observed: Observed) -> bool:
    """Whether an edit that restarts healthy members is done now: a window is open, or there is
    none, or nobody runs, or somebody is down whom the edit may help.
    """
    applied = observed.applied
    assert applied is not None
    return (
        may_disrupt(applied.maintenance_windows, observed.now)
        or is_asleep(observed)
        or in_trouble(observed)
    )


def in_trouble(observed: Observed) -> bool:
    """Whether a member's pod can't run as it was made."""
    views = members_of(observed)
    return any(v.pod is not None and v.pod.problem is not None and v.status is None for v in views)


def record(observed: Observed, new: ClusterSpec, why: str) -> RecordSpec:
    """Put a spec in force, with what is made of it, if the API server takes it."""
    bootstrap = observed.status.bootstrap
    assert bootstrap is not None
    rendered = rendered_for(observed, new, bootstrap)
    size = len(bootstrap.members)
    return RecordSpec(
        spec=new.to_json(),
        rendered=rendered,
        dry_run=stateful_set_for(observed, new, bootstrap, rendered, size=size),
        why=why,
    )


@derived
def operator_changes(observed: Observed) -> tuple[str, ...]:
    """The paths at which this operator would make the accepted spec otherwise; a few of them."""
    recorded, fresh = observed.status.rendered, _fresh(observed)
    if recorded is None or fresh is None:
        return ()
    before, after = _json(recorded), _json(fresh)
    if before == after:
        return ()
    paths = [
        *_differences(recorded.pod_template, fresh.pod_template, "podTemplate"),
        *_differences(recorded.options, fresh.options, "options"),
    ]
    return tuple(paths[:_MOST_SHOWN]) or ("the format of the configuration files",)


def _waiting_template(observed: Observed) -> ClusterSpec | None:
    """The accepted spec with what the edit changes in the template, None when nothing is to do.

    With another image its options may fit the new version only; then they come with it.
    """
    wanted, applied = accepted_edit(observed), observed.applied
    if wanted is None or applied is None or Kind.TEMPLATE not in edited_kinds(observed):
        return None
    if Kind.IMAGE in edited_kinds(observed) and not in_trouble(observed):
        return None
    new = taken(applied, wanted, Kind.TEMPLATE)
    return None if option_errors(new) or not changed_fields(applied, new) else new


def _moves_members(observed: Observed) -> bool:
    """Whether the edit has members replaced by ones on other volumes."""
    wanted = accepted_edit(observed)
    if wanted is None or Kind.VOLUME not in edited_kinds(observed):
        return False
    return any(must_move(claim, wanted.storage) for claim in claims_of_members(observed))


@derived
def _fresh(observed: Observed) -> Rendering | None:
    bootstrap = observed.status.bootstrap
    if observed.applied is None or bootstrap is None or not is_formed(observed):
        return None
    return rendered_for(observed, observed.applied, bootstrap)


def _json(rendered: Rendering) -> bytes:
    return orjson.dumps(rendered.to_json(), option=orjson.OPT_SORT_KEYS)


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(old, new, f"{path}[{number}]")
    elif before != after and not _is_ours(path):
        yield path


def _is_ours(path: str) -> bool:
    """The hash of the rest, which says nothing to anybody."""
    return path.endswith("/template-hash")
