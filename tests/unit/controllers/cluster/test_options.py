"""A spec's options against etcd's own list: what is refused, by which name."""

import pytest

from controllers.cluster.options import file_keys, option_errors
from tests.unit.controllers.cluster.builders import spec


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"extra": {"no-such-option": "1"}}, "spec.options.extra[no-such-option]"),
        ({"extra": {"data-dir": "/tmp"}}, "spec.options.extra[data-dir]"),
        ({"extra": {"max-txn-ops": "many"}}, "spec.options.extra[max-txn-ops]"),
        (
            {"snapshotCount": 5, "extra": {"snapshot-count": "6"}},
            "spec.options (snapshot-count)",
        ),
    ],
    ids=["unknown", "ours", "no number", "given twice"],
)
def test_option_is_refused_under_its_field(options, field):
    (error,) = option_errors(spec(options=options))

    assert error.field == field


def test_candidate_of_a_release_is_refused():
    (error,) = option_errors(spec(version="3.6.0-rc.1"))

    assert error.field == "spec.version"


def test_fields_and_extra_become_keys_of_the_file():
    wanted = spec(
        options={
            "quotaBackendBytes": "1Gi",
            "autoCompaction": {"mode": "revision", "retention": 1000},
            "heartbeatInterval": 200,
            "electionTimeout": 2000,
            "extra": {"--max-txn-ops": "256"},
        }
    )

    assert option_errors(wanted) == ()
    assert file_keys(wanted) == {
        "quota-backend-bytes": 2**30,
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": "1000",
        "heartbeat-interval": 200,
        "election-timeout": 2000,
        "max-txn-ops": 256,
    }
