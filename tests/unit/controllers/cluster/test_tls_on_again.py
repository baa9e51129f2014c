"""TLS that is switched on again: what is left of its first time is never trusted by anybody.

While it was off nothing was kept, and the authorities may have become others.  kubelet may hand a
pod a copy of a Secret that is a little old, and of that time there is a whole one.
"""

from __future__ import annotations

import dataclasses

import pytest

from api.labels import PEER_TLS_VOLUME, SERVER_TLS_VOLUME
from api.v1alpha1.cluster_status import TLSChange, TLSStatus
from controllers.cluster.certificates.facts import Role
from controllers.cluster.certificates.parse import read_facts
from controllers.cluster.certificates.sources import SourceFacts
from controllers.cluster.observed import Certificates
from controllers.cluster.plan import plan, tls_switching
from controllers.cluster.plan.certificate_steps import IssueCertificates, RecordAuthorities
from controllers.cluster.plan.switching_steps import RecordSwitch
from controllers.cluster.render.tls import bundle_key, is_bundle_key, mounted_bundles
from tests.unit.controllers.cluster import builders
from tests.unit.controllers.cluster.builders import NOW, spec
from tests.unit.controllers.cluster.certificate_builders import RECORDED, TLS, facts, secrets


def switching_on(listener, **recorded):
    """A cluster that runs in plain text, with all its certificates, at the end of Certifying."""
    plain = builders.observed(spec_fields={"security": {"tls": {"enabled": False}}})
    wanted = spec(size=3, **TLS)
    change = TLSChange(listener=listener, enabled=True, phase="Certifying", since=NOW)
    tls = TLSStatus(**{"client": False, "peer": False, "change": change, **recorded})
    status = plain.status.model_copy(update={"tls": tls, "authorities": RECORDED})
    config = f"etcd-{plain.status.rendered.digest}.yaml"
    pods = tuple(dataclasses.replace(pod, config_file=config) for pod in plain.pods)
    return dataclasses.replace(
        plain,
        applied=wanted,
        spec=wanted,
        pods=pods,
        status=status,
        certificates=Certificates(facts=facts()),
    )


@pytest.mark.parametrize("listener", ["peer", "client"])
def test_members_read_a_bundle_that_no_older_copy_of_the_secret_has(listener):
    step = tls_switching.switch(switching_on(listener))

    assert isinstance(step, RecordSwitch)
    assert mounted_bundles(step.rendered.pod_template["spec"]) == {
        SERVER_TLS_VOLUME: bundle_key((RECORDED.client,)),
        PEER_TLS_VOLUME: bundle_key((RECORDED.peer,)),
    }


def test_members_that_have_certificates_already_are_not_restarted_for_that():
    step = tls_switching.switch(switching_on("peer", client=True))

    assert mounted_bundles(step.rendered.pod_template["spec"]) == {}


@pytest.mark.parametrize("role", [Role.SERVER, Role.PEER])
def test_each_bundle_is_in_the_secret_that_is_mounted(role):
    """Also where nothing has ever been rotated."""
    keys = {key for key in secrets()[role]["data"] if is_bundle_key(key)}
    step = tls_switching.switch(switching_on("peer"))
    volume = {Role.SERVER: SERVER_TLS_VOLUME, Role.PEER: PEER_TLS_VOLUME}[role]

    assert mounted_bundles(step.rendered.pod_template["spec"])[volume] in keys


def begins_anew(**sources):
    """The same with certificates for clients of the user's, of whom another authority is recorded
    than that of the Secret which is left of the first time.
    """
    seen = switching_on("peer")
    wanted = spec(size=3, security={"tls": {"enabled": True, "certificateSecret": "web"}})
    recorded = RECORDED.model_copy(update={"client": "2" * 64})
    read = Certificates(facts=facts(), sources={Role(role): one for role, one in sources.items()})
    status = seen.status.model_copy(update={"authorities": recorded})
    return dataclasses.replace(seen, applied=wanted, spec=wanted, status=status, certificates=read)


def test_as_long_as_nobody_trusts_any_the_record_follows_the_users_secrets():
    """What was recorded is nowhere to be had any more, and what is left would be shown."""
    third = SourceFacts(authority="3" * 64)
    seen = begins_anew(server=third, client=third)

    step = plan(seen).step

    assert isinstance(step, RecordAuthorities)
    assert (step.authorities.client, step.authorities.peer) == ("3" * 64, RECORDED.peer)


def test_nothing_is_switched_on_with_what_is_left():
    bad = SourceFacts(problem="Secret web is of no use")
    seen = begins_anew(server=bad, client=bad)

    assert not isinstance(plan(seen).step, RecordAuthorities | RecordSwitch)
    assert tls_switching.waits_for(seen).startswith("Secret web is of no use")


def test_an_authority_of_the_operators_that_was_lost_meanwhile_is_made_anew():
    found = secrets()
    del found[Role.PEER_CA]
    seen = dataclasses.replace(
        switching_on("peer"), certificates=Certificates(facts=read_facts(found))
    )

    step = plan(seen).step

    assert isinstance(step, IssueCertificates)
    assert [one.secret for one in step.certificates] == ["db-peer-ca"]


def test_once_a_member_has_certificates_the_record_stays():
    third = SourceFacts(authority="3" * 64)
    seen = begins_anew(server=third, client=third)
    change = seen.status.tls.change.model_copy(update={"phase": "Preparing"})
    tls = seen.status.tls.model_copy(update={"change": change})
    seen = dataclasses.replace(seen, status=seen.status.model_copy(update={"tls": tls}))

    assert not isinstance(plan(seen).step, RecordAuthorities)
