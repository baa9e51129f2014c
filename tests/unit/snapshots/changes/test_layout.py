"""A segment's name tells its log, its chain and its place, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapshots.changes.layout import ChainFolder, LogFolder, parse_segment_path
from snapshots.layout import parse_path
from tests.unit.snapshots.changes.chains import LOG

names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)


@given(
    cluster_id=st.integers(0, (1 << 64) - 1),
    epoch=st.integers(0, (1 << 31) - 1),
    name=names,
    first=st.integers(1, (1 << 63) - 1),
    number=st.integers(0, 10**8 - 1),
)
def test_name_of_a_segment_is_read_again(cluster_id, epoch, name, first, number):
    log = LogFolder(cluster_id=cluster_id, epoch=epoch, name=name)
    path = log.chain(first).segment(number)

    assert parse_segment_path(path) == (log.chain(first), number)
    assert path.startswith(f"{log.line}/")


def test_names_are_the_ones_that_are_written_down():
    """What is in stores already is found by every later release."""
    assert LOG.chain(0x1F).segment(7) == "c-1/changes-daily/000000000000001f/00000007"


def test_order_of_names_is_the_order_of_revisions_and_segments():
    folders = [LOG.chain(first) for first in (1, 15, 16, 255, 1 << 62)]
    paths = [folder.segment(number) for folder in folders for number in (0, 9, 10, 10**8 - 1)]

    assert paths == sorted(paths)
    assert folders == sorted(folders)


def test_no_segment_is_taken_for_a_part_of_a_backup_nor_for_its_manifest():
    assert parse_path(LOG.chain(5).segment(0)) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "c-1/changes-daily",
        "c-1/changes-daily/0000000000000005",
        "c-1/changes-daily/0000000000000005/",
        "c-1/changes-daily/0000000000000005/0000000",
        "c-1/changes-daily/0000000000000005/000000000",
        "c-1/changes-daily/0000000000000005/00000000/more",
        "/c-1/changes-daily/0000000000000005/00000000",
        "c-1/changes-daily/000000000000000A/00000000",
        "c-1/changes-daily/0000000000000000/00000000",
        "c-1/changes-daily/8000000000000000/00000000",
        "c-1/changes-Daily/0000000000000005/00000000",
        "c-1/changes-/0000000000000005/00000000",
        "c-1/daily/0000000000000005/00000000",
        "0c-1/changes-daily/0000000000000005/00000000",
        "c-01/changes-daily/0000000000000005/00000000",
        "c-1/changes-daily/0000000000000005/0000000٣",
        "c-1/changes-daily/0000000000000005/00000000\n",
        "c-1/daily-1/0123456789abcdef/00000",
        "c-1/daily-1/manifest.json",
    ],
)
def test_other_objects_are_none(path):
    assert parse_segment_path(path) is None


@given(path=st.text(alphabet="0123456789abcdef-/changes.٣\n", max_size=60) | st.text(max_size=60))
@example(path="c-9999999999/changes-daily/0000000000000005/00000000")
def test_any_name_is_one_or_none(path):
    found = parse_segment_path(path)

    assert found is None or found[0].segment(found[1]) == path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster_id": -1}, "64 bits"),
        ({"cluster_id": 1 << 64}, "64 bits"),
        ({"epoch": -1}, "its epoch 31"),
        ({"epoch": 1 << 31}, "its epoch 31"),
        ({"name": ""}, "can't be the name of a change log"),
        ({"name": "a/b"}, "can't be the name of a change log"),
        ({"name": "daily\n"}, "can't be the name of a change log"),
    ],
    ids=str,
)
def test_what_names_no_log_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        LogFolder(**{"cluster_id": 0xC, "epoch": 1, "name": "daily"} | changes)


def test_chains_of_two_logs_are_apart():
    other = LogFolder(cluster_id=0xC, epoch=2, name="daily")

    assert other.chain(5) != LOG.chain(5) == ChainFolder(log=LOG.path, first_revision=5)
    assert other.chain(5).segment(0) != LOG.chain(5).segment(0)
