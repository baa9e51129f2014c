"""Joins what etcd says of its members with the pods that run them: one view per recorded member.

Pure.  Members are matched by peer URL, never by name: an unstarted member has none, and a name can
be republished.  Used by the planner's health rules and by status, so that both mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from api.labels import pod_name
from controllers.cluster.membership import ordinals_of, quorum, voters_of
from controllers.cluster.observed import Observed, Pod, derived
from controllers.cluster.render import Identity, identity
from controllers.cluster.render.identity import address_of
from etcd.cluster import Member
from etcd.ids import MemberID, member_id_hex
from etcd.maintenance import AlarmKind, Status

Role = Literal["leader", "follower", "learner"]

# Etcd is well by its own word, kubelet's probe has not said so (yet).
_NOT_READY: Final = "not ready"
# A voter that was restarted has its log, and only what was written meanwhile is missing: far less
# than what etcd lets a learner lack (server/etcdserver/server.go, readyPercentThreshold).
_ENTRIES_BEHIND: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOfMember:
    """One member.  `reason` is empty when it is healthy, else why it is not, in a few words."""

    name: str
    ordinal: int
    peer_url: str
    client_url: str
    member: Member | None
    pod: Pod | None
    status: Status | None
    role: Role | None
    reason: str

    @property
    def healthy(self) -> bool:
        """A voter that answers, knows the leader and whose pod is ready."""
        return not self.reason

    @property
    def member_id(self) -> str:
        """In hexadecimal as etcdctl prints it; empty while etcd has not told it."""
        return member_id_hex(self.member.id) if self.member else ""


@derived
def members_of(observed: Observed) -> tuple[ViewOfMember, ...]:
    """One view for each recorded member, who joins included, in the order of their ordinals."""
    bootstrap = observed.status.bootstrap
    if bootstrap is None:
        return ()
    who = identity(observed, bootstrap)
    listed = {
        address_of(url): member
        for member in observed.etcd.members or ()
        for url in member.peer_urls
    }
    leader = observed.etcd.leader
    return tuple(_view(observed, n, who, listed, leader) for n in ordinals_of(observed.status))


@derived
def voters(observed: Observed) -> tuple[ViewOfMember, ...]:
    """The views of the recorded voters: who the health of the cluster is judged by."""
    recorded = voters_of(observed.status)
    return tuple(view for view in members_of(observed) if view.ordinal in recorded)


def at_url(observed: Observed, url: str) -> Member | None:
    """The entry of etcd's list under this peer URL, however it begins."""
    return next((m for m in observed.etcd.members or () if is_at(m, url)), None)


def is_at(member: Member, url: str) -> bool:
    """Whether etcd lists the member under this peer URL, however it begins."""
    return address_of(url) in map(address_of, member.peer_urls)


def keeps_quorum_without(observed: Observed, ordinal: int) -> bool:
    """Whether the sound voters but this one are a quorum of all voters but this one."""
    leaving = next((view for view in members_of(observed) if view.ordinal == ordinal), None)
    listed = [m for m in observed.etcd.members or () if not m.is_learner]
    rest = [m for m in listed if leaving is None or leaving.member != m]
    able = [v for v in voters(observed) if v.ordinal != ordinal and _can_vote(observed, v)]
    return bool(rest) and len(able) >= quorum(len(rest))


def caught_up(observed: Observed, view: ViewOfMember) -> bool:
    """Whether it has applied nearly all that the leader has in its log."""
    leads = next((v.status for v in voters(observed) if v.role == "leader" and v.status), None)
    if leads is None or view.status is None:
        return False
    return leads.raft_index - view.status.raft_applied_index <= _ENTRIES_BEHIND


def serves(observed: Observed, view: ViewOfMember) -> bool:
    """Whether etcd itself calls it a voter that is well, whatever kubelet last found: it answers
    under the ID that a linearizable list has as a voter's, knows the leader, has caught up, and
    nobody has raised an alarm.
    """
    is_voter = view.member is not None and not view.member.is_learner
    is_quiet = not observed.etcd.alarms
    return is_voter and is_quiet and view.reason in {"", _NOT_READY} and caught_up(observed, view)


def _can_vote(observed: Observed, view: ViewOfMember) -> bool:
    """Healthy; or kept from being ready by the alarm CORRUPT alone, which fails every member's
    `/readyz` until the corrupt one is gone (server/etcdserver/api/etcdhttp/health.go).  The one it
    names may still vote, but those who stay must be able to do without its data.
    """
    if is_corrupt(observed, view):
        return False
    alarmed = any(alarm.kind is AlarmKind.CORRUPT for alarm in observed.etcd.alarms)
    return view.healthy or (alarmed and view.reason == _NOT_READY)


def is_corrupt(observed: Observed, view: ViewOfMember) -> bool:
    """Whether the alarm CORRUPT names it: its data differs from the others'."""
    return view.member is not None and any(
        alarm.kind is AlarmKind.CORRUPT and alarm.member_id == view.member.id
        for alarm in observed.etcd.alarms
    )


@derived
def strangers(observed: Observed) -> tuple[Member, ...]:
    """Members in etcd's list that are none of ours: somebody added them by hand."""
    bootstrap, joining = observed.status.bootstrap, observed.status.joining
    if bootstrap is None:
        return ()
    who = identity(observed, bootstrap)
    ours = [who.peer_url(n) for n in voters_of(observed.status)]
    if joining is not None:
        ours.append(who.peer_url(joining.ordinal))
    return tuple(
        member
        for member in observed.etcd.members or ()
        if not any(is_at(member, url) for url in ours)
    )


def _view(
    observed: Observed,
    ordinal: int,
    who: Identity,
    listed: Mapping[str, Member],
    leader: MemberID | None,
) -> ViewOfMember:
    name, peer_url = pod_name(observed.name, ordinal), who.peer_url(ordinal)
    pod, member = observed.pod(ordinal), listed.get(address_of(peer_url))
    status = observed.etcd.statuses.get(name)
    return ViewOfMember(
        name=name,
        ordinal=ordinal,
        peer_url=peer_url,
        client_url=who.client_url(ordinal),
        member=member,
        pod=pod,
        status=status,
        role=_role(leader, member, status),
        reason=_reason(observed, name, pod, member, status),
    )


def _role(leader: MemberID | None, member: Member | None, status: Status | None) -> Role | None:
    if (member and member.is_learner) or (status and status.is_learner):
        return "learner"
    own = member.id if member else status.member_id if status else None
    if own is None:
        return None
    return "leader" if own == leader else "follower"


def _reason(
    observed: Observed, name: str, pod: Pod | None, member: Member | None, status: Status | None
) -> str:
    """The first thing that is wrong, from the outside in."""
    if pod is None:
        return "no pod"
    if pod.terminating:
        return "pod is terminating"
    if pod.problem is not None:
        return str(pod.problem.reason)
    if not pod.running:
        return "container is starting"
    if status is None:
        return observed.etcd.errors.get(name, "no answer")
    return _etcd_reason(observed, pod, member, status)


def _etcd_reason(observed: Observed, pod: Pod, member: Member | None, status: Status) -> str:
    if not status.leader:
        return "no leader"
    if observed.etcd.members is not None and member is None:
        return "not in the member list"
    if member is not None and member.id != status.member_id:
        return f"answers as member {member_id_hex(status.member_id)}"
    if status.is_learner:
        return "learner"
    return "" if pod.ready else _NOT_READY
