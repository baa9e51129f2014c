"""What may be said of TLS on a cluster that exists, and what is meant where it is left out."""

import pytest

from api.tls_decision import with_tls_decided
from api.v1alpha1.cluster import ClusterSpec
from api.v1alpha1.cluster_status import BootstrapStatus, ClusterStatus
from api.validation import validate_cluster
from tests.unit.api.manifests import cluster
from webhooks.warnings import spec_warnings

PATH = "spec.security.tls"


def accepted(**tls):
    """The status of a cluster whose last accepted spec said so of TLS."""
    spec = ClusterSpec.model_validate({"security": {"tls": tls}})
    return ClusterStatus(applied_spec=spec.to_json())


def made(scheme, status=None):
    bootstrap = BootstrapStatus(token="t", epoch=1, size=1, scheme=scheme)
    return (status or ClusterStatus()).model_copy(update={"bootstrap": bootstrap})


def decided(status, **tls):
    spec = with_tls_decided(ClusterSpec.model_validate({"security": {"tls": tls}}), status)
    return spec.security.tls.with_clients, spec.security.tls.among_members


def errors(status, **tls):
    found = validate_cluster(cluster({"security": {"tls": tls}}, status=status.to_json()))
    return [str(error) for error in found]


class TestLeftOut:
    @pytest.mark.parametrize(
        ("status", "wanted"),
        [
            (ClusterStatus(), (True, True)),
            (made("http"), (False, False)),
            (made("https"), (True, True)),
            (made("http", accepted(enabled=True)), (True, True)),
            (made("https", accepted(enabled=False)), (False, False)),
            (accepted(enabled=True, peerTLSEnabled=False), (True, False)),
            (accepted(enabled=False, clientTLSEnabled=True), (True, False)),
        ],
        ids=[
            "a new one",
            "made in plain text",
            "made with TLS",
            "switched on since",
            "switched off since",
            "clients alone",
            "clients alone, said otherwise",
        ],
    )
    def test_cluster_keeps_what_it_has_and_a_new_one_speaks_tls(self, status, wanted):
        assert decided(status) == wanted

    def test_one_half_can_be_said_alone(self):
        assert decided(accepted(enabled=False), peerTLSEnabled=True) == (False, True)
        assert decided(accepted(enabled=True), clientTLSEnabled=False) == (False, True)

    @pytest.mark.parametrize(
        "named",
        [
            {"certificateSecret": "web"},
            {"issuerRef": {"name": "corporate"}},
            {"peerCertificateSecret": "members"},
        ],
    )
    def test_certificates_that_would_quietly_be_of_no_use_are_refused(self, named):
        (said,) = errors(made("http"), **named)

        assert said == (
            f"{PATH}.enabled is left out, certificates are named, and the cluster speaks plain"
            " text. Set it to true to switch TLS on, or to false to leave it off."
        )
        assert errors(made("http"), enabled=False, **named) == []
        assert errors(made("https"), **named) == []

    def test_one_half_is_use_enough(self):
        assert errors(made("http"), certificateSecret="web", clientTLSEnabled=True) == []


class TestSaid:
    @pytest.mark.parametrize("tls", [{"enabled": True}, {"enabled": False, "peerTLSEnabled": True}])
    def test_what_does_not_go_together_is_refused_where_tls_is_spoken(self, tls):
        assert errors(ClusterStatus(), **tls, caSecret="a") != []

    def test_without_any_tls_it_can_be_prepared(self):
        """It is looked at when TLS is switched on."""
        assert errors(ClusterStatus(), enabled=False, autoTLS=False, caSecret="a") == []

    @pytest.mark.parametrize(
        ("tls", "field"),
        [({"enabled": False}, "enabled"), ({"clientTLSEnabled": False}, "clientTLSEnabled")],
    )
    def test_users_need_it_with_clients(self, tls, field):
        security = {"tls": {"enabled": True, **tls}, "auth": {"enabled": True}}
        (found,) = validate_cluster(cluster({"security": security}))

        assert str(found) == (
            "spec.security.auth.enabled needs TLS with clients, because the operator is known to"
            f" etcd by its certificate. Set {PATH}.{field} to true, or this to false."
        )


class TestWarnings:
    @pytest.mark.parametrize(
        ("tls", "warning"),
        [
            ({}, ""),
            ({"enabled": True}, ""),
            ({"enabled": False}, "enabled is false: clients and members speak plain text"),
            ({"enabled": True, "clientTLSEnabled": False}, "clientTLSEnabled is false: clients"),
            ({"enabled": True, "peerTLSEnabled": False}, "peerTLSEnabled is false: members speak"),
            ({"enabled": False, "peerTLSEnabled": True}, "clientTLSEnabled is false: clients"),
        ],
    )
    def test_plain_text_is_warned_of_by_the_half_that_speaks_it(self, tls, warning):
        spec = ClusterSpec.model_validate({"security": {"tls": tls}})
        told = [one for one in spec_warnings(spec, "spec") if "plain text" in one]

        assert len(told) == (1 if warning else 0)
        assert all(one.startswith(f"{PATH}.{warning}") for one in told)
