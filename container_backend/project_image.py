"""A project on top of its environment: an image that runs without this package."""

from __future__ import annotations

import json
import logging
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import jinja2
from docker.errors import DockerException, ImageNotFound

from container_backend import names
from container_backend.build_failure import describe_failure
from container_backend.build_hints import hint_for
from container_backend.buildkit import BuildFailed, BuildRequest, build_image
from container_backend.code_layer import code_layer
from container_backend.engine import said_by, variables_in
from container_backend.errors import BuildError, InvalidEnvironment
from container_backend.image_build import lock_of
from container_backend.image_files import find_file
from container_backend.project_labels import ProjectImage, describe_to_runner, labels_of
from container_backend.remote_image import split_reference
from container_backend.runner_files import PROGRAM, runner_files
from container_backend.spec import DockerEnvironment, EnvironmentSpec
from container_backend.template import read_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.lock import Lock

_logger = logging.getLogger(__name__)

_TEMPLATE: Final = "Dockerfile.project.j2"
_COMPILE: Final = "compile_runner.py"
_RUNNER: Final = f"{names.RUNNER_DIRECTORY}/{PROGRAM}"
_PYTHON: Final = f"{names.ENVIRONMENT_DIRECTORY}/bin/python"
_INTERPRETERS: Final = ("python3", "python")
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Nobody's number on most systems; for who asks for none, by number for those who must not be root.
_USER: Final = "1000:1000"


def build_project_image(engine: Engine, wanted: ProjectImage) -> str:
    """Build the image; its name is on it only when all of it is there.

    Returns:
        Its id.

    Raises:
        BuildError: It could not be built.
        InvalidEnvironment: The project's own image has no Python, which the runner needs.
        InvalidProject: A file cannot be read.
    """
    inspected = engine.client.api.inspect_image(wanted.base.id)
    python = _python_of(engine, wanted, inspected)
    lock = _lock(engine, wanted)
    started = time.monotonic()
    description = json.dumps(describe_to_runner(wanted, lock), indent=1)
    with (
        _named(engine, wanted.base.id) as base,
        code_layer(wanted.project.directory, description) as layer,
    ):
        request = BuildRequest(
            context={
                "Dockerfile": _dockerfile(base, python, inspected).encode(),
                **{f"runner/{path}": content for path, content in runner_files().items()},
                "code.tar": layer,
            },
            tags=(wanted.tag,),
            labels=labels_of(wanted, lock, inspected),
            platform=wanted.platform,
        )
        try:
            built = build_image(engine.streams.api, engine.host, request)
        except BuildFailed as error:
            raise BuildError(
                describe_failure(error).replace("environment image", "project image"),
                remedy=hint_for(error),
            ) from error
        except (DockerException, OSError) as error:
            raise BuildError(
                f"The engine went away while an image was built: {said_by(error)}"
            ) from error
    size = f"{layer.size / 1e6:.1f} MB"
    _logger.info(
        "=== Built project image %s: %s of code on %s in %.1f s ===",
        wanted.tag, size, wanted.base.reference, time.monotonic() - started,
    )  # fmt: skip
    return built


@contextmanager
def _named(engine: Engine, image_id: str) -> Iterator[str]:
    """A name for an image while it is built on: BuildKit knows no ids, and names may move."""
    name = f"{names.UNFINISHED_REPOSITORY}:{uuid.uuid4().hex}"
    engine.client.api.tag(image_id, *split_reference(name))
    try:
        yield name
    finally:
        with suppress(DockerException, OSError):
            engine.client.api.remove_image(name, noprune=True)


def _dockerfile(base: str, python: str, inspected: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 a Dockerfile is not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    config = inspected.get("Config") or {}
    user = str(config.get("User") or "")
    return environment.from_string(read_template(_TEMPLATE)).render(
        base=base,
        python=python,
        code=names.CODE_DIRECTORY,
        runner=names.RUNNER_DIRECTORY,
        home=names.HOME_DIRECTORY,
        launcher=names.LAUNCHER_DIRECTORY,
        entrypoint=[*(config.get("Entrypoint") or []), python, "-I", "-S", _RUNNER],
        compile=read_template(_COMPILE),
        user=_USER if user.partition(":")[0] in {"", "0", "root"} else user,
    )


def _python_of(engine: Engine, wanted: ProjectImage, inspected: Mapping[str, Any]) -> str:
    """Where the interpreter is that the runner takes."""
    if isinstance(wanted.environment, EnvironmentSpec):
        return _PYTHON
    folders = variables_in(inspected).get("PATH", _DEFAULT_PATH).split(":")
    paths = [f"{folder}/{name}" for name in _INTERPRETERS for folder in folders if folder]
    if (found := find_file(engine, wanted.base.id, paths)) is not None:
        return found
    raise InvalidEnvironment(
        f"{wanted.environment.where}: the image '{wanted.environment.image}' has no Python, which "
        "a project image needs to read its command line.",
        remedy="Take an image with Python 3.8 or newer.",
    )


def _lock(engine: Engine, wanted: ProjectImage) -> Lock | None:
    if isinstance(wanted.environment, DockerEnvironment):
        return None
    try:
        return lock_of(engine, wanted.base.id)
    except ImageNotFound as error:
        raise BuildError("The environment image was removed meanwhile.") from error
