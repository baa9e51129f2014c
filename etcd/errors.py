"""What a call to etcd can end in, arranged by what the caller should do next.

    EtcdError                        .message .code .rpc .maybe_applied
    ├── RetryableError               the same call may succeed a little later
    │   ├── NoLeaderError, LeaderChangedError, RequestTimedOutError, TooManyRequestsError,
    │   └── ServerStoppedError, InterruptedCallError
    ├── WaitAndReevaluateError       look again first: the answer depends on the cluster's state
    │   ├── LearnerNotReadyError, NotEnoughStartedError, UnhealthyClusterError,
    │   ├── DowngradeInProgressError, ClusterVersionUnknownError
    │   └── NotLeaderError, LearnerUnsupportedError      right call, wrong member
    ├── AlreadyDoneError             what was asked for is so already
    │   └── MemberExistsError, PeerURLExistsError, NotALearnerError, MemberNotFoundError,
    │       LeaseExistsError, NoDowngradeJobError, AuthObjectExistsError, AuthObjectMissingError
    ├── ConfigError                  will never succeed as asked: do not retry
    │   └── TooManyLearnersError, BadMemberURLsError, ClusterIDMismatchError, NotCapableError,
    │       BadTransfereeError, DowngradeTargetError, BadRequestError, RequestTooLargeError
    ├── DataError                    the data is in a state that forbids it
    │   └── NoSpaceError, CorruptError, CompactedError, FutureRevisionError, LeaseNotFoundError,
    │       SnapshotDamagedError
    ├── AuthError                    who is calling
    │   └── CredentialsMissingError, TokenExpiredError, CredentialsRejectedError,
    │       PermissionDeniedError
    ├── UnavailableError             no answer; .cause says why (TransportCause)
    └── UnclassifiedError            an answer we don't know; treat as not retryable

Imports nothing, so that pure code may match on these. `etcd.classify` makes them from gRPC's
answers.
"""

from __future__ import annotations

import enum


class TransportCause(enum.Enum):
    """Why no answer came, as far as gRPC tells."""

    DNS = "dns"  # the name did not resolve
    REFUSED = "refused"  # the address answered that nobody listens
    UNREACHABLE = "unreachable"  # no route, or no answer to the connection attempt
    TLS = "tls"  # the handshake failed: certificate, name, or a plain-text peer
    CLOSED = "closed"  # the connection, or our channel, went away under the call
    DEADLINE = "deadline"  # our deadline passed first
    UNKNOWN = "unknown"


class EtcdError(Exception):
    """Any call to etcd that didn't give its answer.

    message: etcd's words without gRPC's wrapping. code: gRPC's name (`UNAVAILABLE`); etcd's codes
    are not reliable, so decide by class. rpc: `MemberAdd`. maybe_applied: a mutating call may
    have taken effect all the same; read the state before repeating it.
    """

    maybe_applied_by_default = False

    def __init__(
        self, message: str, *, code: str = "", rpc: str = "", maybe_applied: bool | None = None
    ) -> None:
        super().__init__(f"{rpc}: {message}" if rpc else message)
        self.message = message
        self.code = code
        self.rpc = rpc
        self.maybe_applied = (
            self.maybe_applied_by_default if maybe_applied is None else maybe_applied
        )


# ---------------------------------------------------------------- the same call, later
class RetryableError(EtcdError):
    """The same call may succeed a little later; a change only once `maybe_applied` is ruled out."""


class NoLeaderError(RetryableError):
    """The member knows no leader: quorum lost, or an election is on."""


class LeaderChangedError(RetryableError):
    """The leader changed under the call."""

    maybe_applied_by_default = True


class RequestTimedOutError(RetryableError):
    """etcd gave up waiting (about 7 s by default); the proposal may still be applied."""

    maybe_applied_by_default = True


class TooManyRequestsError(RetryableError):
    """More than 5000 proposals wait to be applied; this one was not taken."""


class ServerStoppedError(RetryableError):
    """The member is shutting down."""

    maybe_applied_by_default = True


class InterruptedCallError(RetryableError):
    """The server ended the call before it was done."""

    maybe_applied_by_default = True


# ---------------------------------------------------------------- look again, then decide
class WaitAndReevaluateError(EtcdError):
    """Refused for the state the cluster is in: read that state again before the next attempt."""


class LearnerNotReadyError(WaitAndReevaluateError):
    """Promotion refused: the learner has less than 90 % of the leader's log, or never started."""


class NotEnoughStartedError(WaitAndReevaluateError):
    """A membership change refused: too few members would be started for a quorum."""


class UnhealthyClusterError(WaitAndReevaluateError):
    """A membership change refused: too few members were connected for the last 5 s."""


class DowngradeInProgressError(WaitAndReevaluateError):
    """A downgrade is on."""


class ClusterVersionUnknownError(WaitAndReevaluateError):
    """The cluster has not agreed on its version yet."""


class NotLeaderError(WaitAndReevaluateError):
    """Only the leader takes this call: find out who leads."""


class LearnerUnsupportedError(WaitAndReevaluateError):
    """A learner serves Status, serializable Range and Snapshot only: ask a voter."""


# ---------------------------------------------------------------- it is so already
class AlreadyDoneError(EtcdError):
    """What was asked for holds already; which of several reasons is the subclass."""


class MemberExistsError(AlreadyDoneError):
    """A member with that ID exists."""


class PeerURLExistsError(AlreadyDoneError):
    """A member has that peer URL: look it up by URL."""


class NotALearnerError(AlreadyDoneError):
    """The member to promote is a voter."""


class MemberNotFoundError(AlreadyDoneError):
    """No such member; also the answer for IDs that were removed once."""


class LeaseExistsError(AlreadyDoneError):
    """A lease with that ID exists."""


class NoDowngradeJobError(AlreadyDoneError):
    """There is no downgrade to cancel."""


class AuthObjectExistsError(AlreadyDoneError):
    """The user or role exists."""


class AuthObjectMissingError(AlreadyDoneError):
    """The user, role, grant or permission isn't there, or authentication is off."""


# ---------------------------------------------------------------- never as asked
class ConfigError(EtcdError):
    """The call can't succeed as it was made: do not retry."""


class TooManyLearnersError(ConfigError):
    """The cluster has as many learners as it may have (one, unless configured from 3.6 on)."""


class BadMemberURLsError(ConfigError):
    """The given peer URLs are not valid."""


class ClusterIDMismatchError(ConfigError):
    """The member belongs to another cluster."""


class NotCapableError(ConfigError):
    """The cluster's version is too low for this call."""


class BadTransfereeError(ConfigError):
    """Leadership can go to a voter only."""


class DowngradeTargetError(ConfigError):
    """The target is not the minor version below, or not a version."""


class BadRequestError(ConfigError):
    """The request makes no sense: key missing, duplicate key, too many operations, bad option."""


class RequestTooLargeError(ConfigError):
    """The request is bigger than etcd's `--max-request-bytes` (1.5 MiB)."""


# ---------------------------------------------------------------- the data forbids it
class DataError(EtcdError):
    """The state of the data forbids the call."""


class NoSpaceError(DataError):
    """The quota is used up. The write may have been applied: etcd checks before and at apply."""

    maybe_applied_by_default = True


class CorruptError(DataError):
    """A CORRUPT alarm is active: members disagree about the data."""


class CompactedError(DataError):
    """The revision was compacted away; `compact_revision` is the oldest one left, 0 if not told."""

    compact_revision = 0


class FutureRevisionError(DataError):
    """The member has not reached that revision."""


class LeaseNotFoundError(DataError):
    """The lease expired, was revoked, or never was."""


class SnapshotDamagedError(DataError):
    """A snapshot stream ended early, or its sha256 trailer doesn't match what came before."""


# ---------------------------------------------------------------- who is calling
class AuthError(EtcdError):
    """The caller is not known or not allowed."""


class CredentialsMissingError(AuthError):
    """Authentication is on and the call carried no user (etcd: `user name is empty`)."""


class TokenExpiredError(AuthError):
    """The token is too old or unknown: authenticate again."""


class CredentialsRejectedError(AuthError):
    """Wrong user or password."""


class PermissionDeniedError(AuthError):
    """The user lacks the role."""


# ---------------------------------------------------------------- no answer
class UnavailableError(EtcdError):
    """No answer from the member. `cause` tells what happened on the way.

    maybe_applied is False only where the request can't have been sent.
    """

    maybe_applied_by_default = True

    def __init__(
        self,
        message: str,
        *,
        cause: TransportCause = TransportCause.UNKNOWN,
        code: str = "",
        rpc: str = "",
        maybe_applied: bool | None = None,
    ) -> None:
        super().__init__(message, code=code, rpc=rpc, maybe_applied=maybe_applied)
        self.cause = cause


class UnclassifiedError(EtcdError):
    """A message this version of the operator doesn't know. Not retried; its text is kept."""

    maybe_applied_by_default = True
