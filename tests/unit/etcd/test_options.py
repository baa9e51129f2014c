"""Options as users write them, for each minor version of etcd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcd.config_file import render_config
from etcd.option_errors import (
    BadValueError,
    OwnedOptionError,
    UnknownOptionError,
)
from etcd.options import convert, merge, problems, typed_options
from etcd.options_table import flags, option, plain_name
from etcd.owned_options import OWNED, owned_because
from etcd.versions import parse_version

V3_5 = parse_version("3.5.21")
V3_6 = parse_version("3.6.16")
V3_7 = parse_version("3.7.3")
HOUR = 3_600_000_000_000


@pytest.mark.parametrize(
    ("extra", "v3_5", "v3_6", "v3_7"),
    [
        ({"max-txn-ops": "256"}, {"max-txn-ops": 256}, ..., ...),
        ({"--max-txn-ops": "256"}, {"max-txn-ops": 256}, ..., ...),
        ({"grpc-keepalive-min-time": "1h"}, {"grpc-keepalive-min-time": HOUR}, ..., ...),
        ({"cors": "https://a:1,http://b:2"}, {"cors": "https://a:1,http://b:2"}, ..., ...),
        ({"log-outputs": "stderr"}, {"log-outputs": ["stderr"]}, ..., ...),
        ({"socket-reuse-port": "true"}, {"socket-options": {"reuse-port": True}}, ..., ...),
        ({"log-outputs": "stderr,stdout"}, {"log-outputs": ["stderr", "stdout"]}, ..., ...),
        (
            {"corrupt-check-time": "1h"},
            {"experimental-corrupt-check-time": HOUR},
            {"corrupt-check-time": HOUR},
            ...,
        ),
        (
            {"snapshot-catchup-entries": "9"},
            {"experimental-snapshot-catch-up-entries": 9},
            {"snapshot-catchup-entries": 9},
            ...,
        ),
        (
            {"feature-gates": "InitialCorruptCheck=true, CompactHashCheck=false"},
            {
                "experimental-initial-corrupt-check": True,
                "experimental-compact-hash-check-enabled": False,
            },
            {"feature-gates": "CompactHashCheck=false,InitialCorruptCheck=true"},
            ...,
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_canonical_names_suit_every_version(extra, v3_5, v3_6, v3_7):
    expected_3_6 = v3_5 if v3_6 is ... else v3_6
    expected_3_7 = expected_3_6 if v3_7 is ... else v3_7

    assert [v3_5, expected_3_6, expected_3_7] == [convert(extra, v) for v in (V3_5, V3_6, V3_7)]


@pytest.mark.parametrize(
    ("version", "extra", "keys"),
    [
        (
            V3_5,
            {"experimental-corrupt-check-time": "1h"},
            {"experimental-corrupt-check-time": HOUR},
        ),
        (V3_6, {"experimental-corrupt-check-time": "1h"}, {"corrupt-check-time": HOUR}),
        (
            V3_5,
            {"experimental-initial-corrupt-check": "1"},
            {"experimental-initial-corrupt-check": True},
        ),
        (
            V3_6,
            {"experimental-initial-corrupt-check": "1"},
            {"feature-gates": "InitialCorruptCheck=true"},
        ),
        (
            V3_6,
            {"experimental-initial-corrupt-check": "1", "feature-gates": "CompactHashCheck=true"},
            {"feature-gates": "CompactHashCheck=true,InitialCorruptCheck=true"},
        ),
    ],
)
def test_experimental_names_are_taken_while_etcd_takes_them(version, extra, keys):
    assert keys == convert(extra, version)


@pytest.mark.parametrize(
    ("version", "name", "advice"),
    [
        (V3_7, "experimental-corrupt-check-time", "etcd 3.7.3 calls it corrupt-check-time"),
        (V3_7, "experimental-initial-corrupt-check", "feature gate InitialCorruptCheck instead"),
        (V3_5, "max-learners", "known to etcd 3.6, etcd 3.7"),
        (parse_version("3.5.4"), "tls-min-version", "known to etcd 3.5 from 3.5.8 on"),
        (parse_version("3.5.4"), "compaction-sleep-interval", "etcd 3.5 from 3.5.16 on"),
        (V3_6, "quota-backend-byte", "no supported version of etcd knows it"),
        (V3_6, "raft-read-timeout", "on its command line only"),
        (V3_6, "CompactHashCheck", 'write feature-gates: "CompactHashCheck=true"'),
    ],
)
def test_unknown_options_are_refused_with_a_way_out(version, name, advice):
    with pytest.raises(UnknownOptionError, match=advice) as raised:
        convert({name: "true"}, version)

    assert name == raised.value.option


@pytest.mark.parametrize("version", [V3_5, V3_6])
def test_feature_gate_of_a_later_version_is_unknown(version):
    with pytest.raises(UnknownOptionError, match=r"FastLeaseKeepAlive.* known to etcd 3\.7"):
        convert({"feature-gates": "FastLeaseKeepAlive=false"}, version)


@pytest.mark.parametrize("name", [*OWNED, "discovery", "discovery-srv", "discovery-token", "proxy"])
@pytest.mark.parametrize("version", [V3_5, V3_6, V3_7])
def test_what_the_operator_decides_is_refused_by_name(name, version):
    with pytest.raises(OwnedOptionError, match=f"^{name}: is not for users to set: "):
        convert({name: "x"}, version)


@pytest.mark.parametrize("name", sorted(OWNED))
def test_owned_options_are_options_of_etcd(name):
    assert name in flags()


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"max-txn-ops": "many"}, "max-txn-ops: 'many' is wrong: a whole number"),
        ({"log-level": "loud"}, "'loud' is none of debug, info"),
        ({"cors": "https://a.example"}, "neither \\* nor like https://host:port"),
        ({"auto-compaction-mode": "hourly"}, "none of periodic, revision"),
        ({"feature-gates": "CompactHashCheck"}, "'CompactHashCheck' is wrong: true or false"),
        ({"feature-gates": "LeaseCheckpoint=1,LeaseCheckpoint=0"}, "both on and off"),
        ({"max-wals": "1", "--max-wals": "2"}, "set twice"),
        ({"heartbeat-interval": "300"}, "1000 ms is less than five times the heartbeat"),
        ({"heartbeat-interval": "0"}, "must not be 0"),
        ({"election-timeout": "60000"}, "more than 50000"),
        ({"auto-compaction-retention": "1d"}, "'1d' is wrong: a duration"),
        ({"auto-compaction-retention": "-1h"}, "is negative"),
        (
            {"auto-compaction-mode": "revision", "auto-compaction-retention": "1h"},
            "no number of revisions",
        ),
    ],
)
def test_values_etcd_would_die_of_are_refused(extra, complaint):
    with pytest.raises(BadValueError, match=complaint):
        convert(extra, V3_6)


def test_retention_without_a_mode_gets_the_command_lines_default():
    keys = convert({"auto-compaction-retention": "8"}, V3_5)

    assert keys == {"auto-compaction-mode": "periodic", "auto-compaction-retention": "8"}


def test_all_problems_are_told_at_once():
    found = problems({"nonsense": "1", "data-dir": "/x", "max-wals": "x"}, V3_6)

    assert [problem.option for problem in found] == ["data-dir", "max-wals", "nonsense"]


def test_good_options_have_no_problems():
    assert problems({"max-wals": "5"}, V3_6) == ()


def test_typed_options_leave_out_what_is_not_set():
    assert typed_options(version=V3_6) == {}


def test_typed_options_use_etcds_units():
    keys = typed_options(
        version=V3_5,
        quota_backend_bytes=8 << 30,
        auto_compaction_mode="revision",
        auto_compaction_retention="1000",
        snapshot_count=10_000,
        heartbeat_interval_ms=200,
        election_timeout_ms=2000,
    )

    assert keys == {
        "quota-backend-bytes": 8 << 30,
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
        "snapshot-count": 10_000,
        "heartbeat-interval": 200,
        "election-timeout": 2000,
    }


def test_typed_options_are_checked_together():
    with pytest.raises(BadValueError, match="five times"):
        typed_options(version=V3_6, heartbeat_interval_ms=500, election_timeout_ms=1000)


def test_layers_nest():
    ours = {"socket-options": {"reuse-address": True}}
    extra = convert({"socket-reuse-port": "true"}, V3_6)

    merged = merge(ours, extra)

    assert merged == {"socket-options": {"reuse-address": True, "reuse-port": True}}


def test_same_key_in_two_layers_must_be_the_same():
    typed = typed_options(version=V3_6, snapshot_count=1000)

    assert typed == merge(typed, convert({"snapshot-count": "1000"}, V3_6))
    with pytest.raises(BadValueError, match="set twice"):
        merge(typed, convert({"snapshot-count": "2000"}, V3_6))


def test_gates_of_two_layers_join():
    on = convert({"feature-gates": "CompactHashCheck=true"}, V3_6)
    more = convert({"feature-gates": "LeaseCheckpoint=true"}, V3_6)

    assert merge(on, more) == {"feature-gates": "CompactHashCheck=true,LeaseCheckpoint=true"}


def test_gate_on_in_one_layer_and_off_in_another_is_refused():
    on = convert({"feature-gates": "CompactHashCheck=true"}, V3_6)
    off = convert({"experimental-compact-hash-check-enabled": "false"}, V3_6)

    with pytest.raises(BadValueError, match="both on and off"):
        merge(on, off)


def test_pairs_are_checked_across_layers():
    typed = typed_options(version=V3_6, election_timeout_ms=2000)

    with pytest.raises(BadValueError, match="five times"):
        merge(typed, {"heartbeat-interval": 500})


def test_a_newer_patch_counts_as_the_newest_known():
    newer = parse_version("3.6.99")

    assert convert({"max-learners": "2"}, V3_6) == convert({"max-learners": "2"}, newer)


SETTABLE = sorted({plain_name(flag) for flag in flags() if owned_because(flag) is None})


@given(
    names=st.lists(st.one_of(st.sampled_from(SETTABLE), st.sampled_from(flags()), st.text())),
    value=st.sampled_from(["1", "true", "5s", "a,b", "periodic", "", "x=y"]),
    version=st.sampled_from([V3_5, V3_6, V3_7, parse_version("3.5.4")]),
)
def test_what_is_accepted_is_a_key_of_that_releases_file(names, value, version):
    extra = dict.fromkeys(names, value)

    found = problems(extra, version)

    assert all(problem.message for problem in found)
    assert found or render_config(convert(extra, version), version)


@pytest.mark.parametrize("flag", flags())
def test_every_flag_of_a_version_is_converted_owned_or_explained(flag):
    known = [v for v in (V3_5, V3_6, V3_7) if option(flag, v) is not None]

    for version in known:
        found = problems({flag: "1"}, version)
        assert all(not isinstance(p, UnknownOptionError) or "only" in p.message for p in found)
