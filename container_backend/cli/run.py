"""The command `run`, and its `--dry-run`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from container_backend.api import DOCKER, MLFLOW_ENV_MANAGERS, run_with_mlflow
from container_backend.cli import options
from container_backend.machine import configure_logging

if TYPE_CHECKING:
    from container_backend.runs import DryRun, PlannedStep, Submission


@click.command()
@options.submission
@options.parameters("Value of a parameter; an undeclared one is passed on as --NAME VALUE.")
@options.docker_args("Argument of `docker run`, e.g. -A gpus=all -A memory=4g; repeatable.")
@click.option(
    "--experiment-name",
    metavar="NAME",
    help="Experiment of the run; created if it is missing.",
)
@click.option(
    "--experiment-id",
    metavar="ID",
    help="Experiment of the run, by id.",
)
@click.option("--run-name", metavar="NAME", help="Name of the run.")
@click.option("--run-id", metavar="ID", help="Go on with a run that exists; default: a new run.")
@click.option(
    "--storage-dir",
    metavar="FOLDER",
    help="Folder for the downloads of path parameters; default: a temporary folder.",
)
@click.option(
    "--build-image", is_flag=True, help="With docker_env: build an image that contains the code."
)
@click.option(
    "--env-manager",
    type=click.Choice([DOCKER, *MLFLOW_ENV_MANAGERS]),
    default=DOCKER,
    show_default=True,
    help="With another value than docker, MLflow runs the project on this machine.",
)
@click.option(
    "-d",
    "--detach",
    is_flag=True,
    help="Print the run's id after the start, and return; the run continues.",
)
@options.plain
@click.option("--dry-run", is_flag=True, help="Show what would happen; do nothing.")
@options.as_json
def run(
    submission: Submission,
    experiment_name: str | None,
    experiment_id: str | None,
    env_manager: str,
    detach: bool,
    plain: bool,
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
    from container_backend.store import Experiment

    submission = replace(submission, experiment=Experiment(experiment_id, experiment_name))
    if env_manager != DOCKER:
        run_with_mlflow(env_manager, submission)
        return
    if detach:
        config = submission.config.model_copy(update={"detach": True})
        submission = replace(submission, config=config)
    configure_logging()
    if dry_run:
        from container_backend.runs import preview

        planned = preview(submission)
        options.show(_as_dict(planned), _as_text(planned), as_json=as_json)
        return
    from container_backend.runs import console, run_to_end

    started = run_to_end(submission, write=console(plain=plain))
    if submission.config.detach:
        click.echo(started.run_id)


def _as_dict(planned: DryRun) -> dict[str, Any]:
    from container_backend.image import ReadyImage

    image = planned.image
    answer: dict[str, Any] = {"image_exists": planned.is_there}
    if isinstance(image, ReadyImage):
        answer["image"] = image.reference
    else:
        answer |= {
            "dockerfile": image.dockerfile,
            "environment_hash": image.hash,
            "image": image.tag,
            "base_image": image.base.reference,
            "base_digest": image.base.digest,
            "layers": planned.lock.layers if planned.lock else {},
        }
    if planned.steps:
        answer["steps"] = {folder: asdict(each) for folder, each in planned.steps.items()}
    return answer | {
        "command": planned.container.command,
        "container": planned.container.describe(),
    }


def _shown(step: PlannedStep) -> str:
    return step.problem or f"{step.image} ({'exists' if step.is_there else 'to be made'})"


def _as_text(planned: DryRun) -> str:
    answer = _as_dict(planned)
    is_built = "dockerfile" in answer
    parts = []
    if is_built:
        layers = [f"{layer}: {', '.join(names)}" for layer, names in answer["layers"].items()]
        parts += ["# Dockerfile", answer["dockerfile"].rstrip(), ""]
        parts += ["# Environment hash", answer["environment_hash"], ""]
        parts += ["# Packages by layer", *(layers or ["none"]), ""]
    state = "exists" if planned.is_there else "to be built" if is_built else "to be pulled"
    parts += [f"# Image ({state})", answer["image"], ""]
    if planned.steps:
        parts += ["# Steps (projects in its folders, which its program may start)"]
        parts += [f"{folder}: {_shown(each)}" for folder, each in planned.steps.items()]
        parts += [""]
    parts += ["# Container (the project's files are copied into it before it starts)"]
    return "\n".join([*parts, answer["container"]])
