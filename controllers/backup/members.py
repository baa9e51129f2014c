"""Which members of a cluster are asked for a backup, and in which order. Pure.

Followers first, so that the leader is left to its work. Without quorum nobody is ready: then any
voter that answers will do, because a member reads its own data without asking the others. Learners
may lag behind as far as they like, and are left out.
"""

from urllib.parse import urlsplit

from api.v1alpha1.cluster_status import ClusterStatus, MemberStatus
from controllers.backup.order import MemberAddress
from etcd.dialer import CLIENT_PORT


def members_to_ask(status: ClusterStatus) -> tuple[MemberAddress, ...]:
    """The members that can be saved, the best one first."""
    voters = [one for one in status.members if one.role != "learner" and one.client_url]
    return tuple(_address(member) for member in sorted(voters, key=_rank))


def _rank(member: MemberStatus) -> tuple[bool, bool, str]:
    return (not member.ready, member.role == "leader", member.name)


def _address(member: MemberStatus) -> MemberAddress:
    url = urlsplit(member.client_url)
    return MemberAddress(
        name=member.name, id=member.id, host=url.hostname or "", port=url.port or CLIENT_PORT
    )
