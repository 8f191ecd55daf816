"""A project on top of its environment: an image that runs without this package."""

from __future__ import annotations

import io
import json
import logging
import re
import tarfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import jinja2

from container_backend import labels_and_tags
from container_backend.engine import variables_in
from container_backend.environment import DockerEnvironment, EnvironmentSpec
from container_backend.errors import BuildError, EngineError, InvalidEnvironment, NotThere
from container_backend.image import (
    BuildFailed,
    BuildRequest,
    build_image,
    build_on,
    describe_failure,
    find_file,
    hint_for,
    lock_of,
    temporary_name,
    unfinished_name,
)
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    LABEL_ENVIRONMENT_HASH,
    RESULTS_DIRECTORY,
    RUNNER_DIRECTORY,
    RUNNER_PROGRAM,
)
from container_backend.machine import ONE_TIME, harmless, read_template
from container_backend.project import (
    ANYBODY,
    FOR_EVERYBODY,
    ROOT,
    add_launcher,
    add_parents,
    add_text,
    archive_of,
    folder_entry,
)
from container_backend.share.project_labels import ProjectImage, describe_to_runner, labels_of
from container_backend.share.runner.main import DESCRIPTION
from container_backend.share.runner.results import ARTIFACTS
from container_backend.share.runner_files import runner_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.environment import Lock

_logger = logging.getLogger(__package__)
_TEMPLATE: Final = "Dockerfile.project.j2"
_COMPILE: Final = "compile_runner.py"
_RUNNER: Final = f"{labels_and_tags.RUNNER_DIRECTORY}/{RUNNER_PROGRAM}"
_PYTHON: Final = f"{labels_and_tags.ENVIRONMENT_DIRECTORY}/bin/python"
_INTERPRETERS: Final = ("python3", "python")
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# MLflow's docker runs mount a store here (mlflow.projects.docker); its journal is in the same folder.
_MLFLOW_FOLDER: Final = "/mlflow/tmp"
# MLflow's default folder for artifacts of a database. A folder of the project hides this link.
_ARTIFACTS_LINK: Final = f"{CODE_DIRECTORY}/mlruns"
# No user of most systems has this number. By number, for hosts that refuse root.
_USER: Final = "1000:1000"
# What becomes an instruction must bring along no other.
_PLAIN_USER: Final = re.compile(r"[\w.:-]*")


def build_project_image(engine: Engine, wanted: ProjectImage) -> str:
    """Build the project image and return its id; the image gets its name last.

    Raises:
        BuildError: The image could not be built.
        InvalidEnvironment: The project's own image has no Python, which the runner needs.
        InvalidProject: A file cannot be read.
    """
    inspected = engine.images.inspect(wanted.base.id)
    python = _python_of(engine, wanted, inspected)
    lock = _lock(engine, wanted)
    started = time.monotonic()
    with (
        archive_of(wanted.project.directory, ANYBODY) as code,
        _with_runner(engine, wanted, lock, python, inspected) as below,
    ):
        labels = labels_of(wanted, lock, inspected)
        built = build_on(engine, below, code, wanted.tag, labels, "project image")
    size = f"{code.code.size / 1e6:.1f} MB"
    _logger.info(
        "=== Built project image %s: %s of code on %s in %.1f s ===",
        wanted.tag, size, wanted.base.reference, time.monotonic() - started,
    )  # fmt: skip
    return built


@contextmanager
def _with_runner(
    engine: Engine,
    wanted: ProjectImage,
    lock: Lock | None,
    python: str,
    inspected: Mapping[str, Any],
) -> Iterator[str]:
    """Build the image without the code; its name is removed at the end of the context.

    Raises:
        BuildError: The image could not be built.
    """
    description = json.dumps(describe_to_runner(wanted, lock), indent=1)
    with unfinished_name(engine) as name:
        try:
            with temporary_name(engine, wanted.base.id) as base:
                request = BuildRequest(
                    context={
                        "Dockerfile": _dockerfile(base, python, inspected).encode(),
                        **{f"runner/{path}": content for path, content in runner_files().items()},
                        "frame.tar": _frame(description),
                    },
                    tags=(name,),
                    labels={LABEL_ENVIRONMENT_HASH: ""},  # the image is no environment any more
                    platform=wanted.platform,
                )
                build_image(engine, request)
        except BuildFailed as error:
            raise BuildError(
                describe_failure(error).replace("environment image", "project image"),
                remedy=hint_for(error),
            ) from error
        except EngineError as error:
            raise BuildError(f"The project image could not be built: {error.message}") from error
        yield name


def _dockerfile(base: str, python: str, inspected: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape=False,  # noqa: S701 a Dockerfile is not HTML
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    config = inspected.get("Config") or {}
    user = str(config.get("User") or "")
    if not _PLAIN_USER.fullmatch(user):
        raise InvalidEnvironment(
            f"The image's user is '{harmless(user)}', which is no name of a user."
        )
    return environment.from_string(read_template(_TEMPLATE)).render(
        base=base,
        python=python,
        code=labels_and_tags.CODE_DIRECTORY,
        runner=labels_and_tags.RUNNER_DIRECTORY,
        home=labels_and_tags.HOME_DIRECTORY,
        launcher=labels_and_tags.LAUNCHER_DIRECTORY,
        entrypoint=[*(config.get("Entrypoint") or []), python, "-I", "-S", _RUNNER],
        compile=read_template(_COMPILE),
        user=_USER if user.partition(":")[0] in {"", "0", "root"} else user,
    )


def _python_of(engine: Engine, wanted: ProjectImage, inspected: Mapping[str, Any]) -> str:
    """The path of the Python interpreter for the runner."""
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
    except NotThere as error:
        raise BuildError("The environment image was removed meanwhile.") from error


def _frame(description: str) -> bytes:
    """A tar with the launcher, the runner's description, and folders that all users may write to."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add_parents(tar)
        tar.addfile(folder_entry(CODE_DIRECTORY, ANYBODY))
        add_launcher(tar)
        add_text(tar, f"{RUNNER_DIRECTORY}/{DESCRIPTION}", description)
        for folder in (HOME_DIRECTORY, RESULTS_DIRECTORY, ARTIFACTS, _MLFLOW_FOLDER):
            tar.addfile(folder_entry(folder, ROOT, FOR_EVERYBODY))
        link = tarfile.TarInfo(_ARTIFACTS_LINK.lstrip("/"))
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, ARTIFACTS, ONE_TIME
        tar.addfile(link)
    return packed.getvalue()
