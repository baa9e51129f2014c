"""Keys, operations and IDs as values."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from etcd.ids import MemberID, member_id_hex, parse_member_id
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
from etcd.kv_wire import txn_request


@given(prefix=st.binary(min_size=1, max_size=4), key=st.binary(max_size=6))
def test_prefix_end_bounds_exactly_the_keys_with_the_prefix(prefix, key):
    assume(prefix.strip(b"\xff"))

    assert key.startswith(prefix) is (prefix <= key < prefix_end(prefix))


@pytest.mark.parametrize("prefix", [b"", b"\xff", b"\xff\xff"])
def test_prefixes_without_an_end_reach_to_the_last_key(prefix):
    assert prefix_end(prefix) == ALL_KEYS


@pytest.mark.parametrize(
    ("target", "operand"),
    [(Target.VALUE, 1), (Target.VERSION, b"1"), (Target.LEASE, b""), (Target.MOD_REVISION, b"0")],
)
def test_comparisons_of_unlike_things_are_refused(target, operand):
    with pytest.raises(TypeError, match="can't be compared"):
        Compare(b"k", target, Operator.EQUAL, operand)


@pytest.mark.parametrize(
    ("target", "operand", "field"),
    [
        (Target.VALUE, b"v", "value"),
        (Target.VERSION, 1, "version"),
        (Target.CREATE_REVISION, 2, "create_revision"),
        (Target.MOD_REVISION, 3, "mod_revision"),
        (Target.LEASE, 4, "lease"),
    ],
)
def test_comparisons_set_the_field_of_their_target(target, operand, field):
    request = txn_request(Txn(compare=(Compare(b"k", target, Operator.LESS, operand),)))

    assert field == request.compare[0].WhichOneof("target_union")
    assert operand == getattr(request.compare[0], field)


def test_transactions_nest_every_operation():
    inner = Txn(success=(Put(key=b"a", value=b"1"),))
    request = txn_request(Txn(success=(Range(key=b"a"), DeleteRange(key=b"b")), failure=(inner,)))

    kinds = [op.WhichOneof("request") for op in [*request.success, *request.failure]]

    assert kinds == ["request_range", "request_delete_range", "request_txn"]


@given(st.integers(0, 2**64 - 1))
def test_ids_survive_their_hexadecimal_form(number):
    assert number == parse_member_id(member_id_hex(MemberID(number)))


@pytest.mark.parametrize("text", ["", "xyz", "1" * 17, "-1", "0x10", " 1", "1_0"])
def test_other_texts_are_no_ids(text):
    with pytest.raises(ValueError, match="not an ID"):
        parse_member_id(text)
