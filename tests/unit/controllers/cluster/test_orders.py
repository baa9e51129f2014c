"""What is passed on of a Certificate that is not issued; as cert-manager 1.21 writes it."""

from __future__ import annotations

import pytest

from controllers.cluster.certificates.holder import Holder
from controllers.cluster.certificates.orders import read_order
from tests.unit.controllers.cluster.builders import spec
from tests.unit.controllers.cluster.certificate_builders import IDENTITY

TLS = spec(security={"tls": {"enabled": True, "issuerRef": {"name": "corporate"}}}).security.tls
WHO = Holder.of(IDENTITY, TLS)

READY = {
    "type": "Ready",
    "status": "False",
    "reason": "DoesNotExist",
    "message": "Issuing certificate as Secret does not exist",
}
ISSUING = READY | {"type": "Issuing", "status": "True"}
FAILED = {
    "type": "Issuing",
    "status": "False",
    "reason": "Failed",
    "message": "The certificate request has failed to complete and will be retried: not allowed",
}
FAILED_AT = {"lastFailureTime": "2026-01-01T00:00:00Z"}


def message(**status):
    live = {"metadata": {"name": "db-server-issued", "uid": "u"}, "spec": {}, "status": status}
    return read_order(WHO, WHO.sources[0], live).message


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, ""),
        ({"conditions": [READY, ISSUING]}, READY["message"]),
        ({"conditions": [READY, FAILED], **FAILED_AT}, FAILED["message"]),
        # It is tried again, an hour later.
        ({"conditions": [READY, ISSUING], **FAILED_AT}, READY["message"]),
        ({"conditions": [READY], **FAILED_AT}, READY["message"]),
    ],
    ids=["nothing yet", "under way", "refused", "tried again", "refused, and no word of it"],
)
def test_why_it_is_not_there_is_said_in_the_words_that_tell_most(status, said):
    assert message(**status) == said
