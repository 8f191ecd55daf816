"""The command ``container-backend``."""

from __future__ import annotations

import json
import os
import sys
import traceback
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

from container_backend import cli_options as options
from container_backend._version import __version__
from container_backend.api import DOCKER, MLFLOW_ENV_MANAGERS
from container_backend.cli_images import IMAGE_COMMANDS
from container_backend.cli_rerun import RERUN_COMMANDS
from container_backend.cli_runs import RUN_COMMANDS
from container_backend.config import parse_config
from container_backend.errors import ContainerBackendError, RunFailed
from container_backend.masking import without_credentials
from container_backend.tables import human_size, image_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.dry_run import DryRun

_INTERRUPTED = 130
_DEBUG = "CONTAINER_BACKEND_DEBUG"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; every error of ours is one message and an exit code."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if without_credentials(address) != address:  # MLflow would print it with the password
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    try:
        cli.main(args=None if arguments is None else list(arguments), standalone_mode=False)
    except RunFailed as error:
        # Its output was shown, or is shown by `logs`.
        click.echo(f"Error: {error.message}", err=True)
        sys.exit(error.exit_code)
    except ContainerBackendError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 each part raises its own kind
        # What the tracking server, the engine or the disk said and nobody foresaw.
        if os.environ.get(_DEBUG):
            click.echo(without_credentials(traceback.format_exc()), err=True)
            sys.exit(1)
        click.echo(f"Error: {type(error).__name__}: {without_credentials(str(error))}", err=True)
        click.echo(f"Set {_DEBUG}=1 to see where it came from.", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="container-backend")
def cli() -> None:
    """Run MLflow projects in containers of their own environment."""


@cli.command()
@click.argument("uri")
@options.entry_point
@options.parameters(
    "A parameter. One that the entry point does not declare is passed as --NAME VALUE."
)
@options.docker_args("An argument of `docker run`, e.g. -A gpus=all -A memory=4g. May be repeated.")
@click.option("--experiment-name", envvar="MLFLOW_EXPERIMENT_NAME", metavar="NAME")
@click.option("--experiment-id", envvar="MLFLOW_EXPERIMENT_ID", metavar="ID")
@click.option("--run-name", metavar="NAME", help="A name for the run.")
@options.version
@options.backend_config()
@click.option(
    "--storage-dir",
    metavar="FOLDER",
    help="Where files of path parameters are downloaded to; by default, somewhere temporary.",
)
@click.option(
    "--build-image", is_flag=True, help="With docker_env: make an image with the code in it."
)
@click.option(
    "--env-manager",
    type=click.Choice([DOCKER, *MLFLOW_ENV_MANAGERS]),
    default=DOCKER,
    show_default=True,
    help="docker, or one of MLflow's own, which MLflow then runs on this machine.",
)
@click.option(
    "-d",
    "--detach",
    is_flag=True,
    help="Return when the program has started, and print the run's id; it goes on by itself.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@options.as_json
def run(
    uri: str,
    entry_point: str,
    parameters: dict[str, str],
    docker_args: dict[str, Any],
    experiment_name: str | None,
    experiment_id: str | None,
    run_name: str | None,
    version: str | None,
    backend_config: dict[str, Any],
    storage_dir: str | None,
    build_image: bool,
    env_manager: str,
    detach: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the project at URI: a folder, a git address or a zip file.

    Waits, shows the program's output, and exits with 0 only if the run finished.
    """
    if experiment_name and experiment_id:
        raise click.UsageError("Give --experiment-name or --experiment-id, not both.")
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run.")
    if (dry_run or detach) and env_manager != DOCKER:
        option = "--dry-run" if dry_run else "--detach"
        raise click.UsageError(f"{option} goes with --env-manager {DOCKER}.")
    config = parse_config({**backend_config, "detach": True} if detach else backend_config)
    if env_manager != DOCKER:
        _run_with_mlflow(
            env_manager=env_manager,
            uri=uri,
            entry_point=entry_point,
            version=version,
            parameters=parameters,
            docker_args=docker_args,
            experiment_name=experiment_name,
            experiment_id=experiment_id,
            run_name=run_name,
            storage_dir=storage_dir,
            build_image=build_image,
        )
        return
    from container_backend.console_log import configure_logging
    from container_backend.submission import Experiment, Submission

    configure_logging()
    submission = Submission(
        uri=uri,
        entry_point=entry_point,
        parameters=parameters,
        version=version,
        config=config,
        docker_args=docker_args,
        experiment=Experiment(experiment_id, experiment_name),
        run_name=run_name,
        storage_dir=storage_dir,
        build_image=build_image,
    )
    if not dry_run:
        from container_backend.launch import run_to_end

        started = run_to_end(submission)
        if config.detach:
            click.echo(started.run_id)
        return
    from container_backend.dry_run import dry_run as plan

    planned = plan(submission)
    click.echo(json.dumps(_as_dict(planned), indent=2) if as_json else _as_text(planned))


def _run_with_mlflow(**arguments: Any) -> None:  # noqa: ANN401 MLflow's
    from container_backend import api, lean

    lean.bring_back()
    from mlflow.exceptions import MlflowException

    try:
        api.run(**arguments)
    except MlflowException as error:
        raise ContainerBackendError(str(error)) from error


def _as_dict(planned: DryRun) -> dict[str, Any]:
    from container_backend.ready_image import ReadyImage

    image = planned.image
    answer: dict[str, Any] = {"image_exists": planned.is_there}
    if isinstance(image, ReadyImage):
        answer |= {"image": image.reference}
    else:
        answer |= {
            "dockerfile": image.dockerfile,
            "environment_hash": image.hash,
            "image": image.tag,
            "base_image": image.base.reference,
            "base_digest": image.base.digest,
            "layers": planned.lock.layers if planned.lock else {},
        }
    return answer | {
        "command": planned.container.command,
        "container": planned.container.describe(),
    }


def _as_text(planned: DryRun) -> str:
    said = _as_dict(planned)
    missing = "to be built" if "dockerfile" in said else "to be pulled"
    parts = []
    if "dockerfile" in said:
        parts += ["# Dockerfile", said["dockerfile"].rstrip(), ""]
        parts += ["# Environment hash", said["environment_hash"], ""]
        parts += ["# Packages, by the layer that each goes into"]
        parts += [f"{layer}: {', '.join(packages)}" for layer, packages in said["layers"].items()]
        parts += [""] if said["layers"] else ["none", ""]
    parts += [f"# Image ({'there already' if planned.is_there else missing})", said["image"], ""]
    parts += ["# Container (the project's files are copied into it before it starts)"]
    return "\n".join([*parts, said["container"]])


@cli.command()
@click.argument("uri")
@options.entry_point
@options.version
@options.backend_config()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Where to write it, - for standard output; by default, requirements.lock in the project.",
)
@options.as_json
def lock(
    uri: str,
    entry_point: str,
    version: str | None,
    backend_config: dict[str, Any],
    output: Path | None,
    as_json: bool,
) -> None:
    """Resolve what the project at URI declares, and write it down as a lock with hashes.

    Later builds install what the lock says, wherever they happen.
    """
    config = parse_config(backend_config)
    from container_backend.console_log import configure_logging
    from container_backend.prepare import STANDARD_OUTPUT, lock_environment
    from container_backend.submission import Submission

    configure_logging()
    written = lock_environment(
        Submission(uri=uri, entry_point=entry_point, version=version, config=config), output
    )
    answer = {
        "path": str(written.path),
        "digest": written.lock.digest,
        "layers": written.lock.layers,
    }
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif written.path == STANDARD_OUTPUT:
        click.echo(written.lock.text, nl=False)
    else:
        click.echo(f"Wrote {written.path}: {len(written.lock.packages)} packages.")


@cli.command()
@options.as_json
def images(as_json: bool) -> None:
    """List the environment images of the engine, the one used last first."""
    from container_backend.engine import connect
    from container_backend.prune import list_images

    with closing(connect()) as engine:
        found = list_images(engine)
    if as_json:
        click.echo(json.dumps([asdict(image) for image in found], indent=2))
    elif not found:
        click.echo("There are no environment images.", err=True)
    else:
        click.echo(image_table(found))


@cli.command()
@click.argument("hashes", nargs=-1, metavar="[HASH]...")
@click.option("--older-than", metavar="AGE", default="0s", help="Not used for so long, e.g. 30d.")
@click.option("--keep-last", metavar="N", type=click.IntRange(0), default=0, help="Keep so many.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
def prune(hashes: tuple[str, ...], older_than: str, keep_last: int, dry_run: bool) -> None:
    """Remove environment images that no container uses and no run needs.

    All of them, or those whose environment hash begins with one of HASH.
    """
    from container_backend.engine import connect
    from container_backend.prune import choose, list_images, parse_age, remove

    age = parse_age(older_than)
    with closing(connect()) as engine:
        found = [
            image for image in list_images(engine) if not hashes or image.hash.startswith(hashes)
        ]
        chosen = choose(found, older_than=age, keep_last=keep_last)
        freed = kept = 0
        for image in chosen:
            reason = None if dry_run else remove(engine, image)
            name = image.names[0] if image.names else image.id
            if reason is not None:
                kept += 1
                click.echo(f"Kept {name}: {reason}", err=True)
                continue
            freed += image.size - image.shared
            click.echo(f"{'Would remove' if dry_run else 'Removed'} {name}")
    verb = "Would free" if dry_run else "Freed"
    click.echo(f"{verb} about {human_size(freed)} ({len(chosen) - kept} images).", err=True)


for _command in (*IMAGE_COMMANDS, *RUN_COMMANDS, *RERUN_COMMANDS):
    cli.add_command(_command)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script, e.g. for `eval "$(container-backend completion bash)"`."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(kind(cli, {}, "container-backend", "_CONTAINER_BACKEND_COMPLETE").source())
