"""A valid spec → the Secrets that it names.  Pure."""

from collections.abc import Iterator

from api.v1alpha1.common import Model


def named_secrets(spec: Model) -> dict[str, str]:
    """The names of Secrets in the object's own namespace, each under its field's path."""
    return dict(_named(spec, "spec"))


def missing_warnings(named: dict[str, str], missing: frozenset[str]) -> tuple[str, ...]:
    """A warning for each field that names one of the missing ones.  No more than that: whoever
    applies manifests may apply the Secret next.
    """
    return tuple(
        f"{path} names Secret {name}, which is not there: it is waited for"
        for path, name in named.items()
        if name in missing
    )


def _named(model: Model, path: str) -> Iterator[tuple[str, str]]:
    for field, info in type(model).model_fields.items():
        here, value = f"{path}.{info.alias or field}", getattr(model, field)
        if field.endswith("_secret"):
            name = getattr(value, "name", value)
            if name:
                yield here, str(name)
        elif isinstance(value, Model):
            yield from _named(value, here)
        elif isinstance(value, tuple):
            for index, one in enumerate(value):
                if isinstance(one, Model):
                    yield from _named(one, f"{here}[{index}]")
