"""What a rotation of an authority waits for, before its next phase can begin.

Pure; questions that the rules of `rotation` ask.  They are answered by what can't be otherwise: by
what pods mount, what members show at a handshake, what the Secrets hold, and else by time.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from api.labels import PEER_TLS_VOLUME, SERVER_TLS_VOLUME, stateful_set_name
from api.v1alpha1.cluster_status import AuthorityRotation, AuthorityStatus
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.subjects import secret_name
from controllers.cluster.certificates.trust import (
    ROLES,
    SHOWN,
    Bundle,
    Phase,
    grace_ends,
    recorded,
)
from controllers.cluster.members import voters
from controllers.cluster.membership import is_asleep
from controllers.cluster.observed import Observed, Pod
from controllers.cluster.plan.accepted import is_formed
from controllers.cluster.plan.certificates import certificate_trouble, due, tls_identity
from controllers.cluster.plan.edits import may_restart
from controllers.cluster.plan.refusals import refusal
from controllers.cluster.plan.template import newest
from controllers.cluster.render.tls import bundle_key, mounted_bundles

VOLUMES: Final = {Role.CLIENT_CA: SERVER_TLS_VOLUME, Role.PEER_CA: PEER_TLS_VOLUME}
# kubelet looks at each pod at least every minute and a half (pkg/kubelet/pod_workers.go,
# workerResyncIntervalJitterFactor): where no member can be asked what it shows, a healthy one has
# new files after this long with certainty.
_SURELY_MOUNTED: Final = timedelta(minutes=10)


def rotation_of_cluster(observed: Observed) -> AuthorityRotation | None:
    return observed.status.authorities.rotation if observed.status.authorities else None


def under_way(observed: Observed) -> tuple[AuthorityStatus, AuthorityRotation, Role] | None:
    """The record, while what is in the Secrets is known."""
    authorities, rotation = observed.status.authorities, rotation_of_cluster(observed)
    if authorities is None or rotation is None or rotation.authority not in ROLES:
        return None
    if tls_identity(observed) is None or observed.certificates.unread:
        return None
    return authorities, rotation, ROLES[rotation.authority]


def disturbance(observed: Observed) -> str:
    """What else is going on that a rotation would have to be told apart from; empty when nothing
    is.
    """
    trouble = certificate_trouble(observed)
    return unrest(observed) or (trouble.message if trouble else "")


def unrest(observed: Observed) -> str:
    """What keeps members from being as they should be, but for certificates; empty when nothing
    does.
    """
    status, bootstrap = observed.status, observed.status.bootstrap
    if not is_formed(observed) or bootstrap is None or not bootstrap.closed:
        return "waiting for all members to have started"
    if is_asleep(observed):
        return "waiting for the cluster to be woken"
    if observed.applied is None or observed.etcd.members is None:
        return "waiting for etcd to answer"
    members = (
        (status.joining is not None, "waiting for a member to have joined"),
        (status.upgrade is not None, "waiting for the change of version to end"),
        (not all(view.healthy for view in voters(observed)), "waiting for all members to be well"),
    )
    return next((words for holds, words in members if holds), "")


def waits_for(observed: Observed) -> str:
    """What keeps the next phase from beginning; empty when nothing does."""
    found, who = under_way(observed), tls_identity(observed)
    assert found is not None
    assert who is not None
    authorities, rotation, role = found
    leaves = due(observed, who)
    if leaves:
        refused = refusal(observed, (secret_name(who.name, leaf) for leaf in leaves))
        return refused or "its certificates are being written"
    phase, old = Phase(rotation.phase), recorded(authorities, role)
    ends = applications_have_until(observed)
    if phase is Phase.PREPARING:
        refused = refusal(observed, (secret_name(who.name, role),))
        return refused or "the next one is being made"
    late = {
        Phase.TRUSTING: _waits_for_trust(observed, role, (old, rotation.next)),
        Phase.REPLACING: "" if ends else _waits_for_members(observed, role),
        Phase.DROPPING: _waits_for_trust(observed, role, (rotation.next,)),
    }.get(phase, "")
    if not late and ends is not None:
        return f"applications have until {ends:%Y-%m-%d %H:%M} UTC to take up their new files"
    restarts = phase in {Phase.SPREADING, Phase.REPLACING}
    return late or (_waits_to_restart(observed) if restarts else "")


def to_show(observed: Observed, role: Role) -> str:
    """The fingerprint of the leaf that members show at an authority's port; empty without one."""
    secret = observed.certificates.facts.get(SHOWN[role])
    return secret.certificate.fingerprint if secret and secret.certificate else ""


def _waits_to_restart(observed: Observed) -> str:
    return "" if may_restart(observed) else "members may be restarted in a maintenance window only"


def _waits_for_trust(observed: Observed, role: Role, bundle: Bundle) -> str:
    """A pod has read what it mounts as ca.crt, as there is nothing else it could have read."""
    key, volume = bundle_key(bundle), VOLUMES[role]
    made = observed.live.get(("StatefulSet", stateful_set_name(observed.name)), {})
    template = made.get("spec", {}).get("template", {}).get("spec", {})
    if newest(observed) is None or mounted_bundles(template).get(volume) != key:
        return "the newest template is not in force yet"
    others = [pod.name for pod in observed.pods if pod.bundles.get(volume) != key]
    missing = [view.name for view in voters(observed) if view.pod is None]
    late = ", ".join((*others, *missing))
    return f"{late} to be restarted with another trust" if late else ""


def _waits_for_members(observed: Observed, role: Role) -> str:
    """Each of them shows the certificate that its Secret holds; or it must have it by now."""
    rotation, wanted = rotation_of_cluster(observed), to_show(observed, role)
    assert rotation is not None
    shown = observed.certificates.shown
    sure = observed.now >= rotation.since + _SURELY_MOUNTED
    late = [pod.name for pod in observed.pods if not _shows(pod, wanted, shown, sure=sure)]
    return f"{', '.join(late)} to show the new certificate" if late else ""


def _shows(pod: Pod, wanted: str, shown: Mapping[str, str], *, sure: bool) -> bool:
    seen = shown.get(pod.name, "")
    return seen == wanted or (sure and not seen)


def applications_have_until(observed: Observed) -> datetime | None:
    """Until when they have time to take up what changed; None when that is over, or nothing did."""
    return grace_ends(observed.status.authorities, observed.applied, observed.now)
