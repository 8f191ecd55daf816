"""The backend config: the settings of a run, validated. Unknown keys are refused."""

from __future__ import annotations

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
from container_backend.machine import did_you_mean, end_of_day

if TYPE_CHECKING:
    from collections.abc import Mapping

# The value of `exclude_newer` for the day of the project's commit.
OF_COMMIT = "commit"
# The value of `system_packages`, or one of them, for libraries that packages lack.
AUTO = "auto"
_DEFAULT_BASES = {
    "base_image": "python:{version}-slim",
    "conda_base_image": "mambaorg/micromamba:2",
}
# Keys of a mapping of base images: a version of Python, or all others.
_OTHERS = "*"
_BASE_KEY = re.compile(r"3\.\d+(\.\d+)?|\*", re.ASCII)
# Signals that a program can understand as a request to stop.
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
# The grammar of image references: `[host/]name[:tag][@digest]`.
# https://pkg.go.dev/github.com/distribution/reference#pkg-overview
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_NOT_OF_STEPS = frozenset(
    {"detach", "docker_args", "lock", "rebuild", "storage_dir", "template", "timeout"}
)
SecretId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class SecretSource(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("either 'env' or 'file' is needed")
        return self

    def read(self, name: str, environ: Mapping[str, str] = os.environ) -> bytes:
        """Raises InvalidConfig if the variable is not set or the file cannot be read."""
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
        base_image: The base of environment images; ``{version}`` is the Python version of the
            project. Or images by version: ``{"3.8": IMAGE, "*": IMAGE}``. Default: ``CONTAINER_BACKEND_BASE_IMAGE``, or ``python:{version}-slim``.
        conda_base_image: The same for environments of conda packages; needs ``micromamba``.
        pull: Pull the base image if the engine does not have it (``missing``), ``always`` or
            ``never``.
        image_repository: Look here for an environment image before building it, e.g.
            ``registry.example/team/environments``.
        rebuild: Build the environment image even if it exists.
        python_match: A patch version in an environment file must match (``exact``), or only its
            minor version (``minor``).
        python_source: The Python is that of the ``base`` image, or uv fetches it (``uv``).
        lock: A ``requirements.lock`` or ``pylock.toml`` to install instead of resolving the
            declared packages; relative to the project's folder.
        exclude_newer: Resolve as of a day: only files that were uploaded until then count. A date
            (UTC), an RFC 3339 time, or ``commit`` for the day of the project's commit.
        template: A Jinja template that replaces blocks of the Dockerfile; relative to the
            project's folder, by default its ``Dockerfile.j2``.
        build_secrets: Id → ``{"env": NAME}`` or ``{"file": PATH}``, for the steps of a template.
        docker_args: Arguments of ``docker run``, as ``--docker-args`` takes them; a list for a
            repeated flag.
        detach: Return when the container has started.
        timeout: Seconds before the program is stopped and the run fails.
        grace: Seconds between ``stop_signal`` and SIGKILL.
        retries: How often to retry after the engine or a registry failed.
        retry_program: Retry also after the program failed.
        keep: Keep the container after the run: ``never``, ``on-failure`` or ``always``.
        record_code: Store the code in the run's artifacts if no commit has it (``dirty``),
            ``always`` or ``never``.
        system_metrics: Whether CPU, memory, disk, network and GPUs are measured while the program runs.
        storage_dir: Folder for the downloads of ``path`` parameters; by default a temporary
            folder that is removed with the run.
        privileges: What the program may do: ``default``, ``strict`` (also without any network) or
            ``trusted`` (``trust_project``, with Docker's own capabilities and without limits).
        trust_project: The files of the project may name folders, files and variables of this
            machine; a fetched project may do what one of the user's folders may.
        allow_engine: The program may use the Docker engine, which is as good as root.
        tracking: How the program reaches its store: by the tracking ``proxy``, or ``direct``, with
            the login of the user. By default by the proxy if the store is on this machine's disk or
            the project was fetched.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_image: str | dict[str, str] = _DEFAULT_BASES["base_image"]
    conda_base_image: str | dict[str, str] = _DEFAULT_BASES["conda_base_image"]
    pull: Literal["missing", "always", "never"] = "missing"
    image_repository: str | None = None
    push: bool = False
    rebuild: bool = False
    python_match: Literal["exact", "minor"] = "exact"
    python_source: Literal["base", "uv"] = "base"
    lock: str | None = None
    exclude_newer: str | None = None
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
    system_metrics: bool = True
    storage_dir: str | None = None
    privileges: Literal["default", "strict", "trusted"] = "default"
    trust_project: bool = False
    allow_engine: bool = False
    tracking: Literal["proxy", "direct"] | None = None

    @field_validator("base_image", "conda_base_image", mode="before")
    @classmethod
    def _are_image_references(cls, value: object) -> object:
        for key, image in (value if isinstance(value, dict) else {_OTHERS: value}).items():
            if not isinstance(key, str) or not _BASE_KEY.fullmatch(key):
                raise ValueError(f"'{key}' is neither a version like '3.8' nor '{_OTHERS}'")
            if not isinstance(image, str) or not is_image_reference(
                image.replace("{version}", "3.11")
            ):
                raise ValueError(
                    f"'{image}' is not an image reference; one looks like "
                    "'python:3.11-slim' or 'registry.example:5000/team/python:{version}'"
                )
        return value

    @field_validator("system_packages", mode="before")
    @classmethod
    def _is_list_or_auto(cls, value: object) -> object:
        return (AUTO,) if value == AUTO else value

    @field_validator("exclude_newer")
    @classmethod
    def _is_day(cls, value: str | None) -> str | None:
        if value in {None, OF_COMMIT}:
            return value
        try:
            return end_of_day(value)
        except ValueError as error:
            raise ValueError(
                f"'{value}' is neither a date like '2023-05-01', nor a time like "
                f"'2023-05-01T12:00:00Z', nor '{OF_COMMIT}'"
            ) from error

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

    def of_step(self) -> BackendConfig:
        """The settings of a step: those of its driver, but what is about the project or the run of that."""
        own = {name: value for name, value in self if name not in _NOT_OF_STEPS}
        return BackendConfig.model_construct(**own)


def base_of(config: BackendConfig, key: str, python: str) -> str:
    """The reference of the base image of a Python version.

    Args:
        key: ``base_image`` or ``conda_base_image``.
        python: ``3.8`` or ``3.8.10``.
    """
    named: str | dict[str, str] = getattr(config, key)
    if not isinstance(named, str):
        minor = ".".join(python.split(".")[:2])
        keys = (python, minor, _OTHERS)
        named = next((named[each] for each in keys if each in named), _DEFAULT_BASES[key])
    return named.replace("{version}", python)


def is_repository(text: str) -> bool:
    """True for an image reference without tag and digest."""
    return is_image_reference(text) and "@" not in text and ":" not in text.rpartition("/")[2]


def is_image_reference(text: str) -> bool:
    """True for ``[host/]name[:tag][@digest]``."""
    return _REFERENCE.fullmatch(text) is not None


def parse_config(
    values: Mapping[str, Any], *, environ: Mapping[str, str] = os.environ
) -> BackendConfig:
    """Validate a backend config, with a default base image from the environment.

    Raises:
        InvalidConfig: The message names all unknown keys and wrong values.
    """
    merged = dict(values)
    source = "the backend config"
    given = merged.get("base_image", {})
    if (base_image := environ.get(ENV_BASE_IMAGE)) and isinstance(given, dict):
        merged["base_image"] = {_OTHERS: base_image, **given} if given else base_image
        source += f" (base_image from the variable {ENV_BASE_IMAGE})"
    try:
        return BackendConfig.model_validate(merged)
    except ValidationError as error:
        problems = [_problem(dict(detail)) for detail in error.errors()]
        raise InvalidConfig(
            f"In {source}: " + "; ".join(problems) + ".",
            remedy=f"Known keys: {', '.join(sorted(BackendConfig.model_fields))}.",
        ) from error


def read_config(text: str) -> dict[str, Any]:
    """Read the value of ``-c``: a JSON object, or the name of a file that contains one."""
    source, content = "the backend config on the command line", text
    if not text.lstrip().startswith("{"):
        source = f"the backend config '{text}'"
        try:
            content = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise InvalidConfig(
                f"The backend config '{text}' cannot be read: {reason}.",
                remedy="Give the name of a JSON file, or a JSON object.",
            ) from error
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"In {source}: not JSON: {error}.") from error
    if not isinstance(values, dict):
        raise InvalidConfig(
            f"In {source}: an object ({{…}}) is needed, not {type(values).__name__}."
        )
    return values


def _problem(detail: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(all)"
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{key}'{did_you_mean(key, BackendConfig.model_fields)}"
    message = str(detail["msg"]).removeprefix("Value error, ")
    return f"key '{key}': {message}"
