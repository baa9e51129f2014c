"""A segment comes back as it was, or not at all, with words for what is wrong with it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.changes import segment
from snapshots.changes.segment import (
    Body,
    Change,
    Revised,
    next_place,
    read_header,
    read_segment,
)
from snapshots.compression import Compressor
from snapshots.encryption import EncryptionKey
from snapshots.errors import (
    BackupError,
    DecryptionError,
    KeyMissingError,
    SegmentInvalidError,
    SegmentTooNewError,
    SnapshotsError,
    WrongKeyError,
)
from tests.unit.snapshots.changes.chains import KEY, NOON, OTHER, at, place, revised, write

numbers = st.integers(0, (1 << 63) - 1)
changes = st.builds(
    Change,
    deleted=st.booleans(),
    key=st.binary(min_size=1, max_size=20),
    value=st.binary(max_size=50),
    lease=numbers,
    create_revision=numbers,
    version=numbers,
)
keys = st.sampled_from([None, KEY])


@st.composite
def contents(draw, *, min_size=0):
    """Where a chain begins, and revisions without a gap from there on."""
    first = draw(st.integers(1, (1 << 63) - 20))
    groups = draw(
        st.lists(
            st.lists(changes, min_size=1, max_size=4, unique_by=lambda change: change.key),
            min_size=min_size,
            max_size=6,
        )
    )
    return first, tuple(
        Revised(revision=first + at, received_ms=draw(numbers), changes=tuple(group))
        for at, group in enumerate(groups)
    )


def opened(data):
    """The header of an object as a dict, and its body."""
    length = int.from_bytes(data[8:12])
    return json.loads(data[12 : 12 + length]), data[12 + length :]


def closed(header, body):
    """An object with this header, whose sizes and sums are right whatever the body is."""
    header = {**header, "bodySize": len(body), "bodySha256": hashlib.sha256(body).hexdigest()}
    text = json.dumps(header).encode()
    return b"ETCDCHG1" + len(text).to_bytes(4) + text + body


def with_header(data, **fields):
    header, body = opened(data)
    return closed(header | fields, body)


def with_body(data, body):
    header, _ = opened(data)
    return closed(header, body)


# ---------------------------------------------------------------- back as it was
@given(
    content=contents(),
    leases=st.dictionaries(numbers, numbers, max_size=4),
    until=st.datetimes(timezones=st.just(UTC)),
    compress=st.booleans(),
    key=keys,
)
def test_what_was_written_is_read_again(content, leases, until, compress, key):
    first, revisions = content
    data, header, sha256 = write(
        place(first), revisions, leases=leases, until=until, compress=compress, key=key
    )

    found, found_sha256, body = read_segment(data, [OTHER, KEY])

    assert (found, found_sha256) == (header, sha256) == read_header(data)
    assert body == Body(
        first=first, last=first + len(revisions) - 1, leases=leases, revisions=revisions
    )
    assert (found.first_revision, found.last_revision) == (body.first, body.last)
    assert found.complete_until == until


def test_format_is_the_one_that_is_written_down():
    """What is in stores already is read by every later release."""
    body = msgspec.msgpack.encode(
        [
            5,
            6,
            {7: 60},
            [[5, 1000, [[False, b"k", b"v", 7, 5, 1]]], [6, 2000, [[True, b"k", b"", 0, 0, 0]]]],
        ]
    )
    header = {
        "format": "etcd-operator/changes",
        "formatVersion": 1,
        "cluster": "c",
        "epoch": 1,
        "chain": 5,
        "number": 0,
        "firstRevision": 5,
        "lastRevision": 6,
        "completeUntil": "2026-03-01T12:00:00Z",
        "previous": "",
        "compression": "none",
        "encryption": None,
        "addedLater": "left alone",
    }

    found, _, read = read_segment(closed(header, body), [])

    assert found.complete_until == NOON
    assert read.leases == {7: 60}
    assert [(r.revision, r.received_ms) for r in read.revisions] == [(5, 1000), (6, 2000)]
    assert [c.deleted for r in read.revisions for c in r.changes] == [False, True]


def test_of_an_encrypted_segment_neither_keys_nor_values_are_readable():
    data, _, _ = write(key=KEY)

    assert b"key" not in opened(data)[1]
    assert b"value" not in opened(data)[1]


def test_next_place_is_right_behind():
    data, header, sha256 = write()
    after = next_place(header, sha256)
    _, second, _ = write(after, [revised(7)])

    assert (after.number, after.first_revision, after.previous) == (1, 7, sha256)
    assert second.follows(header, read_header(data)[1])


def test_segment_that_only_says_that_nothing_happened_is_followed_by_the_same_revision():
    _, header, sha256 = write(revisions=[])
    after = next_place(header, sha256)

    assert (header.first_revision, header.last_revision) == (5, 4)
    assert after.first_revision == 5
    assert write(after, [revised(5)])[1].follows(header, sha256)


@pytest.mark.parametrize(
    "changed",
    [
        {"cluster": "d"},
        {"epoch": 2},
        {"chain": 4},
        {"number": 2},
        {"first_revision": 8},
        {"first_revision": 6},
        {"previous": "0" * 64},
        {"complete_until": at(99)},
    ],
    ids=str,
)
def test_only_the_very_next_segment_follows(changed):
    _, before, sha256 = write()
    _, after, _ = write(next_place(before, sha256), [revised(7)])
    assert after.follows(before, sha256)

    assert not after.model_copy(update=changed).follows(before, sha256)


# ---------------------------------------------------------------- damage
@given(content=contents(), compress=st.booleans(), key=keys, data=st.data())
def test_flipped_bit_never_gives_other_changes(content, compress, key, data):
    """In the header a bit may change what nobody can prove alone: there the chain's sums tell."""
    first, revisions = content
    written, header, sha256 = write(place(first), revisions, compress=compress, key=key)
    broken = bytearray(written)
    where = data.draw(st.integers(0, len(broken) - 1))
    broken[where] ^= 1 << data.draw(st.integers(0, 7))

    try:
        _, found_sha256, body = read_segment(bytes(broken), [KEY])
    except SnapshotsError:
        return
    assert where < len(written) - header.body_size
    assert found_sha256 != sha256
    assert body.revisions == revisions


@given(content=contents(), compress=st.booleans(), key=keys, data=st.data())
def test_cut_end_is_noticed(content, compress, key, data):
    first, revisions = content
    written, _, _ = write(place(first), revisions, compress=compress, key=key)
    kept = data.draw(st.integers(0, len(written) - 1))

    with pytest.raises(SegmentInvalidError):
        read_segment(written[:kept], [KEY])


@given(content=contents(min_size=2), data=st.data())
def test_revisions_in_another_order_or_missing_are_noticed(content, data):
    first, revisions = content
    written, _, _ = write(place(first), revisions)
    other = data.draw(
        st.lists(st.sampled_from(revisions), max_size=8).filter(lambda o: tuple(o) != revisions)
    )
    body = Body(first=first, last=revisions[-1].revision, leases={}, revisions=tuple(other))

    with pytest.raises(SegmentInvalidError, match="missing in the body, or not in their order"):
        read_segment(with_body(written, msgspec.msgpack.encode(body)), [])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin as a segment does"),
        (b"ETCDCHG1\0\0", "does not begin as a segment does"),
        (b"ETCDCHG2" + write()[0][8:], "does not begin as a segment does"),
        (write()[0][:100], "ends within its header"),
        (b"ETCDCHG1\xff\xff\xff\xff" + bytes(100), "ends within its header"),
        (b"ETCDCHG1" + (20_000).to_bytes(4) + b"{}" + b" " * 30_000, "ends within its header"),
        (write()[0][:-1], r"the body has \d+ bytes, and \d+ in the header"),
        (write()[0] + b"x", r"the body has \d+ bytes, and \d+ in the header"),
        (write()[0][:-1] + b"x", "sha256 is not the one in the header"),
        (b"ETCDCHG1\0\0\0\x02{}", "its header is not valid: format: Field required"),
        (with_header(write()[0], format="x"), "its header is not valid: format: "),
        (with_header(write()[0], epoch=-1), "its header is not valid: epoch: "),
        (with_header(write()[0], cluster="0c"), "its header is not valid: cluster: "),
        (with_header(write()[0], lastRevision=3), "valid: lastRevision is before firstRevision"),
        (with_header(write()[0], number=1), "valid: only the first segment has nothing before it"),
        (with_header(write()[0], chain=4), "valid: the first segment does not begin its chain"),
        (
            with_header(write()[0], chain=6, number=1, previous="0" * 64),
            "valid: firstRevision is before the chain's",
        ),
        (with_header(write()[0], completeUntil="2026-03-01T12:00:00"), "completeUntil: "),
        (with_body(write()[0], b"\xc1"), "the body is not readable: "),
        (with_body(write()[0], b"\x94\x05\x06\x80\x05"), "the body is not readable: "),
        (with_body(write()[0], msgspec.msgpack.encode([4, 5, {}, []])), "is another segment's"),
        (with_header(write()[0], lastRevision=7), "the body is another segment's"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said(data, words):
    with pytest.raises(SegmentInvalidError, match=words):
        read_segment(data, [])


def test_body_with_a_part_of_its_revisions_is_noticed():
    body = msgspec.msgpack.encode(Body(first=5, last=6, leases={}, revisions=(revised(5),)))

    with pytest.raises(SegmentInvalidError, match="revisions are missing"):
        read_segment(with_body(write()[0], body), [])


@pytest.mark.parametrize("count", [0, 2])
def test_revision_without_a_change_or_with_two_of_one_key_is_refused(count):
    revisions = (msgspec.structs.replace(revised(5), changes=revised(5).changes * count),)
    data, _, _ = write(revisions=revisions)

    with pytest.raises(SegmentInvalidError, match="revision 5 has no change, or two of one key"):
        read_segment(data, [])


def test_format_of_a_later_release_is_told_from_damage():
    data = with_header(write()[0], formatVersion=2, previous=["what", "ever"])

    with pytest.raises(SegmentTooNewError, match="it is of format 2, and this release reads up to"):
        read_segment(data, [])


def test_little_that_becomes_more_than_memory_has_place_for_is_refused(monkeypatch):
    monkeypatch.setattr(segment, "MAX_SEGMENT_BYTES", 1 << 20)
    compressor = Compressor()
    packed = compressor.feed(bytes(8 << 20)) + compressor.finish()
    data = with_body(write(compress=True)[0], packed)

    with pytest.raises(
        SegmentInvalidError, match="more than 1048576 bytes when it is decompressed"
    ):
        read_segment(data, [])


# ---------------------------------------------------------------- keys
def test_key_that_was_not_given_is_named():
    with pytest.raises(KeyMissingError, match="2026-01"):
        read_segment(write(key=KEY)[0], [OTHER])


def test_key_with_the_name_of_another_is_told_from_damage():
    wrong = EncryptionKey(id=KEY.id, secret=bytes(32))

    with pytest.raises(WrongKeyError, match="2026-01"):
        read_segment(write(key=KEY)[0], [wrong])


def test_changed_ciphertext_is_noticed_also_where_its_sums_are_right():
    data, _, _ = write(key=KEY)
    body = bytearray(opened(data)[1])
    body[-1] ^= 1

    with pytest.raises(DecryptionError, match="not authentic"):
        read_segment(with_body(data, bytes(body)), [KEY])


def test_encrypted_body_of_another_segment_is_noticed_also_where_its_sums_are_right():
    """The header is not encrypted: whoever writes to the store can make one that fits."""
    data, header, sha256 = write(key=KEY)
    other, _, _ = write(next_place(header, sha256), [revised(7), revised(8)], key=KEY)

    with pytest.raises(SegmentInvalidError, match="the body is another segment's"):
        read_segment(with_body(data, opened(other)[1]), [KEY])


# ---------------------------------------------------------------- any bytes
@given(data=st.binary(max_size=300), begun=st.booleans())
@example(data=b"\0\0\0\x00", begun=True)
@example(data=b"\0\0\0\x04\xff\xfe\xfd\xfc", begun=True)
def test_any_bytes_end_in_an_error_of_ours(data, begun):
    data = b"ETCDCHG1" * begun + data

    with pytest.raises(SegmentInvalidError):
        read_segment(data, [KEY])
    with pytest.raises(SegmentInvalidError):
        read_header(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
fields = st.sampled_from([*opened(write()[0])[0], "formatVersion", "completeUntil"])


@given(changed=st.dictionaries(fields, values, min_size=1, max_size=3))
@example(changed={"formatVersion": 10**4000})
@example(changed={"lastRevision": (1 << 63) - 1})
@example(changed={"lastRevision": (1 << 63) - 1, "firstRevision": 1, "chain": 1})
@example(changed={"completeUntil": "0001-01-01T00:00:00+23:59"})
@example(changed={"completeUntil": "9999-12-31T23:59:59-23:59"})
@example(changed={"encryption": KEY.id})
@example(changed={"compression": "zstd"})
def test_any_header_is_read_or_refused(changed):
    data = with_header(write()[0], **changed)

    try:
        header, _, body = read_segment(data, [KEY])
    except (SegmentInvalidError, BackupError):
        return
    assert (header.first_revision, header.last_revision) == (body.first, body.last)
    assert header.follows(write()[1], "") is False


@given(body=values | st.binary(max_size=200), compress=st.booleans(), key=keys)
def test_any_body_is_read_or_refused(body, compress, key):
    packed = body if isinstance(body, bytes) else json.dumps(body).encode()
    written, _, _ = write(compress=compress, key=key)

    with pytest.raises((SegmentInvalidError, BackupError)):
        read_segment(with_body(written, packed), [KEY])


@given(
    first=numbers | st.just(5),
    revisions=st.lists(st.lists(values, max_size=7), max_size=3),
)
def test_any_message_is_read_or_refused(first, revisions):
    try:
        packed = msgspec.msgpack.encode([first, 6, {}, revisions])
    except OverflowError:
        return

    with pytest.raises(SegmentInvalidError):
        read_segment(with_body(write()[0], packed), [])
