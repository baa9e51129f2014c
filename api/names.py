"""Checks the texts that Kubernetes puts limits on: names of labels, annotations and resources, and
label values.

Called by validation; pure. The limits are those of k8s.io/apimachinery/pkg/util/validation.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from api.errors import FieldError
from api.labels import (
    CLUSTER_NAME_PATTERN,
    MAX_CLUSTER_NAME_LENGTH,
    RESERVED_SUFFIXES,
    is_reserved_key,
)
from api.v1alpha1.common import MAX_SUBDOMAIN_LENGTH, SUBDOMAIN_PATTERN, matching

_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_SUBDOMAIN: Final = re.compile(SUBDOMAIN_PATTERN)
_MAX_NAME_LENGTH: Final = 63
# The sum over all annotations of an object; the templates get less than an object may have.
_MAX_ANNOTATIONS_BYTES: Final = 128 * 1024


_check_cluster_name: Final = matching(
    CLUSTER_NAME_PATTERN,
    "must be lower-case letters, digits and '-', begin with a letter and not end with '-'",
)


def cluster_name_errors(name: str, field: str) -> Iterator[FieldError]:
    """Yield what keeps an EtcdCluster from having the name that stands in that field."""
    try:
        _check_cluster_name(name)
    except ValueError as error:
        yield FieldError(field, str(error))
    if len(name) > MAX_CLUSTER_NAME_LENGTH:
        yield FieldError(field, f"must have at most {MAX_CLUSTER_NAME_LENGTH} characters")
    if name.endswith(RESERVED_SUFFIXES):
        endings = ", ".join(RESERVED_SUFFIXES)
        yield FieldError(
            field,
            f"must not end in {endings}: objects of another cluster could have these names",
        )


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
