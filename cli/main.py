"""The command line of the operator: `python -m operator`, `etcd-operator`."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run etcd on Kubernetes so that nobody has to get up at night for it."""
