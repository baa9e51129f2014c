"""The types that the three kinds share: the base model, quantities, times, conditions, and how a
CEL rule is attached.

A model is at once what the operator reads, what `kubectl explain` shows and what the CRD enforces.
So every field has a description, defaults stand here and nowhere else, and a rule that schema and
CEL can state stands beside its field.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    Strict,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from api.duration import DURATION_PATTERN, MAX_DURATION_LENGTH, parse_duration
from api.quantity import (
    MAX_QUANTITY_LENGTH,
    POSITIVE_QUANTITY_PATTERN,
    QUANTITY_PATTERN,
    Quantity,
    parse_quantity,
)

MAX_LABELS: Final = 64
MAX_RESOURCES: Final = 32

_EMPTY: Final[tuple[object, ...]] = ("", [], {})

# Extensions of the schema that many fields carry.
INT64: Final[JsonDict] = {"format": "int64"}
INT32: Final[JsonDict] = {"format": "int32"}
FREE_FORM: Final[JsonDict] = {"x-kubernetes-preserve-unknown-fields": True}


def cel(rule: str, message: str, *, field: str = "") -> JsonDict:
    """Return the schema extension that carries a CEL rule.

    The message says what the field "must be"; the generator puts the field's path before it.
    `field` is the one below the rule's own place that the message is about.
    """
    return {"x-kubernetes-validations": [{"rule": rule, "message": message, "field": field}]}


class Model(BaseModel):
    """The base of every object in a manifest: immutable, and read as the API server reads.

    Unknown fields are dropped, because the server prunes them; a null means that the field is
    absent, because the server drops it before it fills in defaults.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: object) -> object:
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data

    @model_serializer(mode="wrap")
    def _leave_out_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        optional = _may_be_empty(type(self))
        return {
            key: value
            for key, value in written.items()
            if value is not None and (value not in _EMPTY or key not in optional)
        }

    def to_json(self) -> dict[str, Any]:
        """Return the plain object for the wire: camelCase, without what is absent or empty."""
        return self.model_dump(mode="json", by_alias=True)


@lru_cache
def _may_be_empty(kind: type["Model"]) -> frozenset[str]:
    """The keys, by name and alias, under which what is empty is left out. Where None is the
    default, an empty text or object is something else and stays.
    """
    fields = kind.model_fields.items()
    optional = [(n, f) for n, f in fields if not f.is_required() and f.default is not None]
    return frozenset(key for name, field in optional for key in (name, field.alias or name))


# Strict, because the server refuses "3" for a number and "true" for a flag.
Text = Annotated[str, Strict()]
Integer = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]

Json = dict[Text, Any]
Labels = Annotated[dict[Text, Text], Field(max_length=MAX_LABELS)]


def empty_is_absent(value: object) -> object:
    """Read the empty text as absent: manifests that Go programs wrote contain it."""
    return None if value == "" else value


def matching(pattern: str, message: str) -> Callable[[str], str]:
    """Return a check for the pattern whose error is `message` ("must be ...")."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(message)
        return text

    return check


def text_schema(pattern: str, max_length: int) -> WithJsonSchema:
    """Return the schema of a text with a pattern."""
    return WithJsonSchema({"type": "string", "maxLength": max_length, "pattern": pattern})


def number_or_text_schema(pattern: str, max_length: int, *, minimum: int) -> WithJsonSchema:
    """Return the schema of a value that YAML may give as a number: `minimum` is for that form."""
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": max_length,
            "minimum": minimum,
            "pattern": pattern,
        }
    )


def or_empty(pattern: str) -> str:
    """Return the anchored pattern with the empty text allowed as well."""
    return f"^({pattern.removeprefix('^').removesuffix('$')})?$"


# RFC 1123 as Kubernetes reads it: the names of most objects, and of domains.
SUBDOMAIN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
MAX_SUBDOMAIN_LENGTH: Final = 253

ObjectName = Annotated[
    Text,
    Field(max_length=MAX_SUBDOMAIN_LENGTH),
    AfterValidator(
        matching(
            SUBDOMAIN_PATTERN, "must be lower-case letters, digits, '-' and '.', as in a DNS name"
        )
    ),
    text_schema(or_empty(SUBDOMAIN_PATTERN), MAX_SUBDOMAIN_LENGTH),
]
OptionalObjectName = Annotated[ObjectName | None, BeforeValidator(empty_is_absent)]


def _read_quantity(value: object) -> Quantity:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return parse_quantity(value)
    raise ValueError("must be a quantity: a number, or a string such as 10Gi")


def _read_positive_quantity(value: object) -> Quantity:
    quantity = _read_quantity(value)
    if quantity.value == 0:
        raise ValueError("must be more than 0")
    return quantity


_WriteQuantity = PlainSerializer(lambda quantity: quantity.text, return_type=str)

AnyQuantity = Annotated[
    Quantity,
    PlainValidator(_read_quantity),
    _WriteQuantity,
    number_or_text_schema(QUANTITY_PATTERN, MAX_QUANTITY_LENGTH, minimum=0),
]
PositiveQuantity = Annotated[
    Quantity,
    PlainValidator(_read_positive_quantity),
    _WriteQuantity,
    number_or_text_schema(POSITIVE_QUANTITY_PATTERN, MAX_QUANTITY_LENGTH, minimum=1),
]
Resources = Annotated[dict[Text, AnyQuantity], Field(max_length=MAX_RESOURCES)]


def _check_duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[
    Text,
    AfterValidator(_check_duration),
    text_schema(or_empty(DURATION_PATTERN), MAX_DURATION_LENGTH),
]
OptionalDuration = Annotated[Duration | None, BeforeValidator(empty_is_absent)]


def _write_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    AwareDatetime,
    PlainSerializer(_write_time, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def keyed_by(key: str) -> JsonDict:
    """Return the schema extension of a list whose items are told apart by one of their fields."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def nested(default: type[Model], description: str) -> Any:  # noqa: ANN401 - as pydantic.Field
    """Return the field of a part that is always there, so that its own defaults are persisted."""
    return Field(
        default_factory=default, description=description, json_schema_extra={"default": {}}
    )


class Condition(Model):
    """One observation about an object, in the form that Kubernetes gives to all conditions."""

    type: Text = Field(description="What is observed, in PascalCase: Ready.", max_length=316)
    status: Text = Field(description="True, False or Unknown.", max_length=16)
    observed_generation: Integer | None = Field(
        default=None,
        description="The metadata.generation that was looked at.",
        json_schema_extra={"format": "int64"},
    )
    last_transition_time: Time = Field(description="When `status` changed last.")
    reason: Text = Field(description="Why, as one stable word: ClusterReady.", max_length=1024)
    message: Text = Field(description="Why, for a person, and what to do next.", max_length=32768)


Conditions = Annotated[tuple[Condition, ...], Field(json_schema_extra=keyed_by("type"))]
