"""Every method of etcd's gRPC interface that we call, with its message types.

Written by hand instead of protoc's service stubs: those are untyped and demand the very grpcio they
were generated with. A test compares this table with the services in `etcd/proto/*.proto`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from etcd.proto import auth_pb2 as auth
from etcd.proto import cluster_pb2 as cluster
from etcd.proto import health_pb2 as health
from etcd.proto import kv_pb2 as kv
from etcd.proto import lease_pb2 as lease
from etcd.proto import maintenance_pb2 as maintenance
from etcd.proto import watch_pb2 as watch

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Req, Resp]):
    """One method. service: as on the wire (`etcdserverpb.KV`); name: `Range`."""

    service: str
    name: str
    request: type[Req]
    response: type[Resp]

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


_KV: Final = "etcdserverpb.KV"
RANGE: Final = Rpc(_KV, "Range", kv.RangeRequest, kv.RangeResponse)
PUT: Final = Rpc(_KV, "Put", kv.PutRequest, kv.PutResponse)
DELETE_RANGE: Final = Rpc(_KV, "DeleteRange", kv.DeleteRangeRequest, kv.DeleteRangeResponse)
TXN: Final = Rpc(_KV, "Txn", kv.TxnRequest, kv.TxnResponse)
COMPACT: Final = Rpc(_KV, "Compact", kv.CompactionRequest, kv.CompactionResponse)

WATCH: Final = Rpc("etcdserverpb.Watch", "Watch", watch.WatchRequest, watch.WatchResponse)

_LEASE: Final = "etcdserverpb.Lease"
LEASE_GRANT: Final = Rpc(_LEASE, "LeaseGrant", lease.LeaseGrantRequest, lease.LeaseGrantResponse)
LEASE_REVOKE: Final = Rpc(
    _LEASE, "LeaseRevoke", lease.LeaseRevokeRequest, lease.LeaseRevokeResponse
)
LEASE_KEEP_ALIVE: Final = Rpc(
    _LEASE, "LeaseKeepAlive", lease.LeaseKeepAliveRequest, lease.LeaseKeepAliveResponse
)
LEASE_TIME_TO_LIVE: Final = Rpc(
    _LEASE, "LeaseTimeToLive", lease.LeaseTimeToLiveRequest, lease.LeaseTimeToLiveResponse
)
LEASE_LEASES: Final = Rpc(
    _LEASE, "LeaseLeases", lease.LeaseLeasesRequest, lease.LeaseLeasesResponse
)

_CLUSTER: Final = "etcdserverpb.Cluster"
MEMBER_ADD: Final = Rpc(_CLUSTER, "MemberAdd", cluster.MemberAddRequest, cluster.MemberAddResponse)
MEMBER_REMOVE: Final = Rpc(
    _CLUSTER, "MemberRemove", cluster.MemberRemoveRequest, cluster.MemberRemoveResponse
)
MEMBER_UPDATE: Final = Rpc(
    _CLUSTER, "MemberUpdate", cluster.MemberUpdateRequest, cluster.MemberUpdateResponse
)
MEMBER_LIST: Final = Rpc(
    _CLUSTER, "MemberList", cluster.MemberListRequest, cluster.MemberListResponse
)
MEMBER_PROMOTE: Final = Rpc(
    _CLUSTER, "MemberPromote", cluster.MemberPromoteRequest, cluster.MemberPromoteResponse
)

_MAINTENANCE: Final = "etcdserverpb.Maintenance"
ALARM: Final = Rpc(_MAINTENANCE, "Alarm", maintenance.AlarmRequest, maintenance.AlarmResponse)
STATUS: Final = Rpc(_MAINTENANCE, "Status", maintenance.StatusRequest, maintenance.StatusResponse)
DEFRAGMENT: Final = Rpc(
    _MAINTENANCE, "Defragment", maintenance.DefragmentRequest, maintenance.DefragmentResponse
)
HASH_KV: Final = Rpc(_MAINTENANCE, "HashKV", maintenance.HashKVRequest, maintenance.HashKVResponse)
SNAPSHOT: Final = Rpc(
    _MAINTENANCE, "Snapshot", maintenance.SnapshotRequest, maintenance.SnapshotResponse
)
MOVE_LEADER: Final = Rpc(
    _MAINTENANCE, "MoveLeader", maintenance.MoveLeaderRequest, maintenance.MoveLeaderResponse
)
DOWNGRADE: Final = Rpc(
    _MAINTENANCE, "Downgrade", maintenance.DowngradeRequest, maintenance.DowngradeResponse
)

_AUTH: Final = "etcdserverpb.Auth"
AUTHENTICATE: Final = Rpc(
    _AUTH, "Authenticate", auth.AuthenticateRequest, auth.AuthenticateResponse
)
AUTH_STATUS: Final = Rpc(_AUTH, "AuthStatus", auth.AuthStatusRequest, auth.AuthStatusResponse)
AUTH_ENABLE: Final = Rpc(_AUTH, "AuthEnable", auth.AuthEnableRequest, auth.AuthEnableResponse)
AUTH_DISABLE: Final = Rpc(_AUTH, "AuthDisable", auth.AuthDisableRequest, auth.AuthDisableResponse)
USER_ADD: Final = Rpc(_AUTH, "UserAdd", auth.AuthUserAddRequest, auth.AuthUserAddResponse)
USER_GET: Final = Rpc(_AUTH, "UserGet", auth.AuthUserGetRequest, auth.AuthUserGetResponse)
USER_LIST: Final = Rpc(_AUTH, "UserList", auth.AuthUserListRequest, auth.AuthUserListResponse)
USER_DELETE: Final = Rpc(
    _AUTH, "UserDelete", auth.AuthUserDeleteRequest, auth.AuthUserDeleteResponse
)
USER_CHANGE_PASSWORD: Final = Rpc(
    _AUTH,
    "UserChangePassword",
    auth.AuthUserChangePasswordRequest,
    auth.AuthUserChangePasswordResponse,
)
USER_GRANT_ROLE: Final = Rpc(
    _AUTH, "UserGrantRole", auth.AuthUserGrantRoleRequest, auth.AuthUserGrantRoleResponse
)
USER_REVOKE_ROLE: Final = Rpc(
    _AUTH, "UserRevokeRole", auth.AuthUserRevokeRoleRequest, auth.AuthUserRevokeRoleResponse
)
ROLE_ADD: Final = Rpc(_AUTH, "RoleAdd", auth.AuthRoleAddRequest, auth.AuthRoleAddResponse)
ROLE_GET: Final = Rpc(_AUTH, "RoleGet", auth.AuthRoleGetRequest, auth.AuthRoleGetResponse)
ROLE_LIST: Final = Rpc(_AUTH, "RoleList", auth.AuthRoleListRequest, auth.AuthRoleListResponse)
ROLE_DELETE: Final = Rpc(
    _AUTH, "RoleDelete", auth.AuthRoleDeleteRequest, auth.AuthRoleDeleteResponse
)
ROLE_GRANT_PERMISSION: Final = Rpc(
    _AUTH,
    "RoleGrantPermission",
    auth.AuthRoleGrantPermissionRequest,
    auth.AuthRoleGrantPermissionResponse,
)
ROLE_REVOKE_PERMISSION: Final = Rpc(
    _AUTH,
    "RoleRevokePermission",
    auth.AuthRoleRevokePermissionRequest,
    auth.AuthRoleRevokePermissionResponse,
)

HEALTH_CHECK: Final = Rpc(
    "grpc.health.v1.Health", "Check", health.HealthCheckRequest, health.HealthCheckResponse
)
