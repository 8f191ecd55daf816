"""The facts about an image of this package, from its labels."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.config import is_image_reference
from container_backend.engine import connect, labels_in
from container_backend.environment import ENVIRONMENT_KEYS
from container_backend.errors import InvalidConfig, InvalidInput, InvalidProject
from container_backend.image.build import container_to_read, lock_of
from container_backend.image.ready import have
from container_backend.image.registry import IMAGE_SCHEME, registry_digest
from container_backend.labels_and_tags import RUNNER_PROGRAM
from container_backend.machine import count_of, harmless, human_size
from container_backend.project import Project, entry_point_lines, parse_project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.engine import Engine

PROJECT: Final = "project"
ENVIRONMENT: Final = "environment"
_NOWHERE: Final = Path("/")
_RUNNER: Final = f"{labels_and_tags.RUNNER_DIRECTORY}/{RUNNER_PROGRAM}"
# `PYTHON -I -S RUNNER` at the end of an image's entry point.
_RUNNER_WORDS: Final = 4


@dataclass(frozen=True)
class ImageFacts:
    """The facts about an image that this package made.

    Attributes:
        image: The name that the caller used.
        id: ``sha256:…`` of the configuration.
        digest: The digest in a registry; empty for an image that was in none.
        kind: ``project`` or ``environment``.
        mlproject: Name and entry points in the form of an MLproject file.
        environment_hash: Empty for an image that was not built from an environment.
        packages: Number of packages; None if unknown.
        platform: ``os/architecture``.
        size: In bytes; None if only the registry was asked.
    """

    image: str
    id: str
    digest: str
    kind: str
    project: str
    mlproject: Mapping[str, Any]
    environment_hash: str
    python: str
    packages: int | None
    base_image: str
    base_digest: str
    platform: str
    size: int | None
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...] = field(default=(), repr=False)

    @property
    def base_entrypoint(self) -> tuple[str, ...]:
        """The words of the entry point before those of the runner."""
        is_ours = len(self.entrypoint) >= _RUNNER_WORDS and self.entrypoint[-1] == _RUNNER
        return self.entrypoint[:-_RUNNER_WORDS] if is_ours else self.entrypoint

    def as_json(self) -> dict[str, Any]:
        """The output of ``--json``."""
        return asdict(self)

    def as_text(self) -> str:
        """A table for people."""
        label = (self.labels if self.kind == PROJECT else {}).get
        rows = [
            ("image", self.image),
            ("kind", self.kind),
            ("project", self.project),
            ("version", label(f"{labels_and_tags.OCI}version")),
            ("revision", label(f"{labels_and_tags.OCI}revision")),
            ("source", label(f"{labels_and_tags.OCI}source")),
            ("licences", label(f"{labels_and_tags.OCI}licenses")),
            ("created", label(f"{labels_and_tags.OCI}created")),
            ("digest", self.digest),
            ("platform", self.platform),
            ("size", "" if self.size is None else human_size(self.size)),
            ("environment", self.environment_hash),
            ("python", self.python),
            ("packages", "" if self.packages is None else str(self.packages)),
            ("base", " ".join(filter(None, [self.base_image, self.base_digest]))),
        ]
        lines = [f"{name + ':':<13}{harmless(text)}" for name, text in rows if text]
        if self.kind == PROJECT:
            entry_points = _project(self.mlproject, _NOWHERE, self.image).entry_points
            lines.append("entry points:")
            lines += [harmless(line) for line in entry_point_lines(entry_points.values())]
        return "\n".join(lines)


def read_image(image: str, inspected: Mapping[str, Any]) -> ImageFacts:
    """Read the engine's description of an image.

    Raises:
        InvalidInput: This package did not make the image, or its labels are invalid.
    """
    config = inspected.get("Config") or {}
    labels = {str(name): str(value) for name, value in labels_in(inspected).items()}
    kind = kind_of_image(labels)
    if not kind:
        raise InvalidInput(
            f"The image '{image}' was not made by container-backend: it has no label "
            f"'{labels_and_tags.LABEL_MLPROJECT}' or '{labels_and_tags.LABEL_ENVIRONMENT_HASH}'.",
            remedy="Make the image of a project with `container-backend build URI -t NAME`.",
        )
    mlproject = _mlproject(image, labels) if kind == PROJECT else {}
    return ImageFacts(
        image=image,
        id=str(inspected.get("Id", "")),
        digest=registry_digest(image, inspected),
        kind=kind,
        project=labels.get(labels_and_tags.LABEL_PROJECT, "") if kind == PROJECT else "",
        mlproject=mlproject,
        environment_hash=labels.get(labels_and_tags.LABEL_OF_ENVIRONMENT, "")
        if kind == PROJECT
        else labels[labels_and_tags.LABEL_ENVIRONMENT_HASH],
        python=labels.get(labels_and_tags.LABEL_PYTHON, ""),
        packages=count_of(labels.get(labels_and_tags.LABEL_PACKAGES)),
        base_image=labels.get(labels_and_tags.LABEL_BASE_IMAGE, ""),
        base_digest=labels.get(labels_and_tags.LABEL_BASE_DIGEST, ""),
        platform=f"{inspected.get('Os', 'linux')}/{inspected.get('Architecture', '')}",
        size=inspected.get("Size"),
        labels=labels,
        entrypoint=tuple(config.get("Entrypoint") or ()),
    )


def kind_of_image(labels: Mapping[str, str]) -> str:
    """``project`` or ``environment``; empty for an image that this package did not make."""
    if labels.get(labels_and_tags.LABEL_MLPROJECT):
        return PROJECT
    return ENVIRONMENT if labels.get(labels_and_tags.LABEL_ENVIRONMENT_HASH) else ""


def project_of(facts: ImageFacts, directory: Path) -> Project:
    """The project in an image; ``directory`` is an empty folder instead of the project's.

    Raises:
        InvalidProject: The image is an environment, or its labels are no valid MLproject file.
    """
    if facts.kind != PROJECT:
        raise InvalidProject(
            f"The image '{facts.image}' is an environment; there is no project in it.",
            remedy="Make the image of a project with `container-backend build URI -t NAME`.",
        )
    return _project(facts.mlproject, directory, f"docker://{facts.image}")


def _mlproject(image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = json.loads(labels[labels_and_tags.LABEL_MLPROJECT])
    except (ValueError, RecursionError) as error:
        raise InvalidProject(
            f"The image '{image}', label '{labels_and_tags.LABEL_MLPROJECT}': not JSON: {error}."
        ) from error
    if not isinstance(content, dict):
        raise InvalidProject(
            f"The image '{image}', label '{labels_and_tags.LABEL_MLPROJECT}': an object is needed."
        )
    _project(content, _NOWHERE, f"docker://{image}")  # raises if the content is invalid
    return content


def _project(content: Mapping[str, Any], directory: Path, address: str) -> Project:
    return parse_project(content, directory, None, ENVIRONMENT_KEYS, address)


def inspect_image(image: str) -> ImageFacts:
    """The facts about an image; an image that is not on the engine is pulled.

    Args:
        image: An image reference, with or without ``docker://``.

    Raises:
        InvalidConfig: The reference is invalid.
        InvalidInput: This package did not make the image.
        ImageUnavailable: The image cannot be pulled.
    """
    reference = image.removeprefix(IMAGE_SCHEME)
    if not is_image_reference(reference):
        raise InvalidConfig(
            f"'{image}' is not the name of an image.",
            remedy="One looks like 'registry.example:5000/team/salary:1.0'.",
        )
    with closing(connect()) as engine:
        facts = read_image(reference, have(engine, reference))
        if facts.kind == ENVIRONMENT:
            lock = lock_of(engine, facts.id)
            facts = replace(facts, packages=len(lock.packages) if lock else None)
        return facts


def find_file(engine: Engine, image: str, paths: Sequence[str]) -> str | None:
    """The first of the paths that exists in an image; None for none."""
    with container_to_read(engine, image) as container:
        return next((path for path in paths if engine.containers.has_path(container, path)), None)
