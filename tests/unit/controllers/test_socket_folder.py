"""Folders for sockets: for nobody else, gone when they should be, and only then."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from controllers.socket_folder import SocketFolder, remove_leftovers

LIVE = """
import socket, sys
from controllers.socket_folder import SocketFolder
folder = SocketFolder()
socket.socket(socket.AF_UNIX).bind(folder.socket)
print(folder.socket, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other_process(temporary):
    """A process with a socket in a folder; gives the process and the socket's path."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", LIVE], env=environment, **pipes) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def test_folder_is_for_nobody_else():
    folder = SocketFolder()

    assert stat.S_IMODE(Path(folder.socket).parent.stat().st_mode) == 0o700
    folder.remove()


def test_removing_leaves_nothing_and_can_be_repeated(temporary):
    folder = SocketFolder()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(folder.socket)
    folder.remove()
    folder.remove()

    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_removed(other_process, temporary):
    process, path = other_process
    kill(process)
    assert path.is_socket()
    remove_leftovers()

    assert not list(temporary.iterdir())


def test_what_a_living_process_has_stays(other_process):
    _, path = other_process
    ours = SocketFolder()
    remove_leftovers()

    assert path.is_socket()
    assert Path(ours.socket).parent.is_dir()
    ours.remove()


@pytest.fixture
def left(other_process):
    """The folder of a process that was killed."""
    process, path = other_process
    kill(process)
    return path.parent


def test_folder_that_others_can_enter_stays(left):
    left.chmod(0o755)
    remove_leftovers()

    assert left.is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_folder_of_another_user_stays(left):
    os.chown(left, 12345, 12345)
    remove_leftovers()

    assert left.is_dir()


def test_folder_with_something_else_in_it_stays(left):
    (left / "notes").write_text("mine")
    remove_leftovers()

    assert (left / "notes").read_text() == "mine"


def test_link_is_not_followed(left, temporary):
    elsewhere = temporary / "elsewhere"
    left.rename(elsewhere)
    left.symlink_to(elsewhere)
    remove_leftovers()

    assert (elsewhere / "etcd.sock").is_socket()


def test_file_of_that_name_stays(left, temporary):
    file = temporary / f"{left.name}-file"
    file.write_text("mine")
    remove_leftovers()

    assert file.exists()
    assert not left.exists()
