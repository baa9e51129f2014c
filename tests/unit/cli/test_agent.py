"""What a backup's pod says at its end, and what it does afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from cli.agent import command
from cli.agent.snapshot import clean_up
from controllers.backup.order import Order, read_answer
from tests.unit.controllers.backup.builders import SAVED

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = Order.model_validate(
    {
        "namespace": "prod",
        "cluster": "db",
        "clusterUid": "u",
        "clusterID": "abc",
        "epoch": 1,
        "backup": "once-0123abcd",
        "members": [],
        "tls": False,
        "compression": False,
        "local": {"claimName": "backups", "path": "etcd"},
    }
)


@pytest.fixture
def lost(tmp_path):
    """What a dead attempt left, two days ago."""
    part = tmp_path / "etcd" / "abc-1" / "lost" / "0123456789abcdef" / "00000"
    part.parent.mkdir(parents=True)
    part.touch()
    old = (NOW - timedelta(days=2)).timestamp()
    os.utime(part, (old, old))
    return part


def test_the_answer_is_given_whatever_becomes_of_the_cleaning_up(monkeypatch, tmp_path):
    message = tmp_path / "message"
    told = []

    async def take(*_args, **_options):
        return SAVED

    async def clean_up_for_ever(*_args, **_options):
        told.append(read_answer(message.read_text()))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(command, "take", take)
    monkeypatch.setattr(command, "clean_up", clean_up_for_ever)
    text = ORDER.model_dump_json(by_alias=True)

    folders = command.Folders(message=message, volume=tmp_path, root=tmp_path)
    assert command.take_snapshot(text, folders) == 0
    assert told == [SAVED]
    assert read_answer(message.read_text()) == SAVED


async def test_what_dead_attempts_left_is_cleaned_up(tmp_path, lost):
    await clean_up(ORDER, {}, now=NOW, volume=tmp_path)

    assert not lost.exists()


async def test_a_store_that_can_not_be_cleaned_up_is_no_failure(tmp_path):
    (tmp_path / "etcd").write_text("a file where the folder should be")

    await clean_up(ORDER, {}, now=NOW, volume=tmp_path)
