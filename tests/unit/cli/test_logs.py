"""What is logged of an exception: where and what, never the values at hand."""

import logging

import pytest

from cli.logs import configure_logging
from cli.settings import Settings


@pytest.fixture
def root_logger():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = before


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_local_variable(log_format, root_logger, capsys):
    configure_logging(Settings(log_format=log_format))
    for handler in root_logger.handlers:
        handler.flush()

    def fails():
        key = "".join(["hunter", "2"])
        raise RuntimeError("it failed", len(key))

    try:
        fails()
    except RuntimeError:
        logging.getLogger("test").exception("told")
    logged = capsys.readouterr().err

    assert "told" in logged
    assert "it failed" in logged
    assert "fails" in logged
    assert "hunter2" not in logged
