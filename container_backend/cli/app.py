"""The command ``container-backend``."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from container_backend.cli.images import IMAGE_COMMANDS
from container_backend.cli.repeats import RERUN_COMMANDS
from container_backend.cli.run import run
from container_backend.cli.runs import RUN_COMMANDS
from container_backend.errors import ContainerBackendError, RunFailed
from container_backend.machine import __version__, harmless
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

_INTERRUPTED = 130
_LAYOUT = "\n\t"
_DEBUG = "CONTAINER_BACKEND_DEBUG"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; each error becomes one message and an exit code."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if without_credentials(address) != address:  # MLflow would print the password
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    try:
        cli.main(args=None if arguments is None else list(arguments), standalone_mode=False)
    except ContainerBackendError as error:
        # The output of a failed run was shown already, or `logs` shows it.
        text = error.message if isinstance(error, RunFailed) else str(error)
        click.echo(f"Error: {harmless(text, kept=_LAYOUT)}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 the tracking server, the engine, the disk
        if os.environ.get(_DEBUG):
            click.echo(without_credentials(traceback.format_exc()), err=True)
        else:
            said = harmless(without_credentials(str(error)), kept=_LAYOUT)
            text = f"{type(error).__name__}: {said}"
            click.echo(f"Error: {text}\nSet {_DEBUG}=1 to see the traceback.", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="container-backend")
def cli() -> None:
    """Run MLflow projects in containers of their own environment."""


for _command in (run, *IMAGE_COMMANDS, *RUN_COMMANDS, *RERUN_COMMANDS):
    cli.add_command(_command)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script: `eval "$(container-backend completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 click has one for each choice
    click.echo(kind(cli, {}, "container-backend", "_CONTAINER_BACKEND_COMPLETE").source())
