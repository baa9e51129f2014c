"""Every service of a cluster of one, on every version: the protos fit, and the answers mean it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from contextlib import aclosing

import pytest

from etcd.auth import Access, Permission
from etcd.errors import (
    AuthObjectExistsError,
    AuthObjectMissingError,
    BadRequestError,
    BadTransfereeError,
    CompactedError,
    CredentialsMissingError,
    CredentialsRejectedError,
    DowngradeTargetError,
    FutureRevisionError,
    LeaseExistsError,
    LeaseNotFoundError,
    MemberNotFoundError,
    NoSpaceError,
    NotALearnerError,
    PeerURLExistsError,
    PermissionDeniedError,
    RequestTooLargeError,
    TokenExpiredError,
)
from etcd.ids import LeaseID, MemberID
from etcd.kv_types import (
    ALL_KEYS,
    Compare,
    DeleteRange,
    Operator,
    Put,
    Range,
    Target,
    Txn,
    prefix_end,
)
from etcd.maintenance import Alarm, AlarmKind
from etcd.versions import Version, parse_version, reports_storage_version
from etcd.watch import EventKind, WatchRange
from tests.integration.etcd.processes import programs, wait_for

NOBODY = MemberID(0xDEAD)


@pytest.fixture
def prefix():
    """Keys of one test."""
    return uuid.uuid4().bytes


async def test_status_tells_version_sizes_and_leader(client, single):
    status = await client.maintenance.status()

    assert single.version == status.version
    assert status.is_leader
    assert 0 < status.db_size_in_use <= status.db_size
    assert status.raft_applied_index <= status.raft_index
    assert (status.is_learner, status.errors, status.downgrade) == (False, (), None)


async def test_status_tells_storage_version_where_etcd_does(client, single):
    async def known():
        status = await client.maintenance.status()
        expected = reports_storage_version(parse_version(single.version))
        return bool(status.storage_version) is expected

    assert await wait_for(known)


async def test_member_list_names_member_and_responder(client, single):
    members = await client.cluster.member_list()
    (only,) = members.members

    assert members.responder_id == only.id == (await client.maintenance.status()).member_id
    assert (single.name, (single.peer_url,), (single.client_url,)) == (
        only.name,
        only.peer_urls,
        only.client_urls,
    )
    assert only == members.by_peer_url(single.peer_url) == members.by_id(only.id)
    assert only.is_started
    assert members.cluster_id


async def test_member_changes_refuse_what_is_so_already(client, single):
    (only,) = (await client.cluster.member_list()).members

    with pytest.raises(NotALearnerError):
        await client.cluster.member_promote(only.id)
    with pytest.raises(PeerURLExistsError):
        await client.cluster.member_add(peer_urls=[single.peer_url])
    with pytest.raises(MemberNotFoundError):
        await client.cluster.member_remove(NOBODY)
    updated = await client.cluster.member_update(only.id, peer_urls=only.peer_urls)
    assert (only,) == updated.members


async def test_put_and_range(client, prefix):
    first = await client.kv.put(Put(key=prefix + b"a", value=b"1"))
    again = await client.kv.put(Put(key=prefix + b"a", value=b"2", prev_kv=True))
    await client.kv.put(Put(key=prefix + b"b", value=b"3"))

    found = await client.kv.range(Range(key=prefix, range_end=prefix_end(prefix), limit=1))

    assert first.prev_kv is None
    assert again.prev_kv is not None
    assert again.prev_kv.value == b"1"
    assert (found.count, found.more) == (2, True)
    (kv,) = found.kvs
    assert (b"2", 2, first.header.revision) == (kv.value, kv.version, kv.create_revision)
    old = await client.kv.range(Range(key=prefix + b"a", revision=first.header.revision))
    assert old.kvs[0].value == b"1"


async def test_serializable_and_count_only_ranges(client, prefix):
    await client.kv.put(Put(key=prefix, value=b"v"))

    local = await client.kv.range(Range(key=prefix, serializable=True, keys_only=True))
    counted = await client.kv.range(Range(key=prefix, count_only=True))

    assert [kv.value for kv in local.kvs] == [b""]
    assert (counted.count, counted.kvs) == (1, ())


async def test_delete_range_tells_what_it_deleted(client, prefix):
    await client.kv.put(Put(key=prefix, value=b"v"))

    deleted = await client.kv.delete_range(DeleteRange(key=prefix, prev_kv=True))
    again = await client.kv.delete_range(DeleteRange(key=prefix))

    assert (deleted.deleted, [kv.value for kv in deleted.prev_kvs]) == (1, [b"v"])
    assert again.deleted == 0


async def test_transactions_choose_a_branch(client, prefix):
    create = Txn(
        compare=(Compare(prefix, Target.VERSION, Operator.EQUAL, 0),),
        success=(Put(key=prefix, value=b"mine"), Range(key=prefix)),
        failure=(Range(key=prefix),),
    )

    won = await client.kv.txn(create)
    lost = await client.kv.txn(create)

    assert (won.succeeded, lost.succeeded) == (True, False)
    assert b"mine" == won.results[1].kvs[0].value == lost.results[0].kvs[0].value


@pytest.mark.parametrize(
    ("target", "operand"),
    [(Target.VALUE, b"v"), (Target.LEASE, 0), (Target.VERSION, 1)],
    ids=["value", "lease", "version"],
)
async def test_transactions_compare(client, prefix, target, operand):
    await client.kv.put(Put(key=prefix, value=b"v"))

    same = await client.kv.txn(Txn(compare=(Compare(prefix, target, Operator.EQUAL, operand),)))
    other = await client.kv.txn(
        Txn(compare=(Compare(prefix, target, Operator.NOT_EQUAL, operand),))
    )

    assert (same.succeeded, other.succeeded) == (True, False)


async def test_transactions_that_make_no_sense_are_refused(client, prefix):
    with pytest.raises(BadRequestError, match="duplicate key"):
        await client.kv.txn(Txn(success=(Put(key=prefix, value=b"1"), Put(key=prefix, value=b""))))
    with pytest.raises(BadRequestError, match="too many operations"):
        await client.kv.txn(Txn(success=(Range(key=prefix),) * 129))


@pytest.mark.parametrize("size", [1_600_000, 3_000_000])
async def test_requests_that_are_too_large_are_refused(client, prefix, size):
    with pytest.raises(RequestTooLargeError):
        await client.kv.put(Put(key=prefix, value=bytes(size)))


async def test_answers_beyond_grpcs_own_limit_arrive(client, prefix):
    for number in range(4):
        await client.kv.put(Put(key=prefix + bytes([number]), value=bytes(1_400_000)))

    found = await client.kv.range(Range(key=prefix, range_end=prefix_end(prefix)))

    assert sum(len(kv.value) for kv in found.kvs) == 5_600_000


async def test_compaction_forgets(client, prefix):
    before = await client.kv.put(Put(key=prefix, value=b"1"))
    after = await client.kv.put(Put(key=prefix, value=b"2"))
    await client.kv.compact(after.header.revision, physical=True)

    with pytest.raises(CompactedError):
        await client.kv.range(Range(key=prefix, revision=before.header.revision))
    with pytest.raises(CompactedError):
        await client.kv.compact(after.header.revision)
    with pytest.raises(FutureRevisionError):
        await client.kv.range(Range(key=prefix, revision=after.header.revision + 1000))


async def test_watch_delivers_changes_in_order(client, prefix):
    put = await client.kv.put(Put(key=prefix, value=b"1"))
    await client.kv.put(Put(key=prefix, value=b"2"))
    await client.kv.delete_range(DeleteRange(key=prefix))

    events = []
    watched = WatchRange(key=prefix, start_revision=put.header.revision, prev_kv=True)
    async with client.watch.open(watched) as stream:
        while len(events) < 3:
            batch = await stream.receive(timeout_s=5)
            assert batch is not None
            events += batch.events

    assert [e.kind for e in events] == [EventKind.PUT, EventKind.PUT, EventKind.DELETE]
    assert [e.prev_kv and e.prev_kv.value for e in events] == [None, b"1", b"2"]


async def test_quiet_watch_gives_none_and_goes_on(client, prefix):
    async with client.watch.open(WatchRange(key=prefix)) as stream:
        quiet = await stream.receive(timeout_s=0.1)
        await client.kv.put(Put(key=prefix, value=b"1"))
        batch = await stream.receive(timeout_s=5)

    assert quiet is None
    assert batch is not None
    assert [event.kv.value for event in batch.events] == [b"1"]


async def test_watch_tells_its_progress_when_asked(client, prefix):
    async with client.watch.open(WatchRange(key=prefix)) as stream:
        put = await client.kv.put(Put(key=prefix + b"other", value=b""))

        async def told():
            await stream.request_progress()
            batch = await stream.receive(timeout_s=2)
            return batch and not batch.events and batch.header.revision >= put.header.revision

        assert await wait_for(told)


async def test_watch_from_a_compacted_revision_says_what_is_left(client, prefix):
    await client.kv.put(Put(key=prefix, value=b"1"))
    last = await client.kv.put(Put(key=prefix, value=b"2"))
    await client.kv.compact(last.header.revision)

    async with client.watch.open(WatchRange(key=prefix, start_revision=1)) as stream:
        with pytest.raises(CompactedError) as raised:
            await stream.receive(timeout_s=5)

    assert last.header.revision == raised.value.compact_revision


async def test_leases_live_and_die(client, prefix):
    lease = await client.lease.grant(60, lease_id=LeaseID(int.from_bytes(prefix[:4])))
    await client.kv.put(Put(key=prefix, value=b"v", lease=lease.id))

    info = await client.lease.time_to_live(lease.id, keys=True)

    assert (60, (prefix,)) == (info.granted_ttl_s, info.keys)
    assert await client.lease.keep_alive(lease.id) == 60
    assert lease.id in await client.lease.leases()
    await client.lease.revoke(lease.id)
    assert (await client.kv.range(Range(key=prefix))).kvs == ()


async def test_leases_that_are_gone_or_there_are_told(client):
    lease = await client.lease.grant(60)
    with pytest.raises(LeaseExistsError):
        await client.lease.grant(60, lease_id=lease.id)
    await client.lease.revoke(lease.id)

    for call in (client.lease.revoke, client.lease.keep_alive, client.lease.time_to_live):
        with pytest.raises(LeaseNotFoundError):
            await call(lease.id)
    with pytest.raises(BadRequestError, match="TTL"):
        await client.lease.grant(10**10)


async def test_snapshot_is_a_file_that_etcdutl_restores(client, single, tmp_path):
    async with aclosing(client.maintenance.snapshot(timeout_s=30)) as stream:
        chunks = [chunk async for chunk in stream]
    content = b"".join(chunk.blob for chunk in chunks)
    file = tmp_path / "snapshot.db"
    file.write_bytes(content)

    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert (len(content) % 512, chunks[-1].is_trailer) == (32, True)
    restored = await asyncio.create_subprocess_exec(
        programs(single.version) / "etcdutl",
        *("snapshot", "restore", file, "--data-dir", tmp_path / "restored"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await asyncio.wait_for(restored.wait(), 30) == 0


async def test_hash_is_that_of_a_revision(client, prefix):
    put = await client.kv.put(Put(key=prefix, value=b"1"))
    revision = put.header.revision
    first = await client.maintenance.hash_kv(revision=revision)
    await client.kv.put(Put(key=prefix, value=b"2"))

    assert first.hash == (await client.maintenance.hash_kv(revision=revision)).hash
    assert first.hash != (await client.maintenance.hash_kv()).hash
    with pytest.raises(FutureRevisionError):
        await client.maintenance.hash_kv(revision=revision + 1000)


async def test_defragmentation_returns_space(client, prefix):
    for _ in range(6):
        await client.kv.put(Put(key=prefix, value=bytes(1_000_000)))
    deleted = await client.kv.delete_range(DeleteRange(key=ALL_KEYS, range_end=ALL_KEYS))
    await client.kv.compact(deleted.header.revision, physical=True)
    before = await client.maintenance.status()

    await client.maintenance.defragment()

    assert (await client.maintenance.status()).db_size < before.db_size


async def test_alarms_stop_writes_until_their_own_member_disarms_them(client, prefix):
    alarm = Alarm(member_id=NOBODY, kind=AlarmKind.NOSPACE)
    assert (alarm,) == await client.maintenance.raise_alarm(alarm)
    try:
        assert (alarm,) == await client.maintenance.alarms()
        assert any("NOSPACE" in text for text in (await client.maintenance.status()).errors)
        with pytest.raises(NoSpaceError):
            await client.kv.put(Put(key=prefix, value=b""))
        other = Alarm(member_id=MemberID(1), kind=AlarmKind.NOSPACE)
        assert await client.maintenance.disarm(other) == ()
        assert (alarm,) == await client.maintenance.alarms()
    finally:
        await client.maintenance.disarm(alarm)
    assert await client.maintenance.alarms() == ()


async def test_health_service_is_served(client):
    assert await client.health.is_serving()


async def test_leadership_goes_to_no_stranger(client):
    with pytest.raises(BadTransfereeError):
        await client.maintenance.move_leader(NOBODY)


async def test_downgrades_go_one_minor_down_only(client):
    with pytest.raises(DowngradeTargetError):
        await client.maintenance.downgrade_validate("3.1")
    with pytest.raises(DowngradeTargetError):
        await client.maintenance.downgrade_validate("three")


async def test_users_roles_and_permissions(client):
    role, user = "reader", "alice"
    allowed = Permission(access=Access.READ, key=b"a", range_end=b"b")
    await client.auth.role_add(role)
    await client.auth.role_grant(role, allowed)
    await client.auth.user_add(user, "secret")
    await client.auth.user_grant_role(user, role)
    await client.auth.user_change_password(user, "other")
    try:
        assert (allowed,) == await client.auth.role_permissions(role)
        assert (role,) == await client.auth.user_roles(user)
        assert ((user,), (role,)) == (await client.auth.users(), await client.auth.roles())
        with pytest.raises(AuthObjectExistsError):
            await client.auth.user_add(user, "secret")
        await client.auth.role_revoke(role, key=b"a", range_end=b"b")
        await client.auth.user_revoke_role(user, role)
        with pytest.raises(AuthObjectMissingError):
            await client.auth.user_revoke_role(user, role)
    finally:
        await client.auth.user_delete(user)
        await client.auth.role_delete(role)
    with pytest.raises(AuthObjectMissingError):
        await client.auth.user_delete(user)


async def test_authentication_asks_everybody_who_they_are(client, single):
    with pytest.raises(BadRequestError, match="root user"):
        await client.auth.enable()
    await client.auth.user_add("root", "secret")
    await client.auth.user_add("guest", "secret")
    await client.auth.role_add("root")
    await client.auth.user_grant_role("root", "root")
    await client.auth.enable()
    root = client.with_token(await client.auth.authenticate("root", "secret"))
    try:
        await _refusals_with_authentication(client, parse_version(single.version))
        assert (await root.auth.status()).enabled
        assert (await root.cluster.member_list()).members
    finally:
        await root.auth.disable()
        await client.auth.user_delete("guest")
        await client.auth.user_delete("root")
        await client.auth.role_delete("root")
    assert not (await client.auth.status()).enabled


async def _refusals_with_authentication(client, version):
    reads = (client.maintenance.status, client.cluster.member_list, client.maintenance.alarms)
    for read in reads:
        # Free for everybody before: 3.5.32 and 3.6.12 closed the last of them.
        free = version < Version(3, 5, 32)
        with contextlib.nullcontext() if free else pytest.raises(CredentialsMissingError):
            await read()
    with pytest.raises(CredentialsMissingError):
        await client.kv.range(Range(key=b"x"))
    with pytest.raises(CredentialsMissingError):
        async for _ in client.maintenance.snapshot(timeout_s=5):
            pass
    with pytest.raises(CredentialsRejectedError):
        await client.auth.authenticate("root", "wrong")
    with pytest.raises(TokenExpiredError):
        await client.with_token("made-up").kv.range(Range(key=b"x"))
    guest = client.with_token(await client.auth.authenticate("guest", "secret"))
    with pytest.raises(PermissionDeniedError):
        await guest.kv.put(Put(key=b"x", value=b""))
    with pytest.raises(PermissionDeniedError):
        async with guest.watch.open(WatchRange(key=b"x")):
            pass
