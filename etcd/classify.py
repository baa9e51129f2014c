"""An answer of gRPC (status code, message) → an error of `etcd.errors`.

Called by `etcd.transport` for every failed call. The message decides first and the code second,
because etcd sends some declared codes never: `too many requests` and `re-configuration failed due
to not enough started members` arrive as UNKNOWN (server/etcdserver/api/v3rpc/util.go maps them to
errors without a gRPC status), and a missing user arrives as INVALID_ARGUMENT.

Messages are those of api/v3rpc/rpctypes/error.go in etcd 3.5 to 3.7, and inner ones that reach the
wire unmapped, as UNKNOWN: `auth: ...` from 3.5's Snapshot, raft's own, and MoveLeader's time-out.
Pure; never raises.
"""

from __future__ import annotations

from typing import Final

from etcd import errors as e
from etcd.errors import EtcdError, TransportCause, UnavailableError

PREFIX: Final = "etcdserver: "
INNER_PREFIX: Final = "auth: "

# etcd's message without the prefix → class. Compared as a whole, so that "can only promote a
# learner member" and "... which is in sync with leader" stay apart.
MESSAGES: Final[dict[str, type[EtcdError]]] = {
    # later, the same call
    "no leader": e.NoLeaderError,
    "leader changed": e.LeaderChangedError,
    "request timed out": e.RequestTimedOutError,
    "request timed out, possibly due to previous leader failure": e.RequestTimedOutError,
    "request timed out, possibly due to connection lost": e.RequestTimedOutError,
    "request timed out, waiting for the applied index took too long": e.RequestTimedOutError,
    "request timed out, leader transfer took too long": e.RequestTimedOutError,
    "context deadline exceeded": e.RequestTimedOutError,
    "raft proposal dropped": e.LeaderChangedError,
    "raft: stopped": e.ServerStoppedError,
    "server stopped": e.ServerStoppedError,
    "too many requests": e.TooManyRequestsError,
    "request canceled": e.InterruptedCallError,
    "request cancelled": e.InterruptedCallError,
    "context canceled": e.InterruptedCallError,
    "watch canceled": e.InterruptedCallError,
    # look again
    "unhealthy cluster": e.UnhealthyClusterError,
    "can only promote a learner member which is in sync with leader": e.LearnerNotReadyError,
    "re-configuration failed due to not enough started members": e.NotEnoughStartedError,
    "cluster has a downgrade job in progress": e.DowngradeInProgressError,
    "cluster version not found during downgrade": e.ClusterVersionUnknownError,
    "not leader": e.NotLeaderError,
    "rpc not supported for learner": e.LearnerUnsupportedError,
    # so already
    "member ID already exist": e.MemberExistsError,
    "Peer URLs already exists": e.PeerURLExistsError,
    "can only promote a learner member": e.NotALearnerError,
    "member not found": e.MemberNotFoundError,
    "lease already exists": e.LeaseExistsError,
    "no inflight downgrade job": e.NoDowngradeJobError,
    "user name already exists": e.AuthObjectExistsError,
    "role name already exists": e.AuthObjectExistsError,
    "user name not found": e.AuthObjectMissingError,
    "role name not found": e.AuthObjectMissingError,
    "role is not granted to the user": e.AuthObjectMissingError,
    "permission is not granted to the role": e.AuthObjectMissingError,
    "authentication is not enabled": e.AuthObjectMissingError,
    # never as asked
    "too many learner members in cluster": e.TooManyLearnersError,
    "given member URLs are invalid": e.BadMemberURLsError,
    "cluster ID mismatch": e.ClusterIDMismatchError,
    "not capable": e.NotCapableError,
    "bad leader transferee": e.BadTransfereeError,
    "invalid downgrade target version": e.DowngradeTargetError,
    "wrong downgrade target version format": e.DowngradeTargetError,
    "request is too large": e.RequestTooLargeError,
    "too many operations in txn request": e.BadRequestError,
    "duplicate key given in txn request": e.BadRequestError,
    "key is not provided": e.BadRequestError,
    "key not found": e.BadRequestError,
    "value is provided": e.BadRequestError,
    "lease is provided": e.BadRequestError,
    "invalid sort option": e.BadRequestError,
    "invalid client api version": e.BadRequestError,
    "too large lease TTL": e.BadRequestError,
    "role name is empty": e.BadRequestError,
    "permission not given": e.BadRequestError,
    "invalid auth management": e.BadRequestError,
    "root user does not exist": e.BadRequestError,
    "root user does not have root role": e.BadRequestError,
    # the data forbids it
    "mvcc: database space exceeded": e.NoSpaceError,
    "mvcc: required revision has been compacted": e.CompactedError,
    "mvcc: required revision is a future revision": e.FutureRevisionError,
    "requested lease not found": e.LeaseNotFoundError,
    "corrupt cluster": e.CorruptError,
    # who is calling
    "user name is empty": e.CredentialsMissingError,
    "invalid auth token": e.TokenExpiredError,
    "revision of auth store is old": e.TokenExpiredError,
    "revision in header is old": e.TokenExpiredError,
    "authentication failed, invalid user ID or password": e.CredentialsRejectedError,
    "authentication failed, password was given for no password user": e.CredentialsRejectedError,
    "permission denied": e.PermissionDeniedError,
    "user not found": e.PermissionDeniedError,  # from HashKV and Snapshot, of a certificate's CN
}

# gRPC's code → class for messages we don't know. Codes that are not here end in UnclassifiedError.
CODES: Final[dict[str, type[EtcdError]]] = {
    "INVALID_ARGUMENT": e.ConfigError,
    "FAILED_PRECONDITION": e.ConfigError,
    "OUT_OF_RANGE": e.ConfigError,
    "UNIMPLEMENTED": e.NotCapableError,
    "UNAUTHENTICATED": e.AuthError,
    "PERMISSION_DENIED": e.PermissionDeniedError,
    "DATA_LOSS": e.CorruptError,
    "CANCELLED": e.InterruptedCallError,
    "ABORTED": e.RetryableError,
}

# Parts of gRPC's own words, lower case, as C core 1.85 writes them; the first that occurs decides.
CAUSES: Final[tuple[tuple[str, TransportCause], ...]] = (
    ("errors resolving", TransportCause.DNS),
    ("dns resolution", TransportCause.DNS),
    ("name resolution", TransportCause.DNS),
    ("ssl_error", TransportCause.TLS),
    ("handshake failed", TransportCause.TLS),
    ("handshake read failed", TransportCause.TLS),
    ("verification check", TransportCause.TLS),
    ("connection refused", TransportCause.REFUSED),
    ("no route to host", TransportCause.UNREACHABLE),
    ("is unreachable", TransportCause.UNREACHABLE),
    ("timed out", TransportCause.UNREACHABLE),
    ("socket closed", TransportCause.CLOSED),
    ("connection reset", TransportCause.CLOSED),
    ("broken pipe", TransportCause.CLOSED),
    ("goaway", TransportCause.CLOSED),
    ("keepalive", TransportCause.CLOSED),
    ("ping timeout", TransportCause.CLOSED),
    ("stream removed", TransportCause.CLOSED),
    ("channel is closed", TransportCause.CLOSED),
)
# With these words the call never left: no connection was ever there for it.
_NEVER_SENT: Final = ("failed to connect to all addresses", "errors resolving", "dns resolution")


def classify(*, code: str, message: str, rpc: str = "") -> EtcdError:
    """The typed error for one failed call. code: gRPC's name, as `StatusCode.UNAVAILABLE.name`."""
    text = message.strip()
    bare = text.removeprefix(PREFIX).removeprefix(INNER_PREFIX)
    known = MESSAGES.get(bare)
    if known is not None:
        return known(text, code=code, rpc=rpc)
    if "received message larger than max" in text:  # the server's limit, checked by its gRPC layer
        return e.RequestTooLargeError(text, code=code, rpc=rpc)
    if code == "DEADLINE_EXCEEDED":
        return UnavailableError(text, cause=TransportCause.DEADLINE, code=code, rpc=rpc)
    if code == "UNAVAILABLE":
        return _unavailable(text, code=code, rpc=rpc)
    return CODES.get(code, e.UnclassifiedError)(text, code=code, rpc=rpc)


def _unavailable(text: str, *, code: str, rpc: str) -> EtcdError:
    if text.startswith(PREFIX):  # etcd answered, so this is no failure of the way
        return e.RetryableError(text, code=code, rpc=rpc, maybe_applied=True)
    never_sent = any(words in text.lower() for words in _NEVER_SENT)
    return UnavailableError(
        text, cause=transport_cause(text), code=code, rpc=rpc, maybe_applied=not never_sent
    )


def transport_cause(text: str) -> TransportCause:
    """What gRPC's description of a broken connection says happened."""
    lowered = text.lower()
    return next((cause for part, cause in CAUSES if part in lowered), TransportCause.UNKNOWN)
