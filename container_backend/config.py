"""What a user may set for a run: the backend config, validated; unknown keys are refused."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from container_backend.errors import InvalidConfig
from container_backend.labels_and_tags import ENV_BASE_IMAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BASE_IMAGE = "python:{version}-slim"
DEFAULT_CONDA_BASE_IMAGE = "mambaorg/micromamba:2"
# Those that a program can take to mean that it is to stop.
SIGNALS = (
    "SIGTERM",
    "SIGINT",
    "SIGHUP",
    "SIGQUIT",
    "SIGUSR1",
    "SIGUSR2",
    "SIGABRT",
    "SIGALRM",
    "SIGKILL",
)
# The grammar of image references, with the digest; `name` may start with a registry's host.
# https://pkg.go.dev/github.com/distribution/reference#pkg-overview
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
SecretId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class SecretSource(BaseModel):
    """Where a secret comes from: a variable of this process, or a file of this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("either 'env' or 'file' is needed")
        return self

    def read(self, name: str, environ: Mapping[str, str] = os.environ) -> bytes:
        """The secret.

        Raises:
            InvalidConfig: There is no such variable, or the file cannot be read.
        """
        where = f"The backend config, key 'build_secrets.{name}'"
        if self.env is not None:
            if self.env not in environ:
                raise InvalidConfig(f"{where}: the variable {self.env} is not set.")
            return environ[self.env].encode()
        try:
            return Path(self.file or "").expanduser().read_bytes()
        except OSError as error:
            raise InvalidConfig(f"{where}: '{self.file}': {error.strerror}.") from error


class BackendConfig(BaseModel):
    """The backend config: ``-c FILE`` or JSON on the command line, ``backend_config`` in Python.

    Attributes:
        base_image: What environment images are built on; ``{version}`` is replaced by the
            Python version of the project. Default: ``CONTAINER_BACKEND_BASE_IMAGE``, or
            ``python:{version}-slim``.
        conda_base_image: The same for environments of conda packages; it needs ``micromamba``.
        pull: When the base image's registry is asked for it: when it is ``missing`` on the
            engine, ``always`` or ``never``.
        image_repository: Where environment images are looked for before they are built, e.g.
            ``registry.example/team/environments``.
        push: Whether images that were built are pushed there.
        rebuild: Whether the environment image is built although it is there.
        python_match: Whether a patch version in an environment file must match (``exact``), or
            its minor version is enough (``minor``).
        lock: A ``requirements.lock`` or ``pylock.toml`` to install instead of resolving what is
            declared; relative to the project's folder.
        template: A Jinja template whose blocks take the place of ours; relative to the project's
            folder, by default its ``Dockerfile.j2``.
        build_secrets: Id → ``{"env": NAME}`` or ``{"file": PATH}``, for the steps of a template.
        system_packages: Debian packages that are installed into the environment image.
        docker_args: Arguments of ``docker run``, as ``--docker-args`` takes them; a list where
            a flag is to be repeated.
        detach: Whether the call returns when the container has started.
        timeout: Seconds that the program may take; then it is stopped, and the run has failed.
        stop_signal: What a program is sent that is to stop.
        grace: Seconds that it has then, before SIGKILL.
        retries: How many times more it is tried when the engine or a registry fails.
        retry_program: Whether that is so, too, when the program itself fails.
        keep: Whether the container stays when the run has ended: ``never``, ``on-failure`` or
            ``always``.
        record_code: Whether the code goes to the run's artifacts: where no commit has it
            (``dirty``), ``always`` or ``never``.
        storage_dir: Where files of parameters of type ``path`` are downloaded to; a temporary
            folder by default, which goes with the run.
        trust_project: A fetched project may name folders, files and variables of this machine.
        allow_engine: Whether the program may use the Docker engine, which is as good as root.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_image: str = DEFAULT_BASE_IMAGE
    conda_base_image: str = DEFAULT_CONDA_BASE_IMAGE
    pull: Literal["missing", "always", "never"] = "missing"
    image_repository: str | None = None
    push: bool = False
    rebuild: bool = False
    python_match: Literal["exact", "minor"] = "exact"
    lock: str | None = None
    template: str | None = None
    build_secrets: dict[SecretId, SecretSource] = Field(default_factory=dict)
    system_packages: tuple[str, ...] = ()
    docker_args: dict[str, str | int | float | bool | list[str]] = Field(default_factory=dict)
    detach: bool = False
    timeout: float | None = Field(default=None, gt=0, le=10_000_000)
    stop_signal: str = "SIGTERM"
    grace: float = Field(default=10.0, ge=0, le=86_400)
    retries: int = Field(default=0, ge=0, le=100)
    retry_program: bool = False
    keep: Literal["never", "on-failure", "always"] = "never"
    record_code: Literal["dirty", "always", "never"] = "dirty"
    storage_dir: str | None = None
    trust_project: bool = False
    allow_engine: bool = False

    @field_validator("base_image", "conda_base_image")
    @classmethod
    def _is_image_reference(cls, value: str) -> str:
        if not is_image_reference(value.replace("{version}", "3.11")):
            raise ValueError(
                f"'{value}' is not an image reference; one looks like "
                "'python:3.11-slim' or 'registry.example:5000/team/python:{version}'"
            )
        return value

    @field_validator("stop_signal")
    @classmethod
    def _is_signal(cls, value: str) -> str:
        name = value.upper() if value.upper().startswith("SIG") else f"SIG{value.upper()}"
        if name not in SIGNALS:
            raise ValueError(f"'{value}' is not a signal; one looks like 'SIGINT'")
        return name

    @model_validator(mode="after")
    def _has_a_repository_to_push_to(self) -> BackendConfig:
        if self.image_repository is not None and not is_repository(self.image_repository):
            raise ValueError(
                f"'image_repository': '{self.image_repository}' is not the name of a repository; "
                "one looks like 'registry.example:5000/team/environments'"
            )
        if self.push and self.image_repository is None:
            raise ValueError("'push' needs an 'image_repository' to push to")
        return self


def is_repository(text: str) -> bool:
    """Whether a text is the name of a repository: a reference without tag and digest."""
    return is_image_reference(text) and "@" not in text and ":" not in text.rpartition("/")[2]


def is_image_reference(text: str) -> bool:
    """Whether a text is a well-formed image reference (``[host/]name[:tag][@digest]``)."""
    return _REFERENCE.fullmatch(text) is not None


def parse_config(
    values: Mapping[str, Any],
    *,
    source: str = "the backend config",
    environ: Mapping[str, str] = os.environ,
) -> BackendConfig:
    """Validate the keys and values of a backend config.

    Args:
        values: The keys as given; the caller's mapping is not changed.
        source: Where they came from, for messages.
        environ: Where defaults are looked up.

    Raises:
        InvalidConfig: An unknown key or a wrong value; all of them are named.
    """
    merged = dict(values)
    if (base_image := environ.get(ENV_BASE_IMAGE)) and "base_image" not in merged:
        merged["base_image"] = base_image
        source = f"{source} (base_image from the variable {ENV_BASE_IMAGE})"
    try:
        return BackendConfig.model_validate(merged)
    except ValidationError as error:
        problems = [_problem(dict(detail)) for detail in error.errors()]
        raise InvalidConfig(
            f"In {source}: " + "; ".join(problems) + ".",
            remedy=f"Known keys: {', '.join(sorted(BackendConfig.model_fields))}.",
        ) from error


def read_config(text: str) -> dict[str, Any]:
    """Read what ``-c`` was given: the name of a JSON file, or JSON itself.

    Raises:
        InvalidConfig: No such file, not JSON, or not an object.
    """
    if text.lstrip().startswith("{"):
        return _parse_json(text, "the backend config on the command line")
    try:
        content = Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(
            f"The backend config '{text}' cannot be read: {_os_reason(error)}.",
            remedy="Give the name of a JSON file, or a JSON object.",
        ) from error
    return _parse_json(content, f"the backend config '{text}'")


def _parse_json(text: str, source: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InvalidConfig(f"In {source}: not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise InvalidConfig(
            f"In {source}: an object ({{…}}) is needed, not {type(values).__name__}."
        )
    return values


def _os_reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not UTF-8 text"


def _problem(detail: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(the whole)"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, BackendConfig.model_fields, n=1)
        return f"unknown key '{key}'" + (f" (did you mean '{near[0]}'?)" if near else "")
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"key '{key}': {message}"
