"""What every volume claim of a cluster says of the cluster that its data belongs to.

Pure.  An annotation on the claims, written whenever the membership has changed: it outlives the
EtcdCluster, whose status goes with it, so that a later one can adopt the volumes.  Used by the
planner, which compares it with status, and reads it when volumes are to be adopted.
"""

import json
from dataclasses import dataclass
from typing import Self

from api.tls_decision import tls_of
from api.version import normal_version
from controllers.cluster.listeners import scheme
from controllers.cluster.membership import voters_of
from controllers.cluster.observed import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecord:
    """Which cluster it is, who votes in it, and what makes up the members' peer URLs."""

    cluster_id: str  # in hexadecimal
    voters: tuple[int, ...]  # ordinals, without gaps from 0 on
    namespace: str
    cluster_domain: str
    scheme: str  # http, or https where members speak TLS among themselves
    version: str  # of etcd, that wrote the data: v3.5.21

    @property
    def text(self) -> str:
        """The annotation: compact JSON, always in the same order."""
        fields = {
            "clusterID": self.cluster_id,
            "voters": self.voters,
            "namespace": self.namespace,
            "clusterDomain": self.cluster_domain,
            "scheme": self.scheme,
            "version": self.version,
        }
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an annotation; None when it is absent or none that an operator wrote.

        Fields that a newer operator adds are passed over.
        """
        try:
            found = json.loads(text)
            record = cls(
                cluster_id=_text(found["clusterID"]),
                voters=tuple(found["voters"]),
                namespace=_text(found["namespace"]),
                cluster_domain=_text(found["clusterDomain"]),
                scheme=_text(found["scheme"]),
                version=normal_version(_text(found["version"])),
            )
        except (ValueError, TypeError, KeyError):
            return None
        has_gaps = record.voters != tuple(range(len(record.voters)))
        return None if has_gaps or not record.voters else record


def record_of(observed: Observed) -> ClaimRecord | None:
    """What the claims of a formed cluster have to say; None before it has formed."""
    status, applied = observed.status, observed.applied
    if not status.cluster_id or status.bootstrap is None or applied is None:
        return None
    return ClaimRecord(
        cluster_id=status.cluster_id,
        voters=voters_of(status),
        namespace=observed.namespace,
        cluster_domain=status.bootstrap.cluster_domain,
        scheme=scheme(tls=tls_of(status.bootstrap, status.tls).peer),
        version=applied.version,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value
