"""`python -m operator` and `etcd-operator`: one program, beside the standard library.

Subprocesses, because what is tested is how an interpreter starts; their output is checked, because
without our package `python -m operator` runs the standard module and exits 0 in silence.
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 60
VERSION = f"etcd-operator {version('etcd-operator')}\n"

pytestmark = pytest.mark.timeout(2 * DEADLINE_S)


def run(*command, cwd="/", env=None):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPERATOR_")}
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean | (env or {}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.mark.parametrize("directory", ["/", "/tmp", str(ROOT), str(ROOT / "operator")])
@pytest.mark.parametrize("flags", [(), ("-P",), ("-I",)], ids=["plain", "-P", "-I"])
def test_module_runs_from_any_directory(directory, flags):
    done = run(sys.executable, *flags, "-m", "operator", "version", cwd=directory)

    assert (done.stdout, done.returncode) == (VERSION, 0)


def test_module_runs_where_something_imported_operator_early():
    code = (
        "import operator, runpy, sys; sys.argv = ['operator', 'version'];"
        "runpy.run_module('operator', run_name='__main__', alter_sys=True)"
    )

    assert run(sys.executable, "-c", code).stdout == VERSION


def test_standard_module_stays_what_it_was():
    code = "import operator; print(operator.itemgetter(1)('ab'), operator.__name__)"

    assert run(sys.executable, "-c", code).stdout == "b operator\n"


def test_second_entry_is_the_same_program():
    assert run(str(Path(sys.executable).with_name("etcd-operator")), "version").stdout == VERSION


def test_help_names_every_flag():
    text = run(sys.executable, "-m", "operator", "run", "--help").stdout

    for flag in (
        "--kubeconfig",
        "--context",
        "--namespace",
        "--workers",
        "--leader-elect",
        "--metrics-bind",
        "--health-bind",
        "--log-format",
        "--log-level",
    ):
        assert flag in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--workers", "0"), "--workers: Input should be greater than or equal to 1"),
        (("--metrics-bind", "nowhere"), "--metrics-bind: "),
        (("--log-format", "xml"), "'xml' is not one of 'json', 'console'"),
    ],
)
def test_bad_flag_is_named_and_nothing_starts(flags, said):
    done = run(sys.executable, "-m", "operator", "run", *flags)

    assert done.returncode == 2
    assert said in done.stderr


def test_environment_is_read_and_checked_like_a_flag():
    done = run(sys.executable, "-m", "operator", "run", env={"OPERATOR_WORKERS": "none"})

    assert done.returncode == 2
    assert "--workers" in done.stderr


def test_missing_kubeconfig_is_said_in_one_line():
    done = run(sys.executable, "-m", "operator", "run", "--kubeconfig", "/no/such/file")

    assert done.returncode == 1
    assert done.stderr == "etcd-operator: no kubeconfig at /no/such/file\n"
