"""The numbers etcd gives to members, clusters and leases, as types of their own.

A member ID and a cluster ID are both 64-bit numbers; mixing them up removes the wrong member.
etcd's log and etcdctl print IDs as hexadecimal without leading zeros, and so do status, events and
logs here.
"""

from __future__ import annotations

import re
from typing import NewType

MemberID = NewType("MemberID", int)
ClusterID = NewType("ClusterID", int)
LeaseID = NewType("LeaseID", int)

_HEX = re.compile(r"[0-9a-fA-F]{1,16}")


def member_id_hex(member_id: MemberID) -> str:
    """`8e9e05c52164694d`: as etcd's log and `etcdctl member list` print it."""
    return f"{member_id:x}"


def cluster_id_hex(cluster_id: ClusterID) -> str:
    """`cdf818194e3a8c32`: as etcd's log prints it."""
    return f"{cluster_id:x}"


def parse_member_id(text: str) -> MemberID:
    """The reverse of `member_id_hex`. Raises ValueError for anything but 1 to 16 hex digits."""
    if _HEX.fullmatch(text) is None:
        message = f"not an ID: {text!r}"
        raise ValueError(message)
    return MemberID(int(text, 16))


def parse_cluster_id(text: str) -> ClusterID:
    """The reverse of `cluster_id_hex`. Raises ValueError for anything but 1 to 16 hex digits."""
    return ClusterID(parse_member_id(text))
