"""Whatever a store answers becomes one of our errors, in the store's words and without secrets."""

from __future__ import annotations

import pytest

from snapshots import store_config
from snapshots.errors import (
    ObjectExistsError,
    ObjectMissingError,
    ObjectTooBigError,
    SnapshotsError,
    StoreConfigError,
    StoreForbiddenError,
    StoreFullError,
    StoreMissingError,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from snapshots.locations import (
    AzureAccountKey,
    AzureLocation,
    AzureSharedAccess,
    GCSLocation,
    GCSServiceAccount,
    S3Keys,
    S3Location,
    WorkloadIdentity,
)
from snapshots.stores import open_store
from tests.unit.snapshots.faulty_s3 import KEYS, SECRET, serving

ANSWERS = [
    (403, "AccessDenied", StoreForbiddenError),
    (401, "Unauthorized", StoreForbiddenError),
    (404, "XAdminUserNotFound", StoreForbiddenError),
    (400, "InvalidAccessKeyId", StoreForbiddenError),
    (404, "NoSuchKey", ObjectMissingError),
    (404, "NoSuchBucket", StoreMissingError),
    (503, "SlowDown", StoreUnavailableError),
    (500, "InternalError", StoreUnavailableError),
    (429, "TooManyRequests", StoreUnavailableError),
    (507, "XMinioStorageFull", StoreFullError),
    (400, "InvalidArgument", StoreRefusedError),
]


@pytest.fixture(autouse=True)
def _few_retries(monkeypatch):
    monkeypatch.setattr(store_config, "MAX_RETRIES", 1)


@pytest.fixture
async def server():
    async with serving() as running:
        yield running


@pytest.fixture
def store(server):
    return open_store(server.location(), KEYS)


@pytest.mark.parametrize(("status", "code", "expected"), ANSWERS)
async def test_answer_of_a_put(server, store, status, code, expected):
    server.status, server.code = status, code

    with pytest.raises(expected) as raised:
        await store.put("a/b", b"data")

    assert type(raised.value) is expected
    assert raised.value.where == "s3://bkt/a/b"
    assert "said by the store" in raised.value.message
    assert "Debug source" not in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(("status", "code", "expected"), ANSWERS)
async def test_answer_of_a_get_and_of_a_list(server, store, status, code, expected):
    server.status, server.code = status, code

    with pytest.raises(expected):
        await store.get("a", max_bytes=9)
    with pytest.raises(expected):
        [one async for one in store.list("a")]


async def test_deleting_what_is_gone_is_done(server, store):
    server.status, server.code = 404, "NoSuchKey"

    await store.delete(["a"])

    assert [request.method for request in server.requests] == ["DELETE"]


async def test_refused_delete_is_told(server, store):
    server.status, server.code = 403, "AccessDenied"

    with pytest.raises(StoreForbiddenError, match="delete s3://bkt/a"):
        await store.delete(["a", "b"])


async def test_unavailable_store_is_asked_again_a_few_times(server, store):
    server.status, server.code = 503, "SlowDown"

    with pytest.raises(StoreUnavailableError):
        await store.put("a", b"")

    assert len(server.requests) == 2


async def test_silent_store_meets_the_deadline(server, store):
    server.silent = True

    with pytest.raises(StoreTimeoutError, match=r"no answer within 0\.2 s"):
        await store.get("a", max_bytes=9, timeout_s=0.2)
    with pytest.raises(StoreTimeoutError):
        [one async for one in store.list("a", timeout_s=0.2)]


async def test_silent_store_meets_the_limit_of_a_request(server, monkeypatch):
    monkeypatch.setattr(store_config, "REQUEST_TIMEOUT_S", 0.2)
    server.silent = True

    with pytest.raises(StoreTimeoutError):
        await open_store(server.location(), KEYS).put("a", b"")


async def test_nobody_listens(server):
    location = S3Location(bucket="b", region="r", endpoint="http://127.0.0.1:1", path_style=True)

    with pytest.raises(StoreUnavailableError):
        await open_store(location, KEYS).put("a", b"")


async def test_body_that_ends_early_is_no_object(server, store):
    server.cut = True

    with pytest.raises(SnapshotsError):
        await store.get("a", max_bytes=1000)


async def test_object_that_is_too_big_is_not_read(server, store):
    server.cut = True

    with pytest.raises(ObjectTooBigError, match="1000 bytes are more than the 999"):
        await store.get("a", max_bytes=999)


async def test_create_finds_an_object(server, store):
    server.status, server.code = 412, "PreconditionFailed"

    with pytest.raises(ObjectExistsError):
        await store.create("a", b"")


async def test_create_without_conditional_writes_looks_first(server, store):
    server.unconditional = True

    await store.create("a", b"")

    assert [request.method for request in server.requests][-2:] == ["HEAD", "PUT"]


async def test_create_without_conditional_writes_finds_an_object(server, store):
    server.unconditional = server.holds = True

    with pytest.raises(ObjectExistsError):
        await store.create("a", b"")
    assert "PUT" not in {r.method for r in server.requests if "If-None-Match" not in r.headers}


def test_bucket_is_in_the_hosts_name_unless_path_style():
    location = S3Location(bucket="b", endpoint="https://s3.example:9000")

    config = store_config.arguments(location, KEYS)["config"]

    assert config["endpoint"] == "https://b.s3.example:9000"
    assert config["virtual_hosted_style_request"] is True


@pytest.mark.parametrize(
    ("location", "credentials"),
    [
        (S3Location(bucket="b"), AzureAccountKey(key=SECRET)),
        (GCSLocation(bucket="b"), KEYS),
        (GCSLocation(bucket="b"), GCSServiceAccount(key="{" + SECRET)),
        (AzureLocation(account="a", container="c"), AzureAccountKey(key=SECRET + "!")),
        (S3Location(bucket="b", ca="no certificate"), KEYS),
    ],
    ids=["azure-for-s3", "s3-for-gcs", "bad-json", "bad-base64", "bad-ca"],
)
def test_bad_configuration_is_refused_when_opened(location, credentials):
    with pytest.raises(StoreConfigError) as raised:
        open_store(location, credentials)

    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "credentials",
    [
        S3Keys(access_key_id="AK", secret_access_key=SECRET, session_token=SECRET),
        GCSServiceAccount(key=SECRET),
        AzureAccountKey(key=SECRET),
        AzureSharedAccess(token=SECRET),
    ],
)
def test_credentials_show_nothing(credentials):
    assert SECRET not in repr(credentials)
    assert SECRET not in str(credentials)


def test_opening_asks_nothing_of_nobody():
    open_store(S3Location(bucket="b", region="r"), WorkloadIdentity())


async def test_keys_that_were_given_are_not_mixed_with_the_environments(server, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-somebody-else")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody-else")

    await open_store(server.location(), KEYS).put("a", b"")

    (request,) = server.requests
    assert "Credential=AK/" in request.headers["Authorization"]
    assert "x-amz-security-token" not in request.headers


async def test_temporary_keys_bring_their_token(server):
    keys = S3Keys(access_key_id="AK", secret_access_key=SECRET, session_token="mine")

    await open_store(server.location(), keys).put("a", b"")

    assert server.requests[0].headers["x-amz-security-token"] == "mine"
