"""The command line of the operator: `python -m operator`, `etcd-operator`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from pydantic import ValidationError

from cli.options import settings_options
from cli.settings import Settings
from cli.version import version_text


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run etcd on Kubernetes so that nobody has to get up at night for it."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(f"etcd-operator {version_text()}")


@main.command()
@settings_options(Settings)
def run(**given: Any) -> None:  # noqa: ANN401 - as many types as there are settings
    """Look after the EtcdClusters of a Kubernetes cluster, until SIGTERM.

    Every option can be given as OPERATOR_<NAME> in the environment as well; the option wins.
    """
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0]) if problem["loc"] else "settings"
            click.echo(f"--{name.replace('_', '-')}: {problem['msg']}", err=True)
        sys.exit(2)
    # Imported here: `--help` and `version` should not pay for grpc and the API client.
    from cli.run import run_operator  # noqa: PLC0415

    sys.exit(run_operator(settings))


@main.group(hidden=True)
def agent() -> None:
    """What the operator runs in pods of its own; not meant to be called by hand."""


def _order_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that all of them have."""
    for option in (
        click.option("--order", required=True, help="What to do, as JSON."),
        click.option(
            "--message",
            type=click.Path(path_type=Path),
            default=Path("/dev/termination-log"),
            help="File for the result.",
        ),
        click.option(
            "--volume",
            type=click.Path(path_type=Path),
            default=Path("/backup"),
            help="Where the volume of a backup is mounted.",
        ),
        click.option(
            "--root",
            type=click.Path(path_type=Path),
            default=Path("/var/lib/etcd"),
            help="Where the volume of a member is mounted.",
        ),
    ):
        command = option(command)
    return command


@agent.command()
@_order_options
def snapshot(order: str, **folders: Path) -> None:
    """Save a cluster's data in a store."""
    from cli.agent.command import Folders, take_snapshot  # noqa: PLC0415 - as above

    _leave(take_snapshot(order, Folders(**folders)))


@agent.command()
@_order_options
def delete(order: str, **folders: Path) -> None:
    """Delete a backup from its store."""
    from cli.agent.command import Folders, delete_backup  # noqa: PLC0415 - as above

    _leave(delete_backup(order, Folders(**folders)))


@agent.command()
@_order_options
@click.option("--port", type=int, default=8080, help="Where it says how far it is.")
def archive(order: str, port: int, **folders: Path) -> None:
    """Keep a cluster's changes in a store as they come, until SIGTERM."""
    from cli.agent.command import Folders, archive_changes  # noqa: PLC0415 - as above

    _leave(archive_changes(order, Folders(**folders), port))


@agent.command()
@_order_options
def examine(order: str, **folders: Path) -> None:
    """Read all of a backup, and say whether it can be restored."""
    from cli.agent.command import Folders, examine_backup  # noqa: PLC0415 - as above

    _leave(examine_backup(order, Folders(**folders)))


@agent.group()
def restore() -> None:
    """What runs before and after etcd's own tool while a backup becomes a member's data."""


@restore.command()
@_order_options
def fetch(order: str, **folders: Path) -> None:
    """Bring a backup to a member's volume."""
    from cli.agent.command import Folders, fetch_for_restore  # noqa: PLC0415 - as above

    _leave(fetch_for_restore(order, Folders(**folders)))


@restore.command()
@_order_options
def finish(order: str, **folders: Path) -> None:
    """Put what etcd's tool made of it in its place."""
    from cli.agent.command import Folders, finish_the_restore  # noqa: PLC0415 - as above

    _leave(finish_the_restore(order, Folders(**folders)))


@agent.group()
def verify() -> None:
    """What runs before and beside the etcd that serves a backup to try it out."""


@verify.command("fetch")
@_order_options
def fetch_to_verify(order: str, **folders: Path) -> None:
    """Bring a backup to where it is tried out."""
    from cli.agent.command import Folders, fetch_for_verification  # noqa: PLC0415 - as above

    _leave(fetch_for_verification(order, Folders(**folders)))


@verify.command("compare")
@_order_options
def compare_served(order: str, **folders: Path) -> None:
    """Compare what etcd serves of it with what was saved."""
    from cli.agent.command import Folders, verify_backup  # noqa: PLC0415 - as above

    _leave(verify_backup(order, Folders(**folders)))


def _leave(code: int) -> NoReturn:
    """End the process at once: while Python takes itself down, a thread of the object store's
    library that comes back for the interpreter aborts the process now and then (exit code 134), and
    what was done would count as failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
