"""What can be wrong with an object a user wrote, as values.

FieldError      one field is wrong: which, why, and what to write instead
MergeError      a podTemplate cannot be merged (an exception that carries a FieldError)
"""

from dataclasses import dataclass

from typing_extensions import override


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field.

    `field` is the path as kubectl explains it, with list positions in brackets:
    "spec.podTemplate.spec.containers[0].image". `message` is the sentence's end, "must be ...".
    `remedy` says what to do, or is empty when the message says it already.
    """

    field: str
    message: str
    remedy: str = ""

    @override
    def __str__(self) -> str:
        """Return the sentence that conditions and events show."""
        sentence = f"{self.field} {self.message}"
        return f"{sentence}. {self.remedy}" if self.remedy else sentence


class MergeError(Exception):
    """A podTemplate that cannot be merged over the rendered one; `error` names the field."""

    def __init__(self, error: FieldError) -> None:
        super().__init__(str(error))
        self.error = error
