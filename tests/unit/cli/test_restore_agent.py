"""What the pods of a restore say of backups that are as they should be, and of all others."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api.reasons import Reason
from cli.agent import command
from controllers.backup.order import ENCRYPTION_KEY, GIVE_UP, TRY_AGAIN, USAGE
from controllers.restore.order import (
    ExamineOrder,
    RestoreOrder,
    etcdutl_arguments,
    read_examined,
    read_restored,
    short_notes,
)
from snapshots import encoding
from snapshots.keys import read_keys
from tests.unit.snapshots.backups import FILE, FOLDER
from tests.unit.snapshots.bolt_file import database
from tests.unit.snapshots.stored import part_file, store_backup

KEY_TEXT = base64.b64encode(bytes(range(32))).decode()
OTHER_KEY_TEXT = base64.b64encode(bytes(range(1, 33))).decode()
(KEY,) = read_keys(KEY_TEXT)


class Pod:
    """Its two volumes, and what it said last."""

    def __init__(self, tmp_path):
        self.backups = tmp_path / "backups"
        self.backups.mkdir()
        self.root = tmp_path / "member"
        self.root.mkdir()
        self.message = tmp_path / "message"
        self.folders = command.Folders(message=self.message, volume=self.backups, root=self.root)

    def fetch(self, **order):
        asked = {"token": "t", "member": "db-0", "peerURL": "http://db-0:2380", **_common(order)}
        text = RestoreOrder.model_validate(asked).model_dump_json(by_alias=True)
        code = command.fetch_for_restore(text, self.folders)
        return code, read_restored(self.message.read_text())

    def examine(self, **order):
        text = ExamineOrder.model_validate(_common(order)).model_dump_json(by_alias=True)
        code = command.examine_backup(text, self.folders)
        return code, read_examined(self.message.read_text())

    def both(self, **order):
        """What one says; the other one says it for the same reason."""
        (code, said), (same_code, same) = self.fetch(**order), self.examine(**order)
        assert (code, said.reason) == (same_code, same.reason)
        assert not (self.root / "restore/snapshot.db").exists()
        return code, said


def _common(order):
    place = {"local": {"claimName": "backups", "path": ""}}
    return {"folder": FOLDER.path, "etcdVersion": "v3.6.16", **place, **order}


@pytest.fixture
def pod(tmp_path, monkeypatch):
    # So that a small database has several.
    monkeypatch.setattr(encoding, "PART_BYTES", 64 * 1024)
    return Pod(tmp_path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_whole_backup_is_fetched_and_described(pod, monkeypatch, compress, key):
    manifest = store_backup(pod.backups, compress=compress, key=key)
    # The next key comes first, and the ones before it still open what they closed.
    monkeypatch.setenv(ENCRYPTION_KEY, f"{OTHER_KEY_TEXT}\n{KEY_TEXT}\n")

    code, examined = pod.examine(encrypted=key is not None)
    assert code == 0
    assert (examined.revision, examined.source_name) == (manifest.content.revision, "main")
    assert examined.key_id == (key.id if key is not None else "")
    assert examined.needed_size > 2 * manifest.database.size
    assert not any(pod.root.iterdir())

    assert pod.fetch(encrypted=key is not None) == (0, None)
    assert (pod.root / "restore/snapshot.db").read_bytes() == FILE


def test_what_a_dead_attempt_left_is_gone(pod):
    store_backup(pod.backups)
    junk = pod.root / "restore/data/member/wal"
    junk.mkdir(parents=True)
    (pod.root / "restored.json").write_text("{}")

    assert pod.fetch() == (0, None)
    assert not junk.exists()
    assert not (pod.root / "restored.json").exists()


def _missing(root):
    part_file(root, 1).unlink()


def _truncated(root):
    part_file(root, 1).write_bytes(part_file(root, 1).read_bytes()[:-1])


def _longer(root):
    part_file(root, 1).write_bytes(part_file(root, 1).read_bytes() + b"x")


def _corrupted(root):
    data = bytearray(part_file(root, 1).read_bytes())
    data[100] ^= 1
    part_file(root, 1).write_bytes(bytes(data))


def _reordered(root):
    first, second = part_file(root, 0).read_bytes(), part_file(root, 1).read_bytes()
    part_file(root, 0).write_bytes(second)
    part_file(root, 1).write_bytes(first)


def _garbage(root):
    (root / FOLDER.manifest).write_bytes(b"\x00garbage")


def _later_format(root):
    text = (root / FOLDER.manifest).read_text()
    (root / FOLDER.manifest).write_text(text.replace('"formatVersion": 1', '"formatVersion": 2'))


def _other_cluster(root):
    text = (root / FOLDER.manifest).read_text()
    (root / FOLDER.manifest).write_text(text.replace('"id": "c"', '"id": "d"'))


def _no_manifest(root):
    (root / FOLDER.manifest).unlink()


@pytest.mark.parametrize(
    ("damage", "reason", "words"),
    [
        (_missing, Reason.BACKUP_INCOMPLETE, "00001 is missing"),
        (_truncated, Reason.BACKUP_DAMAGED, "bytes"),
        (_longer, Reason.BACKUP_DAMAGED, "longer"),
        (_corrupted, Reason.BACKUP_DAMAGED, "sha256"),
        (_reordered, Reason.BACKUP_DAMAGED, "holds part"),
        (_garbage, Reason.BACKUP_UNREADABLE, "not valid"),
        (_later_format, Reason.BACKUP_UNREADABLE, "format 2"),
        (_other_cluster, Reason.BACKUP_UNREADABLE, "another cluster"),
        (_no_manifest, Reason.BACKUP_NOT_FOUND, "pvc://backups/c-1/daily-1/manifest.json"),
    ],
)
def test_damage_has_a_reason(pod, damage, reason, words):
    store_backup(pod.backups)
    damage(pod.backups)

    code, answer = pod.both()

    assert (code, answer.reason) == (GIVE_UP, reason)
    assert words in answer.message


@pytest.mark.parametrize("damage", [_missing, _truncated, _longer, _reordered, _garbage])
def test_only_a_wrong_hash_is_ever_overlooked(pod, damage):
    store_backup(pod.backups)
    damage(pod.backups)

    assert pod.both(skipHashCheck=True)[0] == GIVE_UP


def test_wrong_hash_is_overlooked_and_told(pod):
    store_backup(pod.backups)
    _corrupted(pod.backups)

    code, answer = pod.examine(skipHashCheck=True)

    assert code == 0
    assert "part 1" in answer.notes[0]
    assert "sha256" in answer.notes[1]


def test_encryption_stands_whatever_is_overlooked(pod, monkeypatch):
    store_backup(pod.backups, key=KEY)
    _corrupted(pod.backups)
    monkeypatch.setenv(ENCRYPTION_KEY, KEY_TEXT)

    code, answer = pod.both(skipHashCheck=True, encrypted=True)

    assert (code, answer.reason) == (GIVE_UP, Reason.BACKUP_DAMAGED)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, Reason.ENCRYPTION_KEY_MISSING),
        (OTHER_KEY_TEXT, Reason.ENCRYPTION_KEY_MISSING),
        ("", Reason.ENCRYPTION_KEY_REFUSED),
        ("c2hvcnQ=", Reason.ENCRYPTION_KEY_REFUSED),
        (f"{KEY_TEXT}\nhunter2", Reason.ENCRYPTION_KEY_REFUSED),
    ],
)
def test_key_that_does_not_open_it(pod, monkeypatch, given, reason):
    store_backup(pod.backups, key=KEY)
    if given is not None:
        monkeypatch.setenv(ENCRYPTION_KEY, given)

    code, answer = pod.both(encrypted=True)

    assert (code, answer.reason) == (GIVE_UP, reason)
    assert "hunter2" not in answer.message
    assert KEY_TEXT not in answer.message


def test_encrypted_backup_without_a_key_names_the_one_it_needs(pod):
    store_backup(pod.backups, key=KEY)

    code, answer = pod.both()

    assert (code, answer.reason) == (GIVE_UP, Reason.ENCRYPTION_KEY_MISSING)
    assert KEY.id in answer.message


@pytest.mark.parametrize(
    ("backup", "storage", "target", "refused"),
    [
        ("3.5.21", "", "v3.5.9", False),
        ("3.5.21", "", "v3.7.3", False),
        ("3.6.0-rc.1", "", "v3.6.0", False),
        ("3.6.1", "", "v3.5.35", True),
        ("3.7.3", "3.7.0", "v3.6.16", True),
        # Taken in the middle of a downgrade, which has brought the data along, not yet the process.
        ("3.7.3", "3.6.0", "v3.6.16", True),
        ("3.6.16", "3.7.0", "v3.6.16", True),
    ],
)
def test_data_go_forward_only(pod, backup, storage, target, refused):
    data = database([2, 3], storage_version=storage)
    store_backup(pod.backups, database=data, etcd_version=backup)

    code, answer = pod.examine(etcdVersion=target)

    assert code == (GIVE_UP if refused else 0)
    if refused:
        assert answer.reason is Reason.BACKUP_TOO_NEW


def test_volume_must_hold_it(pod):
    store_backup(pod.backups)
    _, fits = pod.examine(volumeSize=1 << 30)

    code, answer = pod.examine(volumeSize=fits.needed_size - 1)

    assert (code, answer.reason) == (GIVE_UP, Reason.VOLUME_TOO_SMALL)
    assert pod.examine(volumeSize=fits.needed_size)[0] == 0


def test_data_that_are_there_are_left_alone(pod):
    store_backup(pod.backups)
    file = pod.root / "data/member/snap/db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"the only copy")
    for marker in (None, b"\xff", b"{}"):
        if marker is not None:
            (pod.root / "restored.json").write_bytes(marker)

        code, answer = pod.fetch()

        assert (code, answer.reason) == (GIVE_UP, Reason.TARGET_NOT_EMPTY)
        assert file.read_bytes() == b"the only copy"


def test_disk_that_can_not_be_written_is_tried_again(pod):
    store_backup(pod.backups)
    (pod.root / "restore").write_text("a file")

    code, answer = pod.fetch()

    assert (code, answer.reason) == (TRY_AGAIN, Reason.RESTORE_FAILED)


def test_store_that_is_not_there(pod):
    pod.backups.rmdir()
    pod.backups.write_text("no folder")

    code, answer = pod.both()

    assert (code, answer.reason) == (GIVE_UP, Reason.STORE_FORBIDDEN)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr))
def test_any_text_is_no_answer_or_one(text):
    for read in (read_restored, read_examined):
        assert read(text) is None


@given(
    st.text()
    | st.dictionaries(
        st.sampled_from(
            ["token", "folder", "member", "peerURL", "etcdVersion", "local", "s3", "x"]
        ),
        st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()),
    ).map(json.dumps)
)
def test_any_text_is_no_order_or_one(text):
    for kind in (RestoreOrder, ExamineOrder):
        try:
            order = kind.model_validate_json(text)
        except ValidationError:
            continue
        assert kind.model_validate_json(order.model_dump_json(by_alias=True)) == order


def test_no_order_is_the_callers_mistake(pod, capsys):
    assert command.fetch_for_restore("{}", pod.folders) == USAGE
    assert command.finish_the_restore('{"token": 1}', pod.folders) == USAGE
    assert "token" in capsys.readouterr().err


def test_revisions_jump_only_where_that_is_ordered():
    asked = {"token": "t", "member": "db-0", "peerURL": "http://db-0:2380", **_common({})}

    def arguments(**more):
        return etcdutl_arguments(RestoreOrder.model_validate({**asked, **more}))

    assert arguments()[-2:] == ["--initial-advertise-peer-urls", "http://db-0:2380"]
    assert arguments(bumpRevision=5)[-3:] == ["--bump-revision", "5", "--mark-compacted"]
    assert arguments(skipHashCheck=True)[-1] == "--skip-hash-check"


def test_answers_fit_into_a_termination_message():
    notes = short_notes(tuple("x" * 1000 for _ in range(1000)))

    assert len("".join(notes)) < 2000
    assert notes[-1].startswith("and 995 more")
