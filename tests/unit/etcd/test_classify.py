"""Errors by message: each of etcd's own, those of gRPC, and some that nobody knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd import errors as e
from etcd.classify import CODES, MESSAGES, classify, transport_cause
from etcd.errors import TransportCause, UnavailableError

FACTS = json.loads((Path(__file__).parent / "wire_facts.json").read_text())
KINDS = (
    e.RetryableError,
    e.WaitAndReevaluateError,
    e.AlreadyDoneError,
    e.ConfigError,
    e.DataError,
    e.AuthError,
    e.UnavailableError,
    e.UnclassifiedError,
)

# (code on the wire, message, class): what an operator meets, with the codes that real servers send.
MET = [
    ("UNAVAILABLE", "etcdserver: no leader", e.NoLeaderError),
    ("UNAVAILABLE", "etcdserver: leader changed", e.LeaderChangedError),
    ("UNAVAILABLE", "etcdserver: request timed out", e.RequestTimedOutError),
    (
        "UNAVAILABLE",
        "etcdserver: request timed out, possibly due to previous leader failure",
        e.RequestTimedOutError,
    ),
    (
        "UNAVAILABLE",
        "etcdserver: request timed out, possibly due to connection lost",
        e.RequestTimedOutError,
    ),
    (
        "UNAVAILABLE",
        "etcdserver: request timed out, waiting for the applied index took too long",
        e.RequestTimedOutError,
    ),
    ("DEADLINE_EXCEEDED", "context deadline exceeded", e.RequestTimedOutError),
    ("UNAVAILABLE", "etcdserver: server stopped", e.ServerStoppedError),
    ("UNKNOWN", "etcdserver: too many requests", e.TooManyRequestsError),
    (
        "FAILED_PRECONDITION",
        "etcdserver: can only promote a learner member which is in sync with leader",
        e.LearnerNotReadyError,
    ),
    (
        "UNKNOWN",
        "etcdserver: re-configuration failed due to not enough started members",
        e.NotEnoughStartedError,
    ),
    ("UNAVAILABLE", "etcdserver: unhealthy cluster", e.UnhealthyClusterError),
    (
        "FAILED_PRECONDITION",
        "etcdserver: cluster has a downgrade job in progress",
        e.DowngradeInProgressError,
    ),
    ("FAILED_PRECONDITION", "etcdserver: not leader", e.NotLeaderError),
    (
        "FAILED_PRECONDITION",
        "etcdserver: rpc not supported for learner",
        e.LearnerUnsupportedError,
    ),
    ("FAILED_PRECONDITION", "etcdserver: member ID already exist", e.MemberExistsError),
    ("FAILED_PRECONDITION", "etcdserver: Peer URLs already exists", e.PeerURLExistsError),
    ("FAILED_PRECONDITION", "etcdserver: can only promote a learner member", e.NotALearnerError),
    ("NOT_FOUND", "etcdserver: member not found", e.MemberNotFoundError),
    ("FAILED_PRECONDITION", "etcdserver: lease already exists", e.LeaseExistsError),
    ("FAILED_PRECONDITION", "etcdserver: no inflight downgrade job", e.NoDowngradeJobError),
    (
        "FAILED_PRECONDITION",
        "etcdserver: too many learner members in cluster",
        e.TooManyLearnersError,
    ),
    ("INVALID_ARGUMENT", "etcdserver: given member URLs are invalid", e.BadMemberURLsError),
    ("FAILED_PRECONDITION", "etcdserver: cluster ID mismatch", e.ClusterIDMismatchError),
    ("FAILED_PRECONDITION", "etcdserver: not capable", e.NotCapableError),
    ("INVALID_ARGUMENT", "etcdserver: invalid downgrade target version", e.DowngradeTargetError),
    (
        "INVALID_ARGUMENT",
        "etcdserver: wrong downgrade target version format",
        e.DowngradeTargetError,
    ),
    ("FAILED_PRECONDITION", "etcdserver: bad leader transferee", e.BadTransfereeError),
    ("INVALID_ARGUMENT", "etcdserver: request is too large", e.RequestTooLargeError),
    ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request", e.BadRequestError),
    ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request", e.BadRequestError),
    ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded", e.NoSpaceError),
    ("DATA_LOSS", "etcdserver: corrupt cluster", e.CorruptError),
    (
        "OUT_OF_RANGE",
        "etcdserver: mvcc: required revision has been compacted",
        e.CompactedError,
    ),
    (
        "OUT_OF_RANGE",
        "etcdserver: mvcc: required revision is a future revision",
        e.FutureRevisionError,
    ),
    ("NOT_FOUND", "etcdserver: requested lease not found", e.LeaseNotFoundError),
    ("INVALID_ARGUMENT", "etcdserver: user name is empty", e.CredentialsMissingError),
    (
        "UNKNOWN",
        "etcdserver: request timed out, leader transfer took too long",
        e.RequestTimedOutError,
    ),
    ("UNKNOWN", "raft proposal dropped", e.LeaderChangedError),
    ("UNKNOWN", "raft: stopped", e.ServerStoppedError),
    ("UNKNOWN", "auth: user name is empty", e.CredentialsMissingError),
    ("UNKNOWN", "auth: permission denied", e.PermissionDeniedError),
    ("UNKNOWN", "auth: user not found", e.PermissionDeniedError),
    ("UNKNOWN", "auth: revision in header is old", e.TokenExpiredError),
    ("UNAUTHENTICATED", "etcdserver: invalid auth token", e.TokenExpiredError),
    ("INVALID_ARGUMENT", "etcdserver: revision of auth store is old", e.TokenExpiredError),
    (
        "INVALID_ARGUMENT",
        "etcdserver: authentication failed, invalid user ID or password",
        e.CredentialsRejectedError,
    ),
    ("PERMISSION_DENIED", "etcdserver: permission denied", e.PermissionDeniedError),
]


@pytest.mark.parametrize(("code", "message", "kind"), MET, ids=[m for _, m, _ in MET])
def test_message_decides_the_class(code, message, kind):
    error = classify(code=code, message=message, rpc="MemberAdd")

    assert kind is type(error)
    assert (message, code, "MemberAdd") == (error.message, error.code, error.rpc)


@pytest.mark.parametrize(("message", "kind"), [(m, k) for _, m, k in MET])
def test_message_decides_whatever_the_code(message, kind):
    assert kind is type(classify(code="UNKNOWN", message=message))


@pytest.mark.parametrize("message", FACTS["errors"])
def test_every_message_of_every_release_is_known(message):
    assert message.removeprefix("etcdserver: ") in MESSAGES


def test_every_class_has_one_kind():
    kinds = {k: [kind for kind in KINDS if issubclass(k, kind)] for k in MESSAGES.values()}

    assert all(len(found) == 1 for found in kinds.values())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("INVALID_ARGUMENT", e.ConfigError),
        ("FAILED_PRECONDITION", e.ConfigError),
        ("OUT_OF_RANGE", e.ConfigError),
        ("UNIMPLEMENTED", e.NotCapableError),
        ("UNAUTHENTICATED", e.AuthError),
        ("PERMISSION_DENIED", e.PermissionDeniedError),
        ("DATA_LOSS", e.CorruptError),
        ("CANCELLED", e.InterruptedCallError),
        ("ABORTED", e.RetryableError),
        ("UNKNOWN", e.UnclassifiedError),
        ("INTERNAL", e.UnclassifiedError),
        ("NOT_FOUND", e.UnclassifiedError),
        ("RESOURCE_EXHAUSTED", e.UnclassifiedError),
    ],
)
def test_code_decides_where_the_message_is_news(code, kind):
    assert kind is type(classify(code=code, message="etcdserver: something of tomorrow"))


def test_unknown_answer_of_etcd_as_unavailable_is_retryable():
    error = classify(code="UNAVAILABLE", message="etcdserver: something of tomorrow")

    assert (e.RetryableError, True) == (type(error), error.maybe_applied)


def test_requests_beyond_grpcs_limit_are_too_large():
    message = "grpc: received message larger than max (2100000 vs. 2097152)"

    error = classify(code="RESOURCE_EXHAUSTED", message=message)

    assert e.RequestTooLargeError is type(error)


REFUSED = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "Failed to connect to remote host: Connection refused"
)
SILENT = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "connection attempt timed out before receiving SETTINGS frame"
)

WRONG_NAME = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Custom "
    "verification check failed with error: UNAUTHENTICATED: Hostname Verification Check failed."
)
WRONG_CA = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Tls handshake "
    "failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
    "CERTIFICATE_VERIFY_FAILED: self signed certificate: OK"
)


@pytest.mark.parametrize(
    ("message", "cause", "maybe_applied"),
    [
        (REFUSED, TransportCause.REFUSED, False),
        (SILENT, TransportCause.UNREACHABLE, False),
        (
            "errors resolving x.invalid:1: [field:hostname lookup error: Domain name not found]",
            TransportCause.DNS,
            False,
        ),
        (WRONG_NAME, TransportCause.TLS, False),
        (WRONG_CA, TransportCause.TLS, False),
        ("Socket closed", TransportCause.CLOSED, True),
        ("recvmsg:Connection reset by peer", TransportCause.CLOSED, True),
        ("ping timeout", TransportCause.CLOSED, True),
        ("something else", TransportCause.UNKNOWN, True),
    ],
)
def test_broken_ways_are_told_apart(message, cause, maybe_applied):
    error = classify(code="UNAVAILABLE", message=message)

    assert isinstance(error, UnavailableError)
    assert (cause, maybe_applied) == (error.cause, error.maybe_applied)


def test_our_own_deadline_is_no_answer():
    error = classify(code="DEADLINE_EXCEEDED", message="Deadline Exceeded")

    assert isinstance(error, UnavailableError)
    assert (error.cause, error.maybe_applied) == (TransportCause.DEADLINE, True)


def test_writes_beyond_the_quota_may_have_been_applied():
    message = "etcdserver: mvcc: database space exceeded"

    assert classify(code="RESOURCE_EXHAUSTED", message=message).maybe_applied


@pytest.mark.parametrize("text", ["pod my-dns-0 said no", "a-tls-cluster", "refused to answer"])
def test_names_of_pods_are_no_causes(text):
    assert TransportCause.UNKNOWN is transport_cause(text)


@given(code=st.sampled_from([*CODES, "UNKNOWN", "UNAVAILABLE", ""]), message=st.text())
def test_anything_is_classified(code, message):
    assert isinstance(classify(code=code, message=message), KINDS)
