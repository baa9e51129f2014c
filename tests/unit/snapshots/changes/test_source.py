"""Which versions of etcd can be trusted with their watches."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from snapshots.changes.source import check_cluster, check_source, distrust
from snapshots.errors import WrongSourceError
from tests.unit.snapshots.changes.scripted import ScriptedEtcd


@pytest.mark.parametrize("version", ["3.4.0", "3.4.37", "3.5.0", "3.5.7"])
def test_watch_that_tells_progress_it_has_not_made_is_refused(version):
    with pytest.raises(WrongSourceError, match=rf"{version} is not complete: upgrade it to 3\.5\."):
        distrust(version)


@pytest.mark.parametrize(
    ("version", "better"),
    [("3.5.8", "3.5.22"), ("3.5.21", "3.5.22"), ("3.6.0", "3.6.2"), ("3.6.1", "3.6.2")],
)
def test_watch_that_may_miss_a_change_is_warned_of(version, better):
    assert distrust(version) == (
        f"a watch of etcd {version} may miss a change: upgrade it to {better}"
    )


@pytest.mark.parametrize("version", ["3.5.22", "3.5.35", "3.6.2", "3.6.16", "3.7.0", "3.7.3"])
def test_other_versions_are_trusted(version):
    assert distrust(version) is None


@pytest.mark.parametrize("version", ["", "main", "3"])
def test_version_that_is_none_is_warned_of(version):
    assert distrust(version) == f"nothing is known of the watches of etcd {version}"


def test_two_clusters_are_told_apart():
    check_cluster(0xC, 0xC)
    with pytest.raises(WrongSourceError, match="is of cluster d, and the log of cluster c"):
        check_cluster(0xD, 0xC)


async def test_warning_is_logged_and_ends_nothing():
    with capture_logs() as logs:
        await check_source(ScriptedEtcd(version="3.5.21"), 0xC)

    (logged,) = logs
    assert logged["log_level"] == "warning"
    assert "upgrade it to 3.5.22" in logged["reason"]


async def test_of_a_trusted_version_nothing_is_logged():
    with capture_logs() as logs:
        await check_source(ScriptedEtcd(), 0xC)

    assert logs == []
