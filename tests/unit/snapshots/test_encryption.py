"""What was encrypted comes back as it was, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.encryption import Decryptor, EncryptionKey, Encryptor
from snapshots.errors import BackupError, DecryptionError, KeyMissingError, WrongKeyError

CHUNK = 64 * 1024
SEALED = CHUNK + 16
KEY = EncryptionKey(id="2026-01", secret=bytes(range(32)))
OTHER = EncryptionKey(id="2025-12", secret=bytes(32))
HEADER = 8 + 1 + len(KEY.id) + 32 + 32

sizes = st.sampled_from([0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 5])


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def encrypt(data, piece=1 << 20, key=KEY):
    encryptor = Encryptor(key)
    return b"".join([*map(encryptor.feed, pieces(data, piece)), encryptor.finish()])


def decrypt(data, piece=1 << 20, keys=(OTHER, KEY)):
    decryptor = Decryptor(keys)
    found = [part for fed in pieces(data, piece) for part in decryptor.feed(fed)]
    return b"".join([*found, *decryptor.finish()])


def plain(size):
    return bytes(number % 251 for number in range(size))


@given(size=sizes, into=st.integers(1000, 200_000), out_of=st.integers(1000, 200_000))
@example(size=3, into=1, out_of=1)
def test_any_pieces_make_the_same(size, into, out_of):
    data = plain(size)

    assert decrypt(encrypt(data, into), out_of) == data


def test_no_two_streams_are_alike():
    assert encrypt(b"same")[HEADER:] != encrypt(b"same")[HEADER:]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_size_is_header_data_and_tags(size):
    chunks = max(1, -(-size // CHUNK))

    assert len(encrypt(plain(size))) == HEADER + size + 16 * chunks


@given(size=sizes, data=st.data())
def test_flipped_bit_is_noticed(size, data):
    sealed = bytearray(encrypt(plain(size)))
    at = data.draw(st.integers(0, len(sealed) - 1))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(BackupError):
        decrypt(bytes(sealed))


@given(size=sizes, data=st.data())
@example(size=2 * CHUNK, data=None)
def test_cut_end_is_noticed(size, data):
    sealed = encrypt(plain(size))
    kept = HEADER + SEALED if data is None else data.draw(st.integers(0, len(sealed) - 1))

    with pytest.raises(DecryptionError):
        decrypt(sealed[:kept])


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (0, 1), (0, 0, 1, 2), (2, 1, 0)], ids=str)
def test_chunks_in_another_order_are_noticed(order):
    sealed = encrypt(plain(3 * CHUNK))
    chunks = pieces(sealed[HEADER:], SEALED)

    with pytest.raises(DecryptionError):
        decrypt(sealed[:HEADER] + b"".join(chunks[number] for number in order))


def test_data_after_the_end_are_noticed():
    with pytest.raises(DecryptionError):
        decrypt(encrypt(b"data") + b"more")


def test_chunk_of_another_stream_of_the_same_key_is_noticed():
    one, other = encrypt(plain(CHUNK + 1)), encrypt(plain(CHUNK + 1))

    with pytest.raises(DecryptionError, match="chunk 0"):
        decrypt(one[:HEADER] + other[HEADER : HEADER + SEALED] + one[HEADER + SEALED :])


def test_nothing_unproven_comes_out():
    sealed = bytearray(encrypt(plain(3 * CHUNK)))
    sealed[HEADER + SEALED] ^= 1
    opened = Decryptor([KEY]).feed(bytes(sealed))

    assert next(opened) == plain(3 * CHUNK)[:CHUNK]
    with pytest.raises(DecryptionError, match="chunk 1"):
        next(opened)


def test_key_that_was_not_given_is_named():
    with pytest.raises(KeyMissingError, match="2026-01"):
        decrypt(encrypt(b"data"), keys=[OTHER])


def test_key_with_the_name_of_another_is_told_from_damage():
    wrong = EncryptionKey(id=KEY.id, secret=bytes(32))

    with pytest.raises(WrongKeyError, match="2026-01"):
        decrypt(encrypt(b"data"), keys=[wrong])


@given(data=st.binary(max_size=300))
@example(data=b"ETCDENC1")
@example(data=b"ETCDENC1\xff")
def test_any_bytes_end_in_an_error_of_ours(data):
    with pytest.raises(BackupError):
        decrypt(data)


def test_key_shows_nothing():
    assert "\\x1f" not in repr(KEY)
    assert repr(KEY) == "EncryptionKey(id='2026-01')"


@pytest.mark.parametrize(
    ("id_", "secret"), [("a", bytes(31)), ("", bytes(32)), ("a b", bytes(32)), ("é", bytes(32))]
)
def test_what_is_no_key_is_refused(id_, secret):
    with pytest.raises(ValueError, match="key"):
        EncryptionKey(id=id_, secret=secret)
