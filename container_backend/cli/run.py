"""The command `run`, and its `--dry-run`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from container_backend import api
from container_backend.api import DOCKER, MLFLOW_ENV_MANAGERS
from container_backend.cli import options
from container_backend.config import parse_config

if TYPE_CHECKING:
    from container_backend.runs import DryRun


@click.command()
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
        api.run(
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
    from container_backend.machine import configure_logging
    from container_backend.runs import Submission
    from container_backend.store import Experiment

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
        from container_backend.runs import run_to_end

        started = run_to_end(submission)
        if config.detach:
            click.echo(started.run_id)
        return
    from container_backend.runs import preview as plan

    planned = plan(submission)
    click.echo(json.dumps(_as_dict(planned), indent=2) if as_json else _as_text(planned))


def _as_dict(planned: DryRun) -> dict[str, Any]:
    from container_backend.image import ReadyImage

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
