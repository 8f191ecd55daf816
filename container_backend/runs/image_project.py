"""``docker://…``: a project that is an image. Its code is in there, its entry points are in a label."""

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
    ImageFacts,
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
        address: ``docker://…`` with the digest, where it has one: the same image for ever.
        project: With an empty folder in place of its files.
        environment: What a run of it needs beside the image.
        image: The image itself.
        code_digest: Of the project's files in it; empty where it does not say so.
        base_digest: Of what its environment was built on; empty where that is not known.
    """

    address: str
    project: Project
    environment: DockerEnvironment
    image: ReadyImage
    code_digest: str
    base_digest: str


def open_image(engine: Engine, submission: Submission, needed: ExitStack) -> ImageProject:
    """The project of an image, which is pulled where it is not on the engine.

    Args:
        submission: Which image; ``pull`` of its config says when its registry is asked.
        needed: Removes what is made for it when it is closed.

    Raises:
        InvalidInput: The address is none, or the image is not a project.
        ImageUnavailable: The image is nowhere to be had.
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
    return ImageProject(
        address=_pinned(reference, facts),
        project=project,
        environment=_environment(project, reference),
        image=ReadyImage(reference, found=image, entrypoint=facts.base_entrypoint),
        code_digest=facts.labels.get(LABEL_CODE_DIGEST, ""),
        base_digest=facts.base_digest,
    )


def _pinned(reference: str, facts: ImageFacts) -> str:
    pinned = reference if "@" in reference or not facts.digest else f"{reference}@{facts.digest}"
    return f"{IMAGE_SCHEME}{pinned}"


def _environment(project: Project, reference: str) -> DockerEnvironment:
    """The variables that the project's ``docker_env`` names; folders of machines are not among it."""
    said = project.environment.get("docker_env")
    variables = said.get("environment") if isinstance(said, dict) else None
    return read_docker_env(
        f"{project.where}, key 'docker_env'", {"image": reference, "environment": variables}
    )
