"""The types of fields that say what is in certificates, and for how long they are valid.

Used by `cluster`. The schema knows how a name or an address is written; that an address is one, and
how long a certificate may be valid, is checked here.
"""

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from api.duration import DURATION_PATTERN, MAX_DURATION_LENGTH, parse_duration
from api.v1alpha1.common import (
    MAX_SUBDOMAIN_LENGTH,
    SUBDOMAIN_PATTERN,
    Text,
    empty_is_absent,
    matching,
    or_empty,
    text_schema,
)

DEFAULT_CERTIFICATE_DURATION: Final = timedelta(days=365)
# Below, kubelet may bring a renewed certificate into a pod after the old one has expired: it looks
# at Secrets about once a minute.
SHORTEST_CERTIFICATE_DURATION: Final = timedelta(minutes=5)
LONGEST_CERTIFICATE_DURATION: Final = timedelta(days=3650)
# Of cert-manager (pkg/apis/certmanager/v1, MinimumCertificateDuration).
SHORTEST_ISSUED_DURATION: Final = timedelta(hours=1)
MAX_NAMES: Final = 64

_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = rf"(\*\.)?{_LABEL}(\.{_LABEL})*"
ALTERNATIVE_NAME_PATTERN: Final = rf"^({_NAME}|[0-9a-fA-F:.]+)$"
MAX_ALTERNATIVE_NAME_LENGTH: Final = 253
_NAME_MESSAGE: Final = (
    "must be a DNS name in lower case, which may begin with '*.', or an IP address"
)
# No top-level domain is a number (RFC 3696, section 2): what ends in one is meant as an address.
_ADDRESS: Final = re.compile(r".*:.*|(.*\.)?[0-9]+")


def _check_alternative_name(text: str) -> str:
    """The name; an address as it is written canonically, to be compared with a certificate's."""
    if re.fullmatch(ALTERNATIVE_NAME_PATTERN, text) is None:
        raise ValueError(_NAME_MESSAGE)
    if _ADDRESS.fullmatch(text) is None:
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(_NAME_MESSAGE) from None


def is_address(alternative_name: str) -> bool:
    """Whether a checked name is an IP address."""
    return _ADDRESS.fullmatch(alternative_name) is not None


def _check_certificate_duration(text: str) -> str:
    duration = life_of(text)
    if not SHORTEST_CERTIFICATE_DURATION <= duration <= LONGEST_CERTIFICATE_DURATION:
        raise ValueError("must be between 5m and 3650d")
    return text


def life_of(text: str) -> timedelta:
    """The duration that a text means. Raises ValueError."""
    return timedelta(microseconds=parse_duration(text) // 1000)


_MAX_LABEL: Final = 63
_KIND_PATTERN: Final = r"^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$"
IssuerName = Annotated[
    Text,
    Field(max_length=MAX_SUBDOMAIN_LENGTH),
    AfterValidator(matching(SUBDOMAIN_PATTERN, "must be the name of an issuer")),
    text_schema(SUBDOMAIN_PATTERN, MAX_SUBDOMAIN_LENGTH),
]
IssuerKind = Annotated[
    Text,
    Field(max_length=_MAX_LABEL),
    AfterValidator(matching(_KIND_PATTERN, "must be a kind, such as ClusterIssuer")),
    text_schema(_KIND_PATTERN, _MAX_LABEL),
]
IssuerGroup = Annotated[
    Text,
    Field(max_length=MAX_SUBDOMAIN_LENGTH),
    AfterValidator(matching(SUBDOMAIN_PATTERN, "must be an API group, such as cert-manager.io")),
    text_schema(SUBDOMAIN_PATTERN, MAX_SUBDOMAIN_LENGTH),
]
AlternativeName = Annotated[
    Text,
    Field(max_length=MAX_ALTERNATIVE_NAME_LENGTH),
    AfterValidator(_check_alternative_name),
    text_schema(ALTERNATIVE_NAME_PATTERN, MAX_ALTERNATIVE_NAME_LENGTH),
]
AlternativeNames = Annotated[tuple[AlternativeName, ...], Field(max_length=MAX_NAMES)]
CertificateDuration = Annotated[
    Text,
    AfterValidator(_check_certificate_duration),
    text_schema(or_empty(DURATION_PATTERN), MAX_DURATION_LENGTH),
]
OptionalCertificateDuration = Annotated[
    CertificateDuration | None, BeforeValidator(empty_is_absent)
]
