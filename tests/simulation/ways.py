"""How an etcd process listens, and how it can call others: what its file says of http and https."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ways:
    """`serves`: schemes of the client port; `listens`: the one of the peer port; `by_tls`: whether
    it has what it takes to call others by https.
    """

    serves: frozenset[str]
    listens: str
    by_tls: bool

    def calls(self, other: "Ways", named: frozenset[str]) -> bool:
        """Whether it reaches a member that is listed under URLs that begin so."""
        return other.listens in named and (other.listens == "http" or self.by_tls)


PLAIN_NAMES = frozenset({"http"})
PLAIN = Ways(PLAIN_NAMES, "http", by_tls=False)


def ways_of(content: Mapping[str, Any]) -> Ways:
    """As a configuration file says."""
    return Ways(
        serves=frozenset(map(scheme_of, content["listen-client-urls"].split(","))),
        listens=scheme_of(content["listen-peer-urls"]),
        by_tls="peer-transport-security" in content,
    )


def scheme_of(url: str) -> str:
    return url.partition("://")[0]
