"""Turns Kubernetes quantities ("10Gi", "100m", 2) into exact numbers, and compares them by value.

Called by the models, by validation and by whoever compares a live object with a rendered one
("1000m" is "1"). Grammar: k8s.io/apimachinery/pkg/api/resource/quantity.go. Unlike there, a number
too large for 63 bits is an error and not silently capped: nobody means it.
"""

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal
from typing import Final

from typing_extensions import override

_NUMBER: Final = r"([0-9]+(\.[0-9]*)?|\.[0-9]+)"
_SUFFIX: Final = r"([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,3})?"
_POSITIVE_NUMBER: Final = r"([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)"

QUANTITY_PATTERN: Final = rf"^\+?{_NUMBER}{_SUFFIX}$"
POSITIVE_QUANTITY_PATTERN: Final = rf"^\+?{_POSITIVE_NUMBER}{_SUFFIX}$"
MAX_QUANTITY_LENGTH: Final = 40

_LARGEST: Final = Decimal(2**63 - 1)
_NANO: Final = Decimal("1e-9")
# Sixty-four digits hold every number of forty characters exactly, scaled by any suffix.
_EXACT: Final = Context(prec=128)

_MULTIPLIERS: Final[dict[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_SPLIT: Final = re.compile(rf"\+?(?P<number>{_NUMBER})(?P<suffix>.*)", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An amount as the user wrote it; two are equal when their values are, however they are
    written.

    `value` is exact down to a billionth; finer digits are rounded up, as Kubernetes does.
    """

    value: Decimal
    text: str = field(compare=False)

    @override
    def __str__(self) -> str:
        return self.text

    @property
    def whole(self) -> int:
        """The value as an integer (bytes, for an amount of memory or storage), rounded up."""
        return int(self.value.to_integral_value(rounding=ROUND_CEILING))

    @property
    def is_whole(self) -> bool:
        return self.value == self.value.to_integral_value()


def parse_quantity(value: str | int) -> Quantity:
    """Return the quantity that a manifest's string or integer means.

    Raises ValueError when it is malformed, negative, or 2**63 and above.
    """
    text = str(value)
    if len(text) > MAX_QUANTITY_LENGTH or re.fullmatch(QUANTITY_PATTERN, text) is None:
        raise ValueError("must be a quantity such as 10Gi, 500M or 100m")
    split = _SPLIT.fullmatch(text)
    assert split is not None  # the pattern above is the stricter one
    amount = _EXACT.multiply(Decimal(split["number"]), _multiplier(split["suffix"]))
    if amount > _LARGEST:
        raise ValueError("is too large: quantities end below 2 to the power of 63")
    return Quantity(amount.quantize(_NANO, ROUND_CEILING, _EXACT), text)


def same_quantity(left: str | int, right: str | int) -> bool:
    """Say whether two quantities have the same value; a malformed one equals only its own text."""
    try:
        return parse_quantity(left) == parse_quantity(right)
    except ValueError:
        return str(left) == str(right)


def _multiplier(suffix: str) -> Decimal:
    if suffix in _MULTIPLIERS:
        return _MULTIPLIERS[suffix]
    return Decimal(f"1e{suffix[1:]}")
