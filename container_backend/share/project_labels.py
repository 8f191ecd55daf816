"""The description of a project image: a file for its runner, labels for everyone. Pure."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.engine import labels_in
from container_backend.environment import DockerEnvironment, EnvironmentSpec
from container_backend.image import tag_of
from container_backend.machine import __version__
from container_backend.project import as_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.environment import Lock
    from container_backend.image import EnvironmentImage
    from container_backend.project import Project
    from container_backend.share.revision import Revision

_DATABASE: Final = f"sqlite:///{labels_and_tags.RESULTS_DIRECTORY}/mlflow.db"
_FOLDER: Final = f"file://{labels_and_tags.RESULTS_DIRECTORY}"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
# Annotations that a base image may have and that do not hold for the project image:
# https://github.com/opencontainers/image-spec/blob/main/annotations.md
_OCI_OF_BASE: Final = (
    "title", "description", "version", "revision", "source", "url", "documentation", "licenses",
    "authors", "vendor", "ref.name",
)  # fmt: skip


@dataclass(frozen=True)
class ProjectImage:
    """A project image to build.

    Attributes:
        tag: The name of the image.
        project: The project with only the entry points of this image.
        base: The environment image, on the engine.
        platform: ``os/architecture``, or None for the engine's.
    """

    tag: str
    project: Project
    environment: EnvironmentSpec | DockerEnvironment
    base: EnvironmentImage
    revision: Revision
    code_digest: str
    platform: str | None


def describe_to_runner(wanted: ProjectImage, lock: Lock | None) -> dict[str, Any]:
    """The description that the runner reads at each start."""
    project, environment = wanted.project, wanted.environment
    expects: list[str] = []
    variables: dict[str, str] = {}
    if isinstance(environment, DockerEnvironment):
        expects = [f"--volume {volume}" for volume in environment.volumes]
        expects += [f"--env {name}" for name in environment.variables if "=" not in name]
        pairs = (pair.partition("=") for pair in environment.variables if "=" in pair)
        variables = {name: value for name, _, value in pairs}
    tags = {
        labels_and_tags.TAG_IMAGE: wanted.tag,
        labels_and_tags.TAG_ENVIRONMENT_HASH: wanted.base.hash,
        labels_and_tags.MLFLOW_GIT_COMMIT: wanted.revision.commit.removesuffix("-dirty"),
        labels_and_tags.MLFLOW_GIT_ADDRESS: wanted.revision.source,
    }
    return {
        "project": as_mapping(project),
        "code": labels_and_tags.CODE_DIRECTORY,
        "file": project.file.name if project.file else "",
        "image": wanted.tag,
        "store": _store(lock),
        "variables": variables,
        "expects": expects,
        "tags": {name: value for name, value in tags.items() if value},
    }


def _store(lock: Lock | None) -> str:
    """The store to use without MLFLOW_TRACKING_URI: one that the MLflow of the image can write."""
    if lock is None:
        return _DATABASE
    packages = {match[0].lower() for name in lock.packages if (match := _NAME.match(name))}
    if "mlflow" in packages or {"mlflow-skinny", "sqlalchemy"} <= packages:
        return _DATABASE
    return _FOLDER if "mlflow-skinny" in packages else ""


def labels_of(
    wanted: ProjectImage, lock: Lock | None, inspected: Mapping[str, Any]
) -> dict[str, str]:
    """All labels of a project image; labels that describe only its base image are emptied."""
    mlproject = as_mapping(wanted.project)
    if isinstance(wanted.environment, DockerEnvironment):
        mlproject["docker_env"] = {
            "image": wanted.environment.image,
            "environment": [
                name if "=" not in name else list(name.partition("=")[::2])
                for name in wanted.environment.variables
            ],
        }
    of_base = labels_in(inspected)
    emptied = {
        f"{labels_and_tags.OCI}{name}": ""
        for name in _OCI_OF_BASE
        if of_base.get(f"{labels_and_tags.OCI}{name}")
    }
    revision = wanted.revision
    labels = {
        f"{labels_and_tags.OCI}title": _title(wanted.project),
        f"{labels_and_tags.OCI}version": tag_of(wanted.tag),
        f"{labels_and_tags.OCI}created": _now(),
        f"{labels_and_tags.OCI}revision": revision.commit,
        f"{labels_and_tags.OCI}source": revision.source,
        f"{labels_and_tags.OCI}licenses": revision.licence,
        f"{labels_and_tags.OCI}base.name": wanted.base.reference,
        labels_and_tags.LABEL_MLPROJECT: json.dumps(mlproject),
        labels_and_tags.LABEL_OF_ENVIRONMENT: wanted.base.hash,
        labels_and_tags.LABEL_CODE_DIGEST: wanted.code_digest,
        labels_and_tags.LABEL_PACKAGES: str(len(lock.packages)) if lock else "",
        labels_and_tags.LABEL_PROJECT: _title(wanted.project),
        labels_and_tags.LABEL_VERSION: __version__,
    }
    # An image with this label is taken for an environment image.
    emptied[labels_and_tags.LABEL_ENVIRONMENT_HASH] = ""
    return emptied | {name: value for name, value in labels.items() if value}


def _title(project: Project) -> str:
    return project.name or project.directory.name


def _now() -> str:
    """The current time by RFC 3339, or that of SOURCE_DATE_EPOCH.

    https://reproducible-builds.org/docs/source-date-epoch/
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = int(epoch) if epoch.isdecimal() else int(time.time())
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
