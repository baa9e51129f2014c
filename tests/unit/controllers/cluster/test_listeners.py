"""How members listen, are called and are told of, in every phase of a change of TLS."""

import itertools

import pytest

from api.tls_decision import tls_of
from api.v1alpha1.cluster import TLS
from api.v1alpha1.cluster_status import TLSChange, TLSStatus
from controllers.cluster.listeners import (
    CLIENT,
    PEER,
    Listeners,
    Phase,
    begins_with_tls,
    listeners_of,
    made_with,
)
from tests.unit.controllers.cluster.builders import NOW, bootstrap

OLD, NEW = "old", "new"
PHASES = {
    CLIENT: (Phase.CERTIFYING, Phase.OPENING, Phase.SERVING, Phase.CLOSING),
    PEER: (Phase.CERTIFYING, Phase.PREPARING, Phase.SWITCHING, Phase.SETTLING),
}
# From these phases on the record says how it is to be; before, how it has been.
TURNED = {Phase.CLOSING, Phase.SWITCHING, Phase.SETTLING}


def made(client="http", peer=""):
    return bootstrap(3).model_copy(update={"scheme": client, "peer_scheme": peer})


def changing(listener, phase, *, on, other=False):
    """The record in a phase; `other`: what is so on the listener that nothing is changed of."""
    change = TLSChange(listener=listener, enabled=on, phase=phase.value, since=NOW)
    now = on if phase in TURNED else not on
    both = {CLIENT: other, PEER: other, listener: now}
    return TLSStatus(client=both[CLIENT], peer=both[PEER], change=change)


class TestWithoutAChange:
    @pytest.mark.parametrize(
        ("client", "peer", "wanted"),
        [
            ("http", "", Listeners()),
            (
                "https",
                "",
                Listeners(
                    client=("https",),
                    peer="https",
                    peer_urls=("https",),
                    calls_by_tls=True,
                    has_certificates=True,
                ),
            ),
            ("https", "http", Listeners(client=("https",), has_certificates=True)),
            (
                "http",
                "https",
                Listeners(
                    peer="https", peer_urls=("https",), calls_by_tls=True, has_certificates=True
                ),
            ),
        ],
    )
    def test_cluster_is_as_it_was_made(self, client, peer, wanted):
        assert listeners_of(made(client, peer), None) == wanted

    def test_record_of_a_change_that_is_over_holds_instead(self):
        off = TLSStatus(client=False, peer=False)

        assert listeners_of(made("https"), off) == Listeners()
        assert tls_of(made("https"), off) == off

    @pytest.mark.parametrize(
        ("said", "wanted"),
        [
            ({"enabled": True}, {"scheme": "https", "peer_scheme": ""}),
            ({"enabled": False}, {"scheme": "http", "peer_scheme": ""}),
            (
                {"enabled": True, "peerTLSEnabled": False},
                {"scheme": "https", "peer_scheme": "http"},
            ),
            (
                {"enabled": False, "peerTLSEnabled": True},
                {"scheme": "http", "peer_scheme": "https"},
            ),
        ],
    )
    def test_what_a_new_cluster_records_is_read_back_as_it_was_meant(self, said, wanted):
        tls = TLS.model_validate(said)

        assert made_with(tls) == wanted
        read = tls_of(bootstrap(1).model_copy(update=wanted), None)
        assert (read.client, read.peer) == (tls.with_clients, tls.among_members)


class TestTheClientPort:
    @pytest.mark.parametrize("on", [True, False])
    @pytest.mark.parametrize(
        ("phase", "served"),
        [
            (Phase.CERTIFYING, (OLD,)),
            (Phase.OPENING, (OLD, NEW)),
            (Phase.SERVING, (OLD, NEW)),
            (Phase.CLOSING, (NEW,)),
        ],
    )
    def test_both_ways_are_served_while_clients_go_over(self, phase, served, on):
        names = {OLD: "http" if on else "https", NEW: "https" if on else "http"}
        found = listeners_of(made(), changing(CLIENT, phase, on=on))

        assert found.client == tuple(names[one] for one in served)
        assert (found.peer, found.peer_urls, found.calls_by_tls) == ("http", ("http",), False)

    @pytest.mark.parametrize("on", [True, False])
    def test_certificates_are_mounted_as_long_as_tls_is_served(self, on):
        mounts = {
            phase: listeners_of(made(), changing(CLIENT, phase, on=on)).mounts
            for phase in PHASES[CLIENT]
        }

        assert mounts == {
            Phase.CERTIFYING: not on,
            Phase.OPENING: True,
            Phase.SERVING: True,
            Phase.CLOSING: on,
        }


class TestThePeerPort:
    @pytest.mark.parametrize("on", [True, False])
    @pytest.mark.parametrize(
        ("phase", "listens", "named"),
        [
            (Phase.CERTIFYING, OLD, {OLD}),
            (Phase.PREPARING, OLD, {OLD, NEW}),
            (Phase.SWITCHING, NEW, {OLD, NEW}),
            (Phase.SETTLING, NEW, {NEW}),
        ],
    )
    def test_members_have_two_urls_while_they_go_over(self, phase, listens, named, on):
        names = {OLD: "http" if on else "https", NEW: "https" if on else "http"}
        found = listeners_of(made(), changing(PEER, phase, on=on))

        assert found.peer == names[listens]
        assert set(found.peer_urls) == {names[one] for one in named}
        assert found.peer_urls[0] == found.peer, "the first is how they are called now"
        assert found.client == ("http",)

    @pytest.mark.parametrize("on", [True, False])
    def test_members_can_call_by_tls_before_anybody_listens_so_and_until_nobody_does(self, on):
        for phase in PHASES[PEER]:
            found = listeners_of(made(), changing(PEER, phase, on=on))

            assert found.calls_by_tls is (phase is not Phase.CERTIFYING or not on)
            assert found.mounts is found.calls_by_tls


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("listener", [CLIENT, PEER])
def test_neighbouring_phases_have_a_way_in_common(listener, on):
    """Whoever restarts first or last: in old and new template there is a way that both know."""
    states = [listeners_of(made(), changing(listener, p, on=on)) for p in PHASES[listener]]
    ends = [{CLIENT: False, PEER: False, listener: each} for each in (not on, on)]
    before, after = (listeners_of(made(), TLSStatus(**each)) for each in ends)
    for one, other in itertools.pairwise([before, *states, after]):
        assert set(one.client) & set(other.client)
        assert other.client[0] in one.client, "the operator is served before members restart"
        assert other.peer in one.peer_urls or one.peer == other.peer
        assert one.peer in other.peer_urls or one.peer == other.peer


class TestCertificates:
    @pytest.mark.parametrize("listener", [CLIENT, PEER])
    def test_those_of_a_cluster_without_any_are_made_in_the_first_phase(self, listener):
        first = changing(listener, Phase.CERTIFYING, on=True)

        assert begins_with_tls(first)
        assert listeners_of(made(), first).has_certificates
        assert not listeners_of(made(), first).mounts

    @pytest.mark.parametrize(
        "recorded",
        [
            None,
            TLSStatus(client=False, peer=False),
            changing(PEER, Phase.PREPARING, on=True),
            changing(PEER, Phase.CERTIFYING, on=True, other=True),
            changing(CLIENT, Phase.CERTIFYING, on=False),
        ],
        ids=["never changed", "nothing changes", "later", "clients have some", "is going"],
    )
    def test_members_may_trust_what_is_there_otherwise(self, recorded):
        assert not begins_with_tls(recorded)
