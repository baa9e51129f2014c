"""Why an option of a user was refused, with the way out in the message."""

from __future__ import annotations


class OptionError(ValueError):
    """An option that can't be used as written. option: its name as the user wrote it."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option
        self.message = message


class UnknownOptionError(OptionError):
    """This release of etcd has no such option; the message says which has, or how it is called."""


class OwnedOptionError(OptionError):
    """The operator decides it; the message says by what it can be influenced."""


class BadValueError(OptionError):
    """The value is not what etcd takes, or the option is given twice."""
