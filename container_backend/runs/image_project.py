"""``docker://…``: a project that is an image, with the code in it and entry points in a label."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.environment import read_docker_env
from container_backend.errors import InvalidConfig
from container_backend.image import (
    IMAGE_SCHEME,
    EnvironmentImage,
    ReadyImage,
    have,
    project_of,
    python_path_of,
    read_image,
    reference_of,
)
from container_backend.labels_and_tags import LABEL_CODE_DIGEST, TEMPORARY_PREFIX

if TYPE_CHECKING:
    from contextlib import ExitStack

    from container_backend.engine import Engine
    from container_backend.environment import DockerEnvironment
    from container_backend.project import Project
    from container_backend.runs.submission import Submission


@dataclass(frozen=True)
class ImageProject:
    """A project image on an engine.

    Attributes:
        address: ``docker://…``, with the digest if the image has one.
        project: With an empty folder instead of files.
        environment: What a run needs beside the image.
        code_digest: Of the project's files in the image; empty if not known.
        base_digest: Of the base image of the environment; empty if not known.
    """

    address: str
    project: Project
    environment: DockerEnvironment
    image: ReadyImage
    code_digest: str
    base_digest: str


def open_image(engine: Engine, submission: Submission, needed: ExitStack) -> ImageProject:
    """The project of an image, which is pulled if it is missing or the config's ``pull`` says so.

    Raises:
        InvalidInput: The address is malformed, or the image has no project.
        ImageUnavailable: The image was not found.
    """
    reference = reference_of(submission.uri)
    if submission.version is not None:
        raise InvalidConfig(
            f"{submission.uri}: the version of an image is its tag, not '{submission.version}'."
        )
    inspected = have(engine, reference, submission.docker_auth, pull=submission.config.pull)
    facts = read_image(reference, inspected)
    folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)).resolve()
    needed.callback(shutil.rmtree, folder, ignore_errors=True)
    project = project_of(facts, folder)
    image = EnvironmentImage(
        reference,
        facts.id,
        facts.digest or facts.id,
        facts.environment_hash,
        python_path=python_path_of(inspected),
    )
    pinned = reference if "@" in reference or not facts.digest else f"{reference}@{facts.digest}"
    return ImageProject(
        address=f"{IMAGE_SCHEME}{pinned}",
        project=project,
        environment=_environment(project, reference),
        image=ReadyImage(reference, found=image, entrypoint=facts.base_entrypoint),
        code_digest=facts.labels.get(LABEL_CODE_DIGEST, ""),
        base_digest=facts.base_digest,
    )


def _environment(project: Project, reference: str) -> DockerEnvironment:
    """The variables of the project's ``docker_env``, without its folders of a machine."""
    said = project.environment.get("docker_env")
    variables = said.get("environment") if isinstance(said, dict) else None
    return read_docker_env(
        f"{project.where}, key 'docker_env'", {"image": reference, "environment": variables}
    )
