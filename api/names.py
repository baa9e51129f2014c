"""Checks the texts that Kubernetes puts limits on: names of labels, annotations and resources, and
label values.

Called by validation; pure. The limits are those of k8s.io/apimachinery/pkg/util/validation.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from api.errors import FieldError
from api.labels import is_reserved_key
from api.v1alpha1.common import MAX_SUBDOMAIN_LENGTH, SUBDOMAIN_PATTERN

_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_SUBDOMAIN: Final = re.compile(SUBDOMAIN_PATTERN)
_MAX_NAME_LENGTH: Final = 63
# The sum over all annotations of an object; the templates get less than an object may have.
_MAX_ANNOTATIONS_BYTES: Final = 128 * 1024


def is_qualified_name(text: str) -> bool:
    """Say whether the text is a name with an optional prefix: "example.com/my-name"."""
    prefix, slash, name = text.rpartition("/")
    if slash and not (len(prefix) <= MAX_SUBDOMAIN_LENGTH and _SUBDOMAIN.fullmatch(prefix)):
        return False
    return len(name) <= _MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def label_errors(labels: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """Yield what is wrong with labels that a user wants added to one of our objects."""
    for key, value in labels.items():
        yield from _key_errors(key, f"{path}.{key}")
        if len(value) > _MAX_NAME_LENGTH or _VALUE.fullmatch(value) is None:
            yield FieldError(
                f"{path}.{key}", "must be at most 63 letters, digits, '-', '_' and '.', or empty"
            )


def annotation_errors(annotations: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """Yield what is wrong with annotations that a user wants added to one of our objects."""
    for key in annotations:
        yield from _key_errors(key, f"{path}.{key}")
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > _MAX_ANNOTATIONS_BYTES:
        yield FieldError(path, f"must have at most {_MAX_ANNOTATIONS_BYTES} characters in all")


def _key_errors(key: str, path: str) -> Iterator[FieldError]:
    if not is_qualified_name(key):
        yield FieldError(path, "must have a name such as example.com/my-name")
    elif is_reserved_key(key):
        yield FieldError(path, "is set by the operator", "Leave it out.")
