"""What the pods of a restore say of a revision or a time: it is reached by changes that are whole,
or refused before anything is made.
"""

from __future__ import annotations

import base64

import pytest

from api.reasons import Reason
from cli.agent import command
from controllers.backup.order import ENCRYPTION_KEY, GIVE_UP, TRY_AGAIN
from controllers.restore.order import (
    ExamineOrder,
    Restored,
    RestoreOrder,
    read_examined,
    read_restored,
)
from snapshots.changes.segment import next_place
from snapshots.keys import read_keys
from snapshots.placing import Volume, read_fetched
from tests.unit.snapshots.backups import FILE, FOLDER
from tests.unit.snapshots.changes.chains import LOG, at, place, revised, write
from tests.unit.snapshots.stored import part_file, store_backup

KEY_TEXT = base64.b64encode(bytes(range(32))).decode()
(KEY,) = read_keys(KEY_TEXT)
# Of the backup, which was completed at noon.
BASE = 399


class Pod:
    """Its two volumes, and what it said last."""

    def __init__(self, tmp_path):
        self.backups = tmp_path / "backups"
        self.root = tmp_path / "member"
        self.message = tmp_path / "message"
        for folder in (self.backups, self.root):
            folder.mkdir()
        self.folders = command.Folders(message=self.message, volume=self.backups, root=self.root)

    def keeps(self, *counts, key=None):
        """Changes after the backup: so many revisions in each segment, one for each second."""
        where = place(BASE + 1)
        for count in counts:
            first = where.first_revision
            numbers = range(first, first + count)
            revisions = [revised(number, seconds=number - BASE) for number in numbers]
            until = at(first + count - 1 - BASE + 0.5)
            data, header, sha256 = write(where, revisions, until=until, key=key)
            file = self.segment(where.number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            where = next_place(header, sha256)

    def segment(self, number):
        return self.backups / LOG.chain(BASE + 1).segment(number)

    def fetch(self, **order):
        asked = {"token": "t", "member": "db-0", "peerURL": "http://db-0:2380", **_common(order)}
        text = RestoreOrder.model_validate(asked).model_dump_json(by_alias=True)
        code = command.fetch_for_restore(text, self.folders)
        return code, read_restored(self.message.read_text())

    def finish(self, **order):
        asked = {"token": "t", "member": "db-0", "peerURL": "http://db-0:2380", **_common(order)}
        text = RestoreOrder.model_validate(asked).model_dump_json(by_alias=True)
        code = command.finish_the_restore(text, self.folders)
        return code, read_restored(self.message.read_text())

    def examine(self, **order):
        text = ExamineOrder.model_validate(_common(order)).model_dump_json(by_alias=True)
        code = command.examine_backup(text, self.folders)
        return code, read_examined(self.message.read_text())

    def refusal(self, **order):
        """What both say, for the same reason; nothing is left but an empty folder to work in."""
        (code, said), (same_code, same) = self.fetch(**order), self.examine(**order)
        assert (code, said.reason) == (same_code, same.reason)
        assert not (self.root / "restore/snapshot.db").exists()
        assert code == GIVE_UP
        return said


def _common(order):
    place_of_backups = {"local": {"claimName": "backups", "path": ""}}
    return {"folder": FOLDER.path, "etcdVersion": "v3.6.16", **place_of_backups, **order}


@pytest.fixture
def pod(tmp_path):
    made = Pod(tmp_path)
    store_backup(made.backups)
    return made


def second(number):
    return f"2026-03-01T12:00:{number:02d}Z"


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        ({"revision": BASE}, 0),
        ({"revision": BASE + 3}, 1),
        ({"revision": BASE + 4}, 2),
        ({"pointInTime": second(2)}, 1),
        ({"pointInTime": second(5)}, 2),
    ],
)
def test_the_backup_and_the_changes_up_to_the_target_are_fetched(pod, target, segments):
    pod.keeps(3, 2, 4)

    assert pod.fetch(**target) == (0, None)

    fetched = read_fetched(Volume(pod.root))
    assert (fetched.base, fetched.held.segments) == (FOLDER.path, segments)
    assert (pod.root / "restore/snapshot.db").read_bytes() == FILE
    assert (pod.root / "restore/tls/tls.key").stat().st_size
    code, examined = pod.examine(**target)
    assert (code, examined.base) == (0, FOLDER.path)


def test_another_backup_of_the_history_may_be_named_or_none_that_is_left(pod):
    """What counts is the history that it is of."""
    pod.keeps(3)

    assert pod.fetch(folder="c-1/long-gone", revision=BASE + 2) == (0, None)
    assert read_fetched(Volume(pod.root)).base == FOLDER.path
    other_history = pod.refusal(folder="c-2/daily-1", revision=BASE + 2)
    assert "there is no backup to go on from" in other_history.message


def test_changes_take_space_that_is_told_before(pod):
    pod.keeps(3, 2)
    _, alone = pod.examine()

    _, examined = pod.examine(revision=BASE + 5)
    assert examined.needed_size > alone.needed_size

    code, refused = pod.examine(revision=BASE + 5, volumeSize=examined.needed_size - 1)
    assert (code, refused.reason) == (GIVE_UP, Reason.VOLUME_TOO_SMALL)
    assert "for the changes after it" in refused.message
    assert pod.examine(revision=BASE + 5, volumeSize=examined.needed_size)[0] == 0


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"revision": BASE - 1}, f"begins with revision {BASE}"),
        ({"revision": BASE + 6}, f"ends with revision {BASE + 5}"),
        ({"pointInTime": "2026-03-01T11:59:59Z"}, f"begins with {second(0)}"),
        ({"pointInTime": second(6)}, f"ends with {second(5)}"),
    ],
)
def test_what_can_not_be_reached_is_refused_with_what_can(pod, target, words):
    pod.keeps(3, 2)

    said = pod.refusal(**target)

    assert said.reason is Reason.TARGET_NOT_RESTORABLE
    assert words in said.message


def test_without_changes_only_the_backup_itself_can_be_asked_for(pod):
    assert pod.refusal(pointInTime=second(1)).reason is Reason.TARGET_NOT_RESTORABLE
    assert pod.fetch(revision=BASE) == (0, None)


def _missing(pod):
    pod.segment(2).unlink()


def _corrupted(pod):
    data = bytearray(pod.segment(2).read_bytes())
    data[-1] ^= 1
    pod.segment(2).write_bytes(data)


def _misplaced(pod):
    pod.segment(2).write_bytes(pod.segment(1).read_bytes())


def _of_another_chain(pod):
    """It begins where the one before it ends, and goes on from something else."""
    header = place(BASE + 1, number=2, first_revision=BASE + 6, previous="f" * 64)
    data, *_ = write(header, [revised(BASE + 6), revised(BASE + 7)], until=at(7.5))
    pod.segment(2).write_bytes(data)


@pytest.mark.parametrize("damage", [_missing, _corrupted, _misplaced, _of_another_chain])
@pytest.mark.parametrize("skip", [False, True])
def test_a_chain_that_is_not_whole_is_refused_whatever_may_be_skipped(pod, damage, skip):
    pod.keeps(3, 2, 2, 1)
    damage(pod)

    said = pod.refusal(revision=BASE + 7, skipHashCheck=skip)

    assert said.reason is Reason.CHANGES_DAMAGED
    assert pod.segment(2).name in said.message
    # What comes before the damage is not touched by it.
    assert pod.fetch(revision=BASE + 5) == (0, None)


def test_a_damaged_backup_is_refused_though_its_changes_are_whole(pod):
    pod.keeps(3)
    data = bytearray(part_file(pod.backups, 0).read_bytes())
    data[100] ^= 1
    part_file(pod.backups, 0).write_bytes(data)

    assert pod.refusal(revision=BASE + 1).reason is Reason.BACKUP_DAMAGED


@pytest.mark.parametrize("given", [None, base64.b64encode(bytes(32)).decode()])
def test_encrypted_changes_need_their_key(tmp_path, monkeypatch, given):
    pod = Pod(tmp_path)
    store_backup(pod.backups, key=KEY)
    pod.keeps(3, key=KEY)
    if given is not None:
        monkeypatch.setenv(ENCRYPTION_KEY, given)

    said = pod.refusal(revision=BASE + 1, encrypted=given is not None)
    assert said.reason is Reason.ENCRYPTION_KEY_MISSING

    monkeypatch.setenv(ENCRYPTION_KEY, KEY_TEXT)
    assert pod.fetch(revision=BASE + 1, encrypted=True) == (0, None)


def test_what_is_held_is_given_to_no_other_order(pod):
    pod.keeps(3)
    pod.fetch(revision=BASE + 1)

    code, said = pod.finish(revision=BASE + 1, token="another")

    assert (code, said.reason) == (GIVE_UP, Reason.TARGET_NOT_EMPTY)


def test_changes_that_were_not_fetched_are_not_left_out(pod):
    pod.keeps(3)
    pod.fetch()

    code, said = pod.finish(revision=BASE + 1)

    assert (code, said.reason) == (GIVE_UP, Reason.RESTORE_FAILED)
    assert not (pod.root / "data").exists()


def test_an_etcd_that_never_comes_is_waited_for_once_more(pod, monkeypatch):
    monkeypatch.setattr("cli.agent.target.START_S", 0.3)
    pod.keeps(3)
    pod.fetch(revision=BASE + 1)

    code, said = pod.finish(revision=BASE + 1)

    assert (code, said.reason) == (TRY_AGAIN, Reason.RESTORE_FAILED)
    assert not (pod.root / "data").exists()


def test_data_of_another_target_are_not_taken_for_done(pod):
    """The same backup and the same token, and yet not what is asked for."""
    (pod.root / "data/member").mkdir(parents=True)
    (pod.root / "data/member/db").write_bytes(b"the only copy")
    answer = Restored(
        folder=FOLDER.path,
        token="t",
        target="revision 400",
        source_cluster_id="c",
        source_epoch=1,
        source_namespace="ns",
        source_name="db",
        etcd_version="3.6.16",
        started_at=at(0),
        completed_at=at(0),
        revision=BASE,
        compact_revision=0,
        database_size=1,
        backup_size=1,
        restored_revision=400,
        restored_compact_revision=0,
        restored_size=1,
        auth_enabled=False,
    )
    (pod.root / "restored.json").write_text(answer.model_dump_json(by_alias=True))

    assert pod.fetch(revision=400)[1].token == "t"
    for other in ({}, {"revision": 401}, {"pointInTime": second(1)}):
        code, said = pod.fetch(**other)
        assert (code, said.reason) == (GIVE_UP, Reason.TARGET_NOT_EMPTY)
    assert (pod.root / "data/member/db").read_bytes() == b"the only copy"
