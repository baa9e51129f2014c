"""What a group of tasks ended in → the one failure that a caller is told."""

from __future__ import annotations


def first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What failed first: the others were cancelled for it, or fell with it. Pure."""
    first = group.exceptions[0]
    return first_failure(first) if isinstance(first, BaseExceptionGroup) else first
