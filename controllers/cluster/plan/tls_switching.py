"""Rules that switch TLS on or off on a cluster that runs, with clients or among its members.

`listeners.py` says what each phase is for.  A phase begins with a write of status, when what the
one before it was for is seen to be done on every member; all it asks for follows from the record,
by these rules and by those of certificates, objects and rolls.  So it can be interrupted anywhere.
What must never happen: two members that can't call each other, whichever of them restarts.
"""

import dataclasses
from datetime import datetime, timedelta
from typing import Final

from api.duration import parse_duration
from api.reasons import Reason
from api.tls_decision import tls_of
from api.v1alpha1.cluster_status import Rendering, TLSChange, TLSStatus
from controllers.cluster.certificates.facts import AUTHORITIES
from controllers.cluster.certificates.trust import recorded
from controllers.cluster.epochs import is_switching
from controllers.cluster.listeners import CLIENT, PEER, Phase, scheme
from controllers.cluster.members import is_at, voters
from controllers.cluster.observed import Observed
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.certificates import certificate_trouble
from controllers.cluster.plan.edits import may_restart
from controllers.cluster.plan.rotation_waits import VOLUMES, rotation_of_cluster, unrest
from controllers.cluster.plan.steps import Wait
from controllers.cluster.plan.switching_steps import NameMember, RecordSwitch
from controllers.cluster.plan.template import is_rolled_out
from controllers.cluster.render import identity, rendered_for, trusting
from controllers.cluster.render.config_files import config_file_name
from controllers.cluster.render.tls import bundle_key

# Which phase follows, by listener; after the last one it is over.
_PHASES: Final = {
    CLIENT: (Phase.CERTIFYING, Phase.OPENING, Phase.SERVING, Phase.CLOSING),
    PEER: (Phase.CERTIFYING, Phase.PREPARING, Phase.SWITCHING, Phase.SETTLING),
}
# From here on the record says how members are started anew; until then, how they were before.
_TURNS: Final = frozenset({Phase.CLOSING, Phase.SWITCHING})
# Taken back in these, nothing has come of it that members need.
_UNSEEN: Final = frozenset({Phase.CERTIFYING, Phase.PREPARING})
_BOTH_SERVED: Final = frozenset({Phase.OPENING, Phase.SERVING})
_WITH: Final = {CLIENT: "with clients", PEER: "among the members"}
_NS_PER_US: Final = 1000
_RECHECK_S: Final = 1.0
_PATIENT_S: Final = 30.0


def name_members(observed: Observed) -> NameMember | None:
    """Voters have the peer URLs that are recorded: one after the other, before anybody joins, so
    that a joining member's file is right about the others.

    A learner keeps its own, and nobody loses all it has: the others call it by those.
    """
    bootstrap, listed = observed.status.bootstrap, observed.etcd.members
    if bootstrap is None or listed is None or observed.status.joining is not None:
        return None
    who = identity(observed, bootstrap)
    for view in voters(observed):
        member, urls = view.member, who.peer_urls(view.ordinal)
        if member is None or member.is_learner or {*member.peer_urls} == {*urls}:
            continue
        is_alone = sum(is_at(other, urls[0]) for other in listed) == 1
        if is_alone and not {*member.peer_urls}.isdisjoint(urls):
            return NameMember(name=view.name, id=member.id, peer_urls=urls)
    return None


def switch(observed: Observed) -> RecordSwitch | None:
    """A change begins, comes to its next phase, or is over."""
    tls = _recorded(observed)
    if tls is None:
        return None
    taken_back = _taken_back(observed, tls)
    if taken_back is not None:
        return taken_back
    following = _following(observed, tls)
    return None if following is None or waits_for(observed) else following


def wait_for_switch(observed: Observed) -> Wait | None:
    """How far a change is, and what it waits for."""
    tls = _recorded(observed)
    change = _wanted(observed, tls) if tls is not None else None
    if tls is None or change is None:
        return None
    ends = _clients_have_until(observed, tls)
    how_far = f" ({tls.change.phase})" if tls.change is not None else ""
    why = waits_for(observed) or "its next phase begins"
    return Wait(
        reason=Reason.SWITCHING_TLS,
        message=f"TLS {_WITH[change.listener]} is being switched {_on(change)}{how_far}: {why}",
        recheck_s=_PATIENT_S if ends else _RECHECK_S,
        not_before=ends,
    )


def waits_for(observed: Observed) -> str:
    """What keeps a change from beginning, or from its next phase; empty when nothing does."""
    tls = _recorded(observed)
    assert tls is not None
    change = _wanted(observed, tls)
    restless = unrest(observed)
    if restless or change is None:
        return restless
    if observed.status.next_epoch is not None or is_switching(observed.status):
        # The data that are prepared name their first member by the URL that members have now.
        return "waiting for the restore to end"
    trouble = certificate_trouble(observed) if change.enabled else None
    if trouble is not None:
        return trouble.message
    if rotation_of_cluster(observed) is not None:
        return "waiting for an authority to have been replaced"
    return (
        _waits_for_members(observed)
        or _waits_for_clients(observed, tls)
        or _waits_for_window(observed, tls)
    )


def _recorded(observed: Observed) -> TLSStatus | None:
    """With whom members speak TLS; None before there is a cluster that could change it, and where
    the accepted spec has never said (it is of an operator that knew no TLS).
    """
    bootstrap, applied = observed.status.bootstrap, observed.applied
    if bootstrap is None or applied is None or not is_formed(observed):
        return None
    said = applied.security.tls.enabled is not None
    return tls_of(bootstrap, observed.status.tls) if said else None


def _wishes(observed: Observed) -> dict[str, bool]:
    assert observed.applied is not None
    tls = observed.applied.security.tls
    return {PEER: tls.among_members, CLIENT: tls.with_clients}


def _wanted(observed: Observed, tls: TLSStatus) -> TLSChange | None:
    """The change that is under way, or the first that has to begin: members come first, because
    clients take long.
    """
    if tls.change is not None:
        return tls.change
    now = {PEER: tls.peer, CLIENT: tls.client}
    for listener, enabled in _wishes(observed).items():
        if enabled is not now[listener]:
            return _in_phase(observed, listener, Phase.CERTIFYING, enabled=enabled)
    return None


def _in_phase(observed: Observed, listener: str, phase: Phase, *, enabled: bool) -> TLSChange:
    since = observed.now.replace(microsecond=0)
    return TLSChange(listener=listener, enabled=enabled, phase=phase.value, since=since)


def _taken_back(observed: Observed, tls: TLSStatus) -> RecordSwitch | None:
    """Somebody wants it as it was.  Beyond these phases the change is brought to its end first."""
    change = tls.change
    if change is None or change.enabled is _wishes(observed)[change.listener]:
        return None
    words = f"TLS {_WITH[change.listener]} is to stay {_on(change, back=True)} after all"
    if change.phase in _UNSEEN:
        return _step(observed, tls.model_copy(update={"change": None}), words)
    if change.phase in _BOTH_SERVED:
        back = _in_phase(observed, change.listener, Phase(change.phase), enabled=not change.enabled)
        return _step(observed, tls.model_copy(update={"change": back}), words)
    return None


def _following(observed: Observed, tls: TLSStatus) -> RecordSwitch | None:
    """The record after the next step; None when there is nothing to change."""
    change = _wanted(observed, tls)
    if change is None:
        return None
    if tls.change is None:
        return _entered(observed, tls, change, Phase.CERTIFYING)
    phases = _PHASES[change.listener]
    after = phases[phases.index(Phase(change.phase)) + 1 :]
    if after:
        return _entered(observed, tls, change, after[0])
    words = f"TLS {_WITH[change.listener]} is {_on(change)}"
    return _step(observed, tls.model_copy(update={"change": None}), words)


def _entered(observed: Observed, tls: TLSStatus, change: TLSChange, phase: Phase) -> RecordSwitch:
    new = _in_phase(observed, change.listener, phase, enabled=change.enabled)
    turned = {change.listener: change.enabled} if phase in _TURNS else {}
    after = tls.model_copy(update={"change": new, **turned})
    words = _WORDS[phase].format(
        switch=f"Switch TLS {_on(change)} {_WITH[change.listener]}",
        new=scheme(tls=change.enabled),
        until=f"{_grace_ends(observed, new):%Y-%m-%d %H:%M} UTC",
    )
    return _step(observed, after, words)


def _step(observed: Observed, after: TLSStatus, why: str) -> RecordSwitch:
    """The template is made anew only where it becomes another one by this."""
    bootstrap, applied = observed.status.bootstrap, observed.applied
    assert bootstrap is not None
    assert applied is not None
    later = dataclasses.replace(observed, status=observed.status.model_copy(update={"tls": after}))
    fresh = rendered_for(later, applied, bootstrap)
    if not identity(observed, bootstrap).listeners.mounts:
        fresh = _trusting_by_name(later, fresh)
    is_same = fresh == rendered_for(observed, applied, bootstrap)
    endpoints = identity(later, bootstrap).client_endpoints()
    # Both ways are told of when every member serves both.
    opening = after.change is not None and after.change.phase == Phase.OPENING
    return RecordSwitch(
        tls=after,
        endpoints=endpoints[:1] if opening else endpoints,
        why=why,
        rendered=None if is_same else fresh,
        without_authorities=not (after.client or after.peer or after.change),
    )


def _trusting_by_name(observed: Observed, fresh: Rendering) -> Rendering:
    """Members that begin to have certificates read whom they trust under names of their own: a copy
    of their Secrets may still be one of another time with TLS, and of other authorities.
    """
    authorities, bootstrap = observed.status.authorities, observed.status.bootstrap
    assert bootstrap is not None
    if authorities is None or not identity(observed, bootstrap).listeners.mounts:
        return fresh
    alone = {VOLUMES[role]: (recorded(authorities, role),) for role in AUTHORITIES}
    return trusting(fresh, {volume: bundle_key(bundle) for volume, bundle in alone.items()})


def _waits_for_members(observed: Observed) -> str:
    """Every voter runs the newest template, and etcd lists it under the recorded URLs."""
    bootstrap, rendered = observed.status.bootstrap, observed.status.rendered
    assert bootstrap is not None
    if rendered is None or not is_rolled_out(observed):
        return "waiting for the members to be restarted"
    end = config_file_name("", rendered.digest)
    other = [
        view.name
        for view in voters(observed)
        if view.pod is None or not (view.pod.config_file or "").endswith(end)
    ]
    if other:
        return f"waiting for {', '.join(other)} to be restarted"
    who = identity(observed, bootstrap)
    unnamed = [
        view.name
        for view in voters(observed)
        if view.member is None or {*view.member.peer_urls} != {*who.peer_urls(view.ordinal)}
    ]
    return f"waiting for {', '.join(unnamed)} to have other peer URLs" if unnamed else ""


def _waits_for_clients(observed: Observed, tls: TLSStatus) -> str:
    ends = _clients_have_until(observed, tls)
    if ends is not None:
        return f"clients have until {ends:%Y-%m-%d %H:%M} UTC to go over"
    change, auth = tls.change, observed.status.auth
    if change is None or change.phase != Phase.SERVING or change.enabled or auth is None:
        return ""
    is_off = observed.auth.store is not None and not observed.auth.store.enabled
    return "" if is_off else "waiting for authentication to be off"


def _waits_for_window(observed: Observed, tls: TLSStatus) -> str:
    following = _following(observed, tls)
    if following is None or following.rendered is None or may_restart(observed):
        return ""
    return "members may be restarted in a maintenance window only"


def _clients_have_until(observed: Observed, tls: TLSStatus) -> datetime | None:
    """None when that is over, or has not begun."""
    if tls.change is None or tls.change.phase != Phase.SERVING:
        return None
    ends = _grace_ends(observed, tls.change)
    return ends if observed.now < ends else None


def _grace_ends(observed: Observed, change: TLSChange) -> datetime:
    assert observed.applied is not None
    grace_us = parse_duration(observed.applied.security.tls.rotation_grace_period) // _NS_PER_US
    return change.since + timedelta(microseconds=grace_us)


def _on(change: TLSChange, *, back: bool = False) -> str:
    return "on" if change.enabled is not back else "off"


_WORDS: Final = {
    Phase.CERTIFYING: "{switch}",
    Phase.OPENING: "Restart the members to serve clients by http and https",
    Phase.SERVING: "Clients are served by http and https until {until}: have them use {new}",
    Phase.CLOSING: "Restart the members to serve clients by {new} alone",
    Phase.PREPARING: "Give each member a second peer URL, and have all able to call by both",
    Phase.SWITCHING: "Restart the members to listen to each other by {new}",
    Phase.SETTLING: "Take each member's old peer URL away",
}
