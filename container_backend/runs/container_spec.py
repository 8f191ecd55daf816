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
    Mount,
    TrackingAccess,
    base_environment,
    choose_owner,
    container_name,
    without_nested,
)
from container_backend.image import ReadyImage
from container_backend.machine import __version__, owner_id
from container_backend.masking import without_credentials
from container_backend.privileges import (
    MOST_OUTPUT,
    Right,
    check_engine,
    engine_sockets,
    groups_of_user,
    needs_any_file,
    network_of_program,
)
from container_backend.runs.ledger import signed

if TYPE_CHECKING:
    from container_backend.container import DockerArgs
    from container_backend.engine import EngineHost
    from container_backend.image import EnvironmentImage
    from container_backend.project import Owner
    from container_backend.runs.plan import Plan

_logger = logging.getLogger(__package__)


def container_spec(
    plan: Plan,
    host: EngineHost,
    access: TrackingAccess,
    *,
    image: EnvironmentImage,
    run_id: str,
    experiment_id: str,
    experiment_name: str = "",
    submission_id: str = "",
    recorded: str = "",
) -> ContainerSpec:
    """The description of the container; ``recorded`` is the record of the run as JSON.

    Raises:
        InvalidProject: A folder of the store has the engine's socket.
    """
    args, config = plan.docker_args, plan.config
    _check_store(plan, host, access)
    owner = choose_owner(access)
    entrypoint = plan.image.entrypoint if isinstance(plan.image, ReadyImage) else None
    starts_by = image.entrypoint if entrypoint is None else entrypoint
    logins = {*access.environment, *(args.environment.keys() & ACCESS_VARIABLES)}
    labels = {
        labels_and_tags.LABEL_LOGINS: ",".join(sorted(logins)),
        labels_and_tags.LABEL_RUN_ID: run_id,
        labels_and_tags.LABEL_EXPERIMENT_ID: experiment_id,
        labels_and_tags.LABEL_EXPERIMENT: experiment_name,
        labels_and_tags.LABEL_SUBMISSION: submission_id,
        labels_and_tags.LABEL_RECORD: recorded,
    }
    return ContainerSpec(
        name=container_name(run_id),
        image=image.id,
        command=plan.command.line,
        environment={
            **base_environment(owner),
            **access.environment,
            **args.environment,
            "MLFLOW_RUN_ID": run_id,
            "MLFLOW_TRACKING_URI": access.uri,
            "MLFLOW_EXPERIMENT_ID": experiment_id,
        },
        labels=signed(
            {**args.labels, **labels_and_tags.NO_LABELS, **_labels(plan, image), **labels}
        ),
        mounts=without_nested(
            [*access.mounts, *(Mount(path, read_only=True) for path in plan.command.paths)]
        ),
        owner=owner,
        network=_network(args.network, access),
        groups=_groups(plan, host, access),
        args=_with_files_of_others(args, access, owner),
        entrypoint=entrypoint,
        stop_signal=config.stop_signal,
        stop_seconds=math.ceil(config.grace),
        python_path=image.python_path,
        leaves_mark=bool(starts_by) and not args.host_config.get("read_only"),
    )


def _with_files_of_others(args: DockerArgs, access: TrackingAccess, owner: Owner) -> DockerArgs:
    """For root and a store of another user, as in many containers and CI jobs."""
    folders = [mount.path for mount in access.mounts if not mount.read_only]
    if access.is_rootless or not needs_any_file(folders, owner.uid):
        return args
    added = [*args.host_config.get("cap_add", ()), "DAC_OVERRIDE"]
    return replace(args, host_config={**args.host_config, "cap_add": added})


def _check_store(plan: Plan, host: EngineHost, access: TrackingAccess) -> None:
    """Raise InvalidProject for a store whose folder has the engine's socket."""
    if not plan.config.allow_engine:
        where = f"The store '{without_credentials(plan.tracking_uri)}'"
        check_engine(where, [mount.path for mount in access.mounts], engine_sockets(host.url))


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


def _groups(plan: Plan, host: EngineHost, access: TrackingAccess) -> tuple[str | int, ...]:
    """The user's, for folders of this machine in the container; and those of the caller."""
    sockets = () if plan.config.allow_engine else engine_sockets(host.url)
    handed = access.mounts and plan.permissions.allow(Right.GROUPS)
    groups = groups_of_user(sockets) if handed else []
    return tuple(dict.fromkeys([*groups, *plan.docker_args.groups]))


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
