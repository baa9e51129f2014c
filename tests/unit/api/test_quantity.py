"""Kubernetes quantities are read exactly and compared by value."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.quantity import parse_quantity, same_quantity

SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "e3": Fraction(1000),
    "E+2": Fraction(100),
    "e-3": Fraction(1, 1000),
}


@given(st.integers(0, 10**6), st.sampled_from(sorted(SUFFIXES)))
def test_whole_numbers_are_exact_with_every_suffix(number, suffix):
    assert Fraction(parse_quantity(f"{number}{suffix}").value) == number * SUFFIXES[suffix]


@given(st.decimals(0, 10**6, places=3), st.sampled_from(["", "k", "Ki", "Gi"]))
def test_fractions_are_exact(number, suffix):
    assert (
        Fraction(parse_quantity(f"{number}{suffix}").value) == Fraction(number) * SUFFIXES[suffix]
    )


@given(st.text(st.sampled_from("0123456789.+-eEkKMGimnu \n"), max_size=45) | st.text(max_size=5))
def test_any_text_is_a_quantity_or_a_value_error(text):
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return

    assert 0 <= quantity.value < 2**63
    assert quantity.text == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1024Mi", "1Gi"),
        ("1000m", 1),
        ("0.5", "500m"),
        (".5Gi", "512Mi"),
        ("5.", "5"),
        ("1e3", "1k"),
        ("1E", "1000P"),
        ("+1", "1"),
    ],
)
def test_spellings_of_one_amount_are_equal(one, other):
    assert parse_quantity(one) == parse_quantity(other)
    assert hash(parse_quantity(one)) == hash(parse_quantity(other))


@pytest.mark.parametrize(
    "text", ["", "Gi", "10GB", "1 Gi", "-1", "1e", "1e1.5", "0x10", "1_000", "٣", "1Gi\n", "."]
)
def test_malformed_amounts_are_refused(text):
    with pytest.raises(ValueError, match="must be a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "1e999", "8Ei"])
def test_amounts_beyond_63_bits_are_refused_instead_of_capped(text):
    with pytest.raises(ValueError, match="too large"):
        parse_quantity(text)


def test_digits_finer_than_a_billionth_are_rounded_up():
    assert parse_quantity("0.1n").value == Decimal("1e-9")


def test_amounts_are_ordered_by_value():
    assert parse_quantity("900Mi") < parse_quantity("1Gi")


def test_whole_tells_bytes_from_parts_of_them():
    assert parse_quantity("1.5Ki").is_whole
    assert parse_quantity("1.5Ki").whole == 1536
    assert not parse_quantity("100m").is_whole


def test_malformed_amounts_equal_only_their_own_text():
    assert same_quantity("1Gi", "1024Mi")
    assert same_quantity("x", "x")
    assert not same_quantity("x", "1Gi")
