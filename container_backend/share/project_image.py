"""A project on top of its environment: an image that runs without this package."""

from __future__ import annotations

import json
import logging
import stat
import tarfile
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

import jinja2

from container_backend import labels_and_tags
from container_backend.engine import variables_in
from container_backend.environment import DockerEnvironment, EnvironmentSpec
from container_backend.errors import BuildError, EngineError, InvalidEnvironment, NotThere
from container_backend.image import (
    BuildFailed,
    BuildRequest,
    build_image,
    describe_failure,
    find_file,
    hint_for,
    lock_of,
)
from container_backend.labels_and_tags import (
    CODE_DIRECTORY,
    HOME_DIRECTORY,
    LAUNCHER_DIRECTORY,
    RESULTS_DIRECTORY,
    RUNNER_DIRECTORY,
    RUNNER_PROGRAM,
)
from container_backend.machine import hash_file, read_template
from container_backend.project import (
    FOR_EVERYBODY,
    LAUNCHER,
    ROOT,
    add_files,
    add_text,
    folder_entry,
    unreadable,
)
from container_backend.share.project_labels import ProjectImage, describe_to_runner, labels_of
from container_backend.share.runner.main import DESCRIPTION
from container_backend.share.runner.results import ARTIFACTS
from container_backend.share.runner_files import runner_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.environment import Lock
    from container_backend.machine import FileContent

_logger = logging.getLogger(__package__)
_TEMPLATE: Final = "Dockerfile.project.j2"
_COMPILE: Final = "compile_runner.py"
_RUNNER: Final = f"{labels_and_tags.RUNNER_DIRECTORY}/{RUNNER_PROGRAM}"
_PYTHON: Final = f"{labels_and_tags.ENVIRONMENT_DIRECTORY}/bin/python"
_INTERPRETERS: Final = ("python3", "python")
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# No user of most systems has this number. By number, for hosts that refuse root.
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
    inspected = engine.images.inspect(wanted.base.id)
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
            built = build_image(engine, request)
        except BuildFailed as error:
            raise BuildError(
                describe_failure(error).replace("environment image", "project image"),
                remedy=hint_for(error),
            ) from error
        except EngineError as error:
            raise BuildError(f"The project image could not be built: {error.message}") from error
    size = f"{layer.size / 1e6:.1f} MB"
    _logger.info(
        "=== Built project image %s: %s of code on %s in %.1f s ===",
        wanted.tag, size, wanted.base.reference, time.monotonic() - started,
    )  # fmt: skip
    return built


@contextmanager
def _named(engine: Engine, image_id: str) -> Iterator[str]:
    """A name for an image while it is built on: BuildKit knows no ids, and names may move."""
    name = f"{labels_and_tags.UNFINISHED_REPOSITORY}:{uuid.uuid4().hex}"
    engine.images.tag(image_id, name)
    try:
        yield name
    finally:
        with suppress(EngineError):
            engine.images.remove(name, prune=False)


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
        code=labels_and_tags.CODE_DIRECTORY,
        runner=labels_and_tags.RUNNER_DIRECTORY,
        home=labels_and_tags.HOME_DIRECTORY,
        launcher=labels_and_tags.LAUNCHER_DIRECTORY,
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
    except NotThere as error:
        raise BuildError("The environment image was removed meanwhile.") from error


# 1980: what zip files can say at the least, and so what programs expect.
_TIME: Final = 315_532_800
# Where MLflow's own docker runs put a store (mlflow.projects.docker), and its journal beside it.
_MLFLOW_FOLDER: Final = "/mlflow/tmp"
# Where MLflow puts the artifacts of a database without a chosen place.
_ARTIFACTS_LINK: Final = f"{CODE_DIRECTORY}/mlruns"


class _Layer(tarfile.TarFile):
    """A tar in which nothing depends on who made it, when, and with which umask."""

    def addfile(self, tarinfo: tarfile.TarInfo, fileobj: Any = None) -> None:  # noqa: ANN401
        tarinfo.mtime = _TIME
        if tarinfo.mode != FOR_EVERYBODY and tarinfo.name.startswith(CODE_DIRECTORY.lstrip("/")):
            runs = tarinfo.isdir() or tarinfo.mode & stat.S_IXUSR
            tarinfo.mode = 0o777 if runs else 0o666
        super().addfile(tarinfo, fileobj)


@contextmanager
def code_layer(directory: Path, description: str) -> Iterator[FileContent]:
    """A tar of a project's files and what the runner is to know of it, to be unpacked at ``/``.

    Files and folders of the project may be written by everybody: the program runs as any user.

    Args:
        directory: The project.
        description: For the runner.

    Returns:
        The tar, on disk while the context lasts.

    Raises:
        InvalidProject: A file cannot be read.
    """
    with tempfile.NamedTemporaryFile(prefix="container-backend-", suffix=".tar") as file:
        try:
            _write(file, directory, description)
            file.flush()
            content = hash_file(Path(file.name))
        except OSError as error:
            raise unreadable(directory, error) from error
        yield content


def _write(file: IO[bytes], directory: Path, description: str) -> None:
    with _Layer.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for parent in reversed(PurePosixPath(CODE_DIRECTORY).parents[:-1]):
            tar.addfile(folder_entry(str(parent), ROOT))
        tar.addfile(folder_entry(CODE_DIRECTORY, ROOT))
        tar.addfile(folder_entry(LAUNCHER_DIRECTORY, ROOT))
        add_text(tar, f"{LAUNCHER_DIRECTORY}/{LAUNCHER}", read_template(LAUNCHER))
        add_text(tar, f"{RUNNER_DIRECTORY}/{DESCRIPTION}", description)
        for folder in (HOME_DIRECTORY, RESULTS_DIRECTORY, ARTIFACTS, _MLFLOW_FOLDER):
            tar.addfile(folder_entry(folder, ROOT, FOR_EVERYBODY))
        add_files(tar, directory, ROOT)
        link = tarfile.TarInfo(_ARTIFACTS_LINK.lstrip("/"))
        if link.name not in tar.getnames():
            link.type, link.linkname = tarfile.SYMTYPE, ARTIFACTS
            tar.addfile(link)
