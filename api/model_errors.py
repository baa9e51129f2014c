"""Turns what pydantic found wrong into field errors in our own words.

Called by validation only. Pure, and total: an unknown kind of error keeps pydantic's words.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from api.errors import FieldError

_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is required",
    "model_type": lambda _: "must be an object",
    "dict_type": lambda _: "must be an object",
    "tuple_type": lambda _: "must be a list",
    "string_type": lambda _: "must be a string",
    "int_type": lambda _: "must be a whole number",
    "bool_type": lambda _: "must be true or false",
    "literal_error": lambda context: f"must be {context['expected']}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
    "value_error": lambda context: str(context["error"]),
}

# What pydantic puts after the key of a map when the key is wrong, and not its value.
_ABOUT_THE_KEY: Final = "[key]"


def field_errors(error: ValidationError) -> tuple[FieldError, ...]:
    """Return one field error for each thing that is wrong, in the models' order."""
    return tuple(
        FieldError(
            path_of(detail["loc"]), _message(detail["type"], detail["msg"], detail.get("ctx"))
        )
        for detail in error.errors(include_url=False, include_input=False)
    )


def path_of(parts: Iterable[str | int]) -> str:
    """Return the path as kubectl writes it: ("spec", "a", 0, "b") is "spec.a[0].b"."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != _ABOUT_THE_KEY:
            path += f".{part}" if path else part
    return path


def _message(kind: str, words: str, context: Mapping[str, Any] | None) -> str:
    in_our_words = _WORDS.get(kind)
    return in_our_words(context or {}) if in_our_words else words
