"""Who may reach the members: what an EtcdCluster says of its NetworkPolicy.

As strict as the API server's own validation of a NetworkPolicy, so that a spec that is accepted
here can be applied (k8s.io/kubernetes pkg/apis/networking/validation).
"""

import ipaddress
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from api.v1alpha1.common import (
    MAX_LABELS,
    MAX_SUBDOMAIN_LENGTH,
    SUBDOMAIN_PATTERN,
    Flag,
    Model,
    Text,
    matching,
    text_schema,
)

MAX_CLIENTS: Final = 64
MAX_EXPRESSIONS: Final = 16
MAX_VALUES: Final = 64
MAX_CIDR_LENGTH: Final = 43  # 39 of the longest address, a slash, and three
_MAX_NAME_LENGTH: Final = 63
_MAX_KEY_LENGTH: Final = MAX_SUBDOMAIN_LENGTH + 1 + _MAX_NAME_LENGTH

_NAME: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE_PATTERN: Final = f"^({_NAME})?$"
# Without a prefix's length in other notations (netmask, leading zeros), which Python would read.
_CIDR_PATTERN: Final = r"^[0-9a-fA-F:.]+/(0|[1-9][0-9]{0,2})$"

_check_subdomain = matching(SUBDOMAIN_PATTERN, "must have a DNS name before the slash")
_check_name = matching(f"^{_NAME}$", "must be letters, digits, '-', '_' and '.'")
_check_cidr = matching(_CIDR_PATTERN, "must be a range of addresses such as 10.0.0.0/8")


def _check_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash:
        _check_subdomain(prefix)
    _check_name(name)
    if len(prefix) > MAX_SUBDOMAIN_LENGTH or len(name) > _MAX_NAME_LENGTH:
        raise ValueError("must have at most 253 characters before the slash and 63 after it")
    return key


def _check_range(text: str) -> str:
    _check_cidr(text)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        msg = f"must be a range of addresses such as 10.0.0.0/8: {error}"
        raise ValueError(msg) from error
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError("must be in IPv4's own notation")
    return text


LabelKey = Annotated[Text, Field(max_length=_MAX_KEY_LENGTH), AfterValidator(_check_key)]
LabelValue = Annotated[
    Text,
    Field(max_length=_MAX_NAME_LENGTH),
    AfterValidator(matching(_VALUE_PATTERN, "must be the value of a label")),
    text_schema(_VALUE_PATTERN, _MAX_NAME_LENGTH),
]
SelectedLabels = Annotated[
    dict[LabelKey, LabelValue],
    Field(max_length=MAX_LABELS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_LABELS,
            "additionalProperties": {"type": "string", "maxLength": _MAX_NAME_LENGTH},
        }
    ),
]
CIDR = Annotated[
    Text,
    Field(max_length=MAX_CIDR_LENGTH),
    AfterValidator(_check_range),
    text_schema(_CIDR_PATTERN, MAX_CIDR_LENGTH),
]


class LabelSelectorRequirement(Model):
    """A condition on one label."""

    key: LabelKey = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label's value and `values` have to be to each other."
    )
    values: Annotated[tuple[LabelValue, ...], Field(max_length=MAX_VALUES)] = Field(
        default=(), description="For In and NotIn; Exists and DoesNotExist take none."
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.operator in {"In", "NotIn"} and not self.values:
            msg = f"must have values for the operator {self.operator}"
            raise ValueError(msg)
        if self.operator in {"Exists", "DoesNotExist"} and self.values:
            msg = f"must have no values for the operator {self.operator}"
            raise ValueError(msg)
        return self


class LabelSelector(Model):
    """Which objects are meant, by their labels; empty: all."""

    match_labels: SelectedLabels = Field(
        default={}, description="Labels that an object must have, with these values."
    )
    match_expressions: Annotated[
        tuple[LabelSelectorRequirement, ...], Field(max_length=MAX_EXPRESSIONS)
    ] = Field(default=(), description="Further conditions, all of which must hold.")


class IPBlock(Model):
    """A range of addresses."""

    cidr: CIDR = Field(description="The range: 10.0.0.0/8.")
    excepted: Annotated[tuple[CIDR, ...], Field(max_length=MAX_VALUES)] = Field(
        default=(), alias="except", description="Ranges within it that are not meant."
    )

    @model_validator(mode="after")
    def _check_within(self) -> Self:
        whole = ipaddress.ip_network(self.cidr)
        for text in self.excepted:
            part = ipaddress.ip_network(text)
            if part == whole or not _is_within(part, whole):
                msg = f"must except ranges within {self.cidr}, and not {text}"
                raise ValueError(msg)
        return self


def _is_within(
    part: ipaddress.IPv4Network | ipaddress.IPv6Network,
    whole: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    if isinstance(part, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network):
        return part.subnet_of(whole)
    if isinstance(part, ipaddress.IPv6Network) and isinstance(whole, ipaddress.IPv6Network):
        return part.subnet_of(whole)
    return False


class NetworkPolicyPeer(Model):
    """Who may connect, as in Kubernetes' own NetworkPolicy: pods by labels, or addresses."""

    pod_selector: LabelSelector | None = Field(
        default=None,
        description="Pods with these labels: in the cluster's namespace, or in those that"
        " namespaceSelector means.",
    )
    namespace_selector: LabelSelector | None = Field(
        default=None,
        description="Pods in namespaces with these labels; {} means every namespace.",
    )
    ip_block: IPBlock | None = Field(
        default=None,
        description="A range of addresses, from outside of the Kubernetes cluster. Not together"
        " with a selector.",
    )

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        selects = self.pod_selector is not None or self.namespace_selector is not None
        if selects == (self.ip_block is not None):
            raise ValueError("must have either selectors or an ipBlock")
        return self


class NetworkPolicy(Model):
    """Who may connect to the members, where the network enforces NetworkPolicies."""

    enabled: Flag | None = Field(
        default=None,
        description="Whether the operator makes a NetworkPolicy `<cluster>-members`: the peer port"
        " is for members and the operator only. Unset: true for a cluster that was made by a"
        " version of the operator that knows this field, false for an older one.",
    )
    clients: Annotated[tuple[NetworkPolicyPeer, ...], Field(max_length=MAX_CLIENTS)] = Field(
        default=(),
        description="Who may connect to the client and the metrics port, beside the members and"
        " the operator. Empty: everybody.",
    )
