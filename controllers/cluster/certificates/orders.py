"""The Certificates by which certificates are ordered from cert-manager.

Pure.  They ask for the names and uses that the operator's own certificates have; what comes of them
is examined like any Secret of the user's.
"""

from collections.abc import Mapping
from typing import Any, Final

from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.sources import OrderFacts, Source
from controllers.cluster.certificates.subjects import Subject, subject_of
from controllers.cluster.render.meta import metadata
from controllers.cluster.render.normal import holds, stamped

_LONGEST_MESSAGE: Final = 300


def order_of(who: Holder, source: Source) -> dict[str, Any]:
    """The Certificate for a source, as it is sent."""
    assert who.issuer is not None
    subject = subject_of(who, source.role)
    spec: dict[str, Any] = {
        "secretName": source.secret,
        "issuerRef": {
            "name": who.issuer.name,
            "kind": who.issuer.kind,
            "group": who.issuer.group,
        },
        "usages": ["digital signature", *_usages(subject)],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
    }
    if source.role is Role.CLIENT:
        spec["commonName"] = subject.common_name
    else:  # issuers of the web's kind refuse a common name that is no DNS name
        spec |= {"dnsNames": list(subject.names), "ipAddresses": list(subject.addresses)}
    if who.issued_life is not None:
        spec["duration"] = f"{who.issued_life.total_seconds():.0f}s"
    return stamped(
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": metadata(who, source.secret),
            "spec": spec,
        }
    )


def read_order(who: Holder, source: Source, live: Mapping[str, Any]) -> OrderFacts:
    """What there is of a Certificate that the server has."""
    meta = live["metadata"]
    owners = meta.get("ownerReferences") or ()
    return OrderFacts(
        uid=meta["uid"],
        controller=next((owner["uid"] for owner in owners if owner.get("controller")), ""),
        current=holds(order_of(who, source), live),
        message=_said(live.get("status") or {})[:_LONGEST_MESSAGE],
    )


def _said(status: Mapping[str, Any]) -> str:
    """Why it is not issued.  Of a request that was refused only Issuing tells: Ready says no more
    than that there is no Secret.
    """
    conditions = {one.get("type"): one for one in status.get("conditions") or ()}
    issuing = conditions.get("Issuing", {})
    has_failed = "lastFailureTime" in status and issuing.get("status") == "False"
    return str((issuing if has_failed else conditions.get("Ready", {})).get("message", ""))


def _usages(subject: Subject) -> list[str]:
    return (["server auth"] if subject.serves else []) + (["client auth"] if subject.calls else [])
