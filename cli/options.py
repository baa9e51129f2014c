"""Turns a settings model into click options, so that each setting is described in one place."""

import typing
from collections.abc import Callable
from typing import Any, TypeVar

import click
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(model: type[BaseSettings]) -> Callable[[F], F]:
    """A decorator that gives a command one option per field; what is not given arrives as None."""

    def decorate(command: F) -> F:
        for name, field in reversed(model.model_fields.items()):
            command = _option(name, field)(command)
        return command

    return decorate


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    text = f"{field.description}{_default(field)}"
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    if field.annotation == tuple[str, ...]:
        return click.option(flag, name, multiple=True, callback=_none_if_empty, help=text)
    choices = typing.get_args(field.annotation) if _is_literal(field) else ()
    kind = click.Choice(choices) if choices else int if field.annotation is int else str
    return click.option(flag, name, type=kind, default=None, help=text)


def _is_literal(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is typing.Literal


def _none_if_empty(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...] | None:
    return value or None


def _default(field: FieldInfo) -> str:
    if field.default is None or field.default == () or field.default is False:
        return ""
    return f"  [default: {field.default}]"
