"""Makes the description of the container from a plan and an image."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from container_backend import labels_and_tags
from container_backend.container import (
    ACCESS_VARIABLES,
    ContainerSpec,
    TrackingAccess,
    around_http_proxies,
    base_environment,
    container_name,
    mounted,
    volume_name,
    writable_folders,
)
from container_backend.image import ReadyImage
from container_backend.machine import __version__, owner_id
from container_backend.masking import without_credentials
from container_backend.privileges import (
    MOST_OUTPUT,
    Right,
    needs_any_file,
    network_of_program,
)
from container_backend.runs.ledger import signed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.container import DockerArgs
    from container_backend.engine import Engine
    from container_backend.image import EnvironmentImage
    from container_backend.project import Owner
    from container_backend.runs.plan import Plan

_logger = logging.getLogger(__package__)


def container_spec(
    plan: Plan,
    engine: Engine,
    access: TrackingAccess,
    *,
    image: EnvironmentImage,
    run_id: str,
    experiment_id: str,
    experiment_name: str = "",
    submission_id: str = "",
    recorded: str = "",
    steps: Mapping[str, str] | None = None,
) -> ContainerSpec:
    """The description of the container.

    Args:
        recorded: The record of the run as JSON.
        steps: Variables for a program that may start steps.

    Raises:
        InvalidConfig: A path of this machine would hide a folder of the image.
    """
    args, config, owner = plan.docker_args, plan.config, plan.owner
    entrypoint = args.entrypoint
    if entrypoint is None and isinstance(plan.image, ReadyImage):
        entrypoint = plan.image.entrypoint
    volumes = shared_folders(plan, submission_id)
    labels = {
        labels_and_tags.LABEL_LOGINS: _logins(access, args),
        labels_and_tags.LABEL_RUN_ID: run_id,
        labels_and_tags.LABEL_EXPERIMENT_ID: experiment_id,
        labels_and_tags.LABEL_EXPERIMENT: experiment_name,
        labels_and_tags.LABEL_SUBMISSION: submission_id,
        labels_and_tags.LABEL_RECORD: recorded,
        labels_and_tags.LABEL_VOLUMES: " ".join(volumes),
    }
    return ContainerSpec(
        name=container_name(run_id),
        image=image.id,
        command=plan.command.line,
        environment={**_environment(plan, access, run_id, experiment_id), **(steps or {})},
        labels=signed(
            {**args.labels, **labels_and_tags.NO_LABELS, **_labels(plan, image), **labels}
        ),
        mounts=mounted(plan.command.paths),
        owner=owner,
        network=_network(args.network, access),
        groups=tuple(dict.fromkeys(args.groups)),
        args=_with_files_of_others(args, engine, owner),
        entrypoint=entrypoint,
        stop_signal=config.stop_signal,
        stop_seconds=math.ceil(config.grace),
        python_path=image.python_path,
        awaits_port=access.forwarded_port,
        copies=access.files,
        volumes=volumes,
        directory=plan.place,
    )


def _logins(access: TrackingAccess, args: DockerArgs) -> str:
    """The names of the variables by which other processes reach the stores as the program does."""
    return ",".join(sorted({*access.logins, *(args.environment.keys() & ACCESS_VARIABLES)}))


def shared_folders(plan: Plan, submission_id: str) -> dict[str, str]:
    """Volume → path: the project folders that the program shares with its driver or its steps."""
    step = plan.step
    shared = dict(step.volumes) if step is not None else {}
    if plan.starts_steps and not (step is not None and step.is_there):
        shared[volume_name(submission_id)] = plan.place
    return shared


def _environment(
    plan: Plan, access: TrackingAccess, run_id: str, experiment_id: str
) -> dict[str, str]:
    measured = {} if plan.config.system_metrics else {labels_and_tags.ENV_SYSTEM_METRICS: "false"}
    environment = {
        **base_environment(plan.owner),
        **access.environment,
        **measured,
        **plan.docker_args.environment,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_TRACKING_URI": access.uri,
        "MLFLOW_EXPERIMENT_ID": experiment_id,
    }
    return around_http_proxies(environment, access.uri) if access.is_served else environment


def _with_files_of_others(args: DockerArgs, engine: Engine, owner: Owner) -> DockerArgs:
    """For root and a folder of another user, as in many containers and CI jobs."""
    if engine.facts.is_rootless or not needs_any_file(writable_folders(args), owner.uid):
        return args
    added = [*args.host_config.get("cap_add", ()), "DAC_OVERRIDE"]
    return replace(args, host_config={**args.host_config, "cap_add": added})


def _network(typed: str | None, access: TrackingAccess) -> str | None:
    network = network_of_program(typed, only_here=access.host_network)
    if access.host_network and network != "host":
        _logger.warning(
            "The tracking server %s listens on this machine only; the program may not reach "
            "it from the network '%s'",
            access.uri,
            network,
        )
    return network


def _labels(plan: Plan, image: EnvironmentImage) -> dict[str, str]:
    """What other processes need of the plan to find and finish the run."""
    config = plan.config
    labels = {
        labels_and_tags.LABEL_TRACKING_URI: without_credentials(plan.tracking_uri),
        labels_and_tags.LABEL_PROJECT: plan.project.name or plan.project.directory.name,
        labels_and_tags.LABEL_ENTRY_POINT: plan.entry_point.name,
        labels_and_tags.LABEL_VERSION: __version__,
        labels_and_tags.LABEL_OWNER: owner_id(),
        labels_and_tags.LABEL_KEEP: config.keep,
        labels_and_tags.LABEL_IMAGE: image.reference,
        labels_and_tags.LABEL_ENVIRONMENT_HASH: image.hash,
        labels_and_tags.LABEL_PYTHON: ""
        if isinstance(plan.image, ReadyImage)
        else plan.image.python,
    }
    if config.timeout is not None:
        labels[labels_and_tags.LABEL_TIMEOUT] = f"{config.timeout:g}"
    if not plan.permissions.allow(Right.OUTPUT):
        labels[labels_and_tags.LABEL_MOST_OUTPUT] = str(MOST_OUTPUT)
    if config.retries:
        labels[labels_and_tags.LABEL_RETRIES] = str(config.retries)
        labels[labels_and_tags.LABEL_RETRY_PROGRAM] = str(config.retry_program).lower()
    return labels
