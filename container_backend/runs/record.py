"""The record of a run: its tags, and ``record/run.json`` among its artifacts, to repeat it.

The record has no secrets: of variables that may hold one, only the names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, ValidationError

from container_backend import labels_and_tags
from container_backend.container import parse_docker_args
from container_backend.image import BaseImage, ImagePlan
from container_backend.machine import FrozenModel, __version__, digest_of, is_signature, sign
from container_backend.masking import is_secret, secrets_in, without_credentials
from container_backend.project import RecordedCode, is_address, local_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.engine import EngineHost
    from container_backend.image import EnvironmentImage
    from container_backend.runs.plan import Plan

# Changes when older records can no longer be read.
SCHEMA_VERSION: Final = 1
# Settings that say how a run goes, not what its environment is.
_CONFIG: Final = (
    "timeout", "stop_signal", "grace", "retries", "retry_program", "keep", "record_code",
    "system_metrics", "image_repository", "build_secrets", "trust_project", "allow_engine",
)  # fmt: skip
# Docker arguments whose meaning depends on place and time.
_RESOLVED: Final = frozenset({"env", "e", "env-file", "mount", "volume", "v"})
# The folder of the project's own files in the build context.
PROJECT_FILES: Final = "project/"


class RecordedEnvironment(FrozenModel):
    """What the image was built from, without the files of the build context.

    Attributes:
        tag: The name of the image.
        platform: ``os/architecture``.
        is_locked: The build made a lock.
        indexes: Addresses of package indexes, for their logins.
        project_files: Path → sha256 of the project's own files in the build context.
    """

    hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    tag: str
    python: str
    platform: str
    is_locked: bool
    base: BaseImage
    indexes: dict[str, Any] = Field(default_factory=dict)
    project_files: dict[str, str] = Field(default_factory=dict)


class Recorded(FrozenModel):
    """A run as it was requested.

    Attributes:
        version: Of this package.
        source: The project's address or absolute folder, without credentials.
        parameters: As given, with absolute paths.
        config: Settings that say how a run goes.
        build_image: The code was put into the image.
        environment: None for an image that was not built here.
        signature: Of the run and the places of its code.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    version: str = __version__
    source: str
    entry_point: str
    parameters: dict[str, str]
    docker_args: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] = Field(default_factory=dict)
    build_image: bool = False
    code: RecordedCode
    environment: RecordedEnvironment | None = None
    signature: str = ""

    def is_signed(self, run_id: str) -> bool:
        """True if a process of this user says where the code of a run is.

        A program can write any record, and copy that of another run.
        """
        return is_signature(self._places(run_id), self.signature)

    def with_signature(self, run_id: str) -> Recorded:
        return self.model_copy(update={"signature": sign(self._places(run_id))})

    def _places(self, run_id: str) -> str:
        code = self.code
        places = (self.source, code.repository, code.commit, code.subdirectory, code.digest)
        return json.dumps([run_id, *places])

    def as_json(self) -> str:
        return f"{self.model_dump_json(indent=2)}\n"


def read_recorded(text: str) -> Recorded:
    """The reverse of :meth:`Recorded.as_json`. Raises ``ValueError``."""
    try:
        return Recorded.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"{where}: {first['msg']}") from error


def describe_run(plan: Plan, code: RecordedCode) -> Recorded:
    return Recorded(
        source=_source(plan.uri),
        entry_point=plan.entry_point.name,
        parameters=_parameters(plan),
        docker_args=_docker_args(plan.given_docker_args),
        config=plan.config.model_dump(mode="json", include=set(_CONFIG), exclude_defaults=True),
        build_image=plan.build_image,
        code=code,
        environment=_environment(plan.image) if isinstance(plan.image, ImagePlan) else None,
    )


def _source(uri: str) -> str:
    """Relative folders are relative to the folder in which the run was started."""
    location, sign, subdirectory = uri.partition("#")
    if "://" not in location and Path(location).exists():
        return f"{Path(location).absolute()}{sign}{subdirectory}"
    return without_credentials(uri)


def _parameters(plan: Plan) -> dict[str, str]:
    """Relative paths are relative to the folder in which the run was started."""
    found = {}
    for name, value in plan.parameters.items():
        parameter = plan.entry_point.parameters.get(str(name))
        is_path = parameter is not None and parameter.type == "path" and not is_address(str(value))
        found[str(name)] = str(local_path(str(value))) if is_path else str(value)
    return found


def _docker_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """With absolute paths and the variables of files.

    Of a variable only the name, unless the value was typed and is no secret.
    """
    kept, resolved = absolute_args(given), parse_docker_args(given)
    if resolved.environment:
        kept["env"] = [
            name
            if name in resolved.unwritten or is_secret(name) or secrets_in({name: value})
            else f"{name}={value}"
            for name, value in sorted(resolved.environment.items())
        ]
    return kept


def absolute_args(given: Mapping[str, Any]) -> dict[str, Any]:
    """Docker arguments without variables, which mean the same to a process in another folder."""
    kept = {name: value for name, value in given.items() if name.lstrip("-") not in _RESOLVED}
    resolved = parse_docker_args(given)
    if resolved.binds:
        kept["volume"] = resolved.binds
    if mounts := resolved.host_config.get("mounts"):
        kept["mount"] = [
            f"type={each['Type']},source={each['Source']},target={each['Target']}"
            + (",readonly" if each["ReadOnly"] else "")
            for each in mounts
        ]
    return kept


def _environment(image: ImagePlan) -> RecordedEnvironment:
    indexes = image.indexes
    return RecordedEnvironment(
        hash=image.recorded_hash or image.hash,
        tag=image.tag,
        python=image.python,
        platform=image.platform,
        is_locked=image.is_locked,
        base=image.base,
        indexes={
            "default": indexes.default,
            "extra": list(indexes.extra),
            "find_links": list(indexes.find_links),
            "trusted_hosts": list(indexes.trusted_hosts),
        },
        project_files={
            path.removeprefix(PROJECT_FILES): digest_of(content)
            for path, content in image.context.items()
            if path.startswith(PROJECT_FILES)
        },
    )


def run_tags(plan: Plan) -> dict[str, str]:
    """The tags at the creation of a run."""
    tags = {labels_and_tags.MLFLOW_ENVIRONMENT: "docker", labels_and_tags.MLFLOW_BACKEND: "docker"}
    recorded = plan.image.recorded_hash if isinstance(plan.image, ImagePlan) else ""
    if known := recorded or plan.image.hash:
        tags[labels_and_tags.TAG_ENVIRONMENT_HASH] = known
    if plan.image_project is not None:
        tags[labels_and_tags.TAG_BASE_DIGEST] = plan.image_project.base_digest
    if plan.step is not None:
        tags |= plan.step.tags
    if (repeated := plan.repetition) is not None:
        tags |= {**repeated.tags, labels_and_tags.TAG_RERUN_OF: repeated.run_id}
    return tags


def image_tags(host: EngineHost, image: EnvironmentImage, code_digest: str) -> dict[str, str]:
    """The tags of the image and its engine. The first two are those of MLflow's own docker backend."""
    tags = {
        labels_and_tags.MLFLOW_IMAGE_NAME: image.reference,
        labels_and_tags.MLFLOW_IMAGE_ID: image.id,
        labels_and_tags.TAG_IMAGE: image.reference,
        labels_and_tags.TAG_IMAGE_DIGEST: image.digest,
        labels_and_tags.TAG_ENGINE: without_credentials(host.url),
        labels_and_tags.TAG_CODE_DIGEST: code_digest,
    }
    if image.repository_digest:
        tags[labels_and_tags.TAG_REPOSITORY_DIGEST] = image.repository_digest
    return tags
