"""What every answer of etcd begins with, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from etcd.ids import ClusterID, MemberID

if TYPE_CHECKING:
    from etcd.proto import header_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Who answered (`member_id` of `cluster_id`), in which raft term, at which revision.

    revision: of the key-value store; 0 in answers that don't touch it (Cluster, most of Auth).
    """

    cluster_id: ClusterID
    member_id: MemberID
    revision: int
    raft_term: int


def header_of(message: header_pb2.ResponseHeader) -> Header:
    return Header(
        cluster_id=ClusterID(message.cluster_id),
        member_id=MemberID(message.member_id),
        revision=message.revision,
        raft_term=message.raft_term,
    )
