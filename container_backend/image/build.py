"""Builds the image of a plan, and then adds its name, its labels and its bill of materials."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from container_backend.engine import says_removed
from container_backend.environment import (
    LOCK_IN_IMAGE,
    LOCK_IN_STAGE,
    LOCK_STAGE,
    Lock,
    PythonChoice,
    proxies,
    read_lock,
)
from container_backend.errors import BuildError, EngineError, NotThere, Refused
from container_backend.image.buildkit import DOCKERFILE, BuildFailed, BuildRequest, build_image
from container_backend.image.progress import describe_failure, explain_python, hint_for
from container_backend.image.rights import build_secrets, credentials, with_cache_ids
from container_backend.image.sbom import (
    SBOM,
    SBOM_IN_IMAGE,
    Installed,
    bill_of_materials,
    import_libraries,
)
from container_backend.labels_and_tags import (
    ENVIRONMENT_DIRECTORY,
    LABEL_BASE_DIGEST,
    LABEL_BASE_IMAGE,
    LABEL_ENVIRONMENT_HASH,
    LABEL_LOCK_DIGEST,
    LABEL_PYTHON,
    LABEL_VERSION,
    NO_LABELS,
    TEMPORARY_PREFIX,
    UNFINISHED_REPOSITORY,
)
from container_backend.machine import __version__, harmless
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.image.buildkit import StepEvent
    from container_backend.image.hash import ImagePlan

# How often a build is started, if other builds and removals keep disturbing the build.
_MOST_ROUNDS = 10
# BuildKit 0.8 runs equal steps of two builds once, with the session of one. The other build fails
# if that session ends just then: in 8 of 135 builds beside cancelled ones.
_LOST_SESSION = "no active session"
_RESOLVE_ONLY = "RESOLVE_ONLY"
T = TypeVar("T")
_logger = logging.getLogger(__package__)
# The files that list an image's packages: templates/describe_packages.py, dpkg, os-release(5).
_PACKAGES_IN_IMAGE = f"{ENVIRONMENT_DIRECTORY}/packages"
_MOST_OF_LISTS = 64 * 1024 * 1024
_MISSING_LIBRARIES = f"{ENVIRONMENT_DIRECTORY}/missing-libraries.txt"
_MOST_OF_WARNING = 4096
_DPKG = "/var/lib/dpkg/status"
_OS_RELEASE = "/usr/lib/os-release"


def build(
    engine: Engine,
    plan: ImagePlan,
    *,
    docker_auth: Mapping[str, Any] | None = None,
    no_cache: bool = False,
    on_progress: Callable[[StepEvent], None] | None = None,
) -> Lock | None:
    """Build the image of a plan; returns its lock, None if no package is declared.

    A second build of a tenth of a second adds the name, the labels and the bill of materials,
    because the lock is known only after the first one. So an image with a name is complete.

    Raises:
        BuildError: The build failed; the message has the step, its output and a hint.
    """
    request = _request(engine, plan, docker_auth, no_cache=no_cache)
    with _build_errors(plan):
        return _in_rounds(lambda: _build_once(engine, plan, request, on_progress))


def _in_rounds(work: Callable[[], T]) -> T:
    """Repeat the work if another process removes its image meanwhile, or cancels an equal build.

    Equal builds make the same image. Only processes of one user wait for each other
    (:mod:`container_backend.image.prune`). The next round uses the engine's cache.
    """
    for _ in range(_MOST_ROUNDS - 1):
        try:
            return work()
        except NotThere:
            continue
        except BuildFailed as error:
            if not (says_removed(error.message) or _LOST_SESSION in error.message):
                raise
    return work()


def _build_once(
    engine: Engine,
    plan: ImagePlan,
    request: BuildRequest,
    on_progress: Callable[[StepEvent], None] | None,
) -> Lock | None:
    # While the engine works, this process has time.
    threading.Thread(target=import_libraries, name="imports", daemon=True).start()
    image_id = build_image(engine, request, on_progress=on_progress)
    try:
        lock, installed = _read_installed(engine, image_id)
        bill = bill_of_materials(plan, lock, installed)
        _finish(engine, plan, image_id, lock, bill)
    except BaseException:
        _discard(engine, image_id)
        raise
    return lock


def resolve(
    engine: Engine,
    plan: ImagePlan,
    *,
    docker_auth: Mapping[str, Any] | None = None,
    anew: bool = False,
    on_progress: Callable[[StepEvent], None] | None = None,
) -> Lock | None:
    """Resolve the requirements of a plan, and keep no image; None if no package is declared.

    Args:
        anew: Ask the indexes again, even if the engine has the answer in its cache.

    Raises:
        BuildError: The requirements cannot be met, or the build failed otherwise.
    """
    if not plan.is_locked:
        return None
    request = _request(engine, plan, docker_auth, target=LOCK_STAGE)
    request = replace(request, build_args={**request.build_args, _RESOLVE_ONLY: "yes"})
    if anew:
        # A new file in this folder invalidates the cache of the step that resolves.
        now = {"declared/asked-at": str(time.time_ns()).encode()}
        request = replace(request, context={**request.context, **now})

    def work() -> Lock | None:
        image_id = build_image(engine, request, on_progress=on_progress)
        try:
            return _read_lock(engine, image_id, LOCK_IN_STAGE)
        finally:
            with suppress(NotThere):
                engine.images.remove(image_id, prune=False)

    with _build_errors(plan):
        return _in_rounds(work)


def lock_of(engine: Engine, reference: str) -> Lock | None:
    """The lock in an environment image; None for an image without a lock."""
    return _read_lock(engine, reference, LOCK_IN_IMAGE)


@contextmanager
def container_to_read(engine: Engine, image: str) -> Iterator[str]:
    """A container that is never started: an engine has no other access to an image's files."""
    container = engine.containers.create(image, command=["true"], labels=NO_LABELS)
    try:
        yield container
    finally:
        engine.containers.remove(container)


def _read_lock(engine: Engine, image: str, path: str) -> Lock | None:
    with container_to_read(engine, image) as container:
        content = engine.containers.read_file(container, path)
    return None if content is None else read_lock(content.decode())


def _read_installed(engine: Engine, image: str) -> tuple[Lock | None, Installed]:
    containers = engine.containers
    with (
        container_to_read(engine, image) as container,
        tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX) as temporary,
    ):
        lock = containers.read_file(container, LOCK_IN_IMAGE)
        folder = Path(temporary)
        containers.copy_folder(container, _PACKAGES_IN_IMAGE, folder, _MOST_OF_LISTS)
        lists = {file.stem: _list_in(file) for file in sorted(folder.rglob("*.json"))}
        _warn_of_libraries(containers.read_file(container, _MISSING_LIBRARIES) or b"")
        dpkg = containers.read_file(container, _DPKG) or b""
        os_release = containers.read_file(container, _OS_RELEASE) or b""
    conda = lists.pop("conda", [])
    python = [package for packages in lists.values() for package in packages]
    installed = Installed(python, conda, dpkg.decode(), os_release.decode())
    return (None if lock is None else read_lock(lock.decode())), installed


def _warn_of_libraries(said: bytes) -> None:
    """Log what a step of ours has written, also if the engine took the step from its cache."""
    if text := said[:_MOST_OF_WARNING].decode(errors="replace").strip():
        _logger.warning("%s", harmless(text))


def _list_in(file: Path) -> list[dict[str, str]]:
    """A list of packages that a step of ours has made: a package may bring along another file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return [{str(name): str(value or "") for name, value in each.items()} for each in found]
    except (ValueError, TypeError, AttributeError) as error:
        raise BuildError(
            f"The image's list of packages '{file.name}' cannot be read: {error}. A package has "
            "replaced it."
        ) from error


def _discard(engine: Engine, image_id: str) -> None:
    """Remove the image unless it has a name."""
    with suppress(EngineError):
        if not engine.images.inspect(image_id)["RepoTags"]:
            engine.images.remove(image_id, prune=False)


def _request(
    engine: Engine,
    plan: ImagePlan,
    docker_auth: Mapping[str, Any] | None,
    *,
    target: str | None = None,
    no_cache: bool = False,
) -> BuildRequest:
    dockerfile = with_cache_ids(engine, plan, anew=no_cache)
    return BuildRequest(
        context={**plan.context, DOCKERFILE: dockerfile},
        build_args={
            name: without_credentials(value) for name, value in proxies(os.environ).items()
        },
        secrets={**plan.secrets, **build_secrets(plan)},
        credentials=credentials(plan, docker_auth),
        target=target,
        platform=None if plan.platform == engine.facts.platform else plan.platform,
        no_cache=no_cache,
    )


def _finish(engine: Engine, plan: ImagePlan, image_id: str, lock: Lock | None, bill: bytes) -> None:
    """Add the bill of materials, the labels and the name.

    BuildKit takes only a name for a base, so the image has a temporary name meanwhile.
    """
    labels = {
        LABEL_ENVIRONMENT_HASH: plan.hash,
        LABEL_BASE_IMAGE: plan.base.reference,
        LABEL_BASE_DIGEST: plan.base.digest,
        LABEL_PYTHON: plan.python,
        LABEL_VERSION: __version__,
    }
    if lock is not None:
        labels[LABEL_LOCK_DIGEST] = lock.digest
    unfinished = f"{UNFINISHED_REPOSITORY}:{uuid.uuid4().hex}"
    engine.images.tag(image_id, unfinished)
    try:
        request = BuildRequest(
            context={
                "Dockerfile": f"FROM {unfinished}\nCOPY {SBOM} {SBOM_IN_IMAGE}\n".encode(),
                SBOM: bill,
            },
            tags=(plan.tag,),
            labels=labels,
            platform=None if plan.platform == engine.facts.platform else plan.platform,
        )
        build_image(engine, request)
    except BuildFailed:
        engine.images.inspect(unfinished)  # raises NotThere if another process removed the image
        raise
    finally:
        # By force: another process that builds the same may have a container of the image.
        with suppress(NotThere):
            engine.images.remove(unfinished, force=True, prune=False)


@contextmanager
def _build_errors(plan: ImagePlan) -> Iterator[None]:
    """Raise BuildError for every failure of a build."""
    try:
        yield
    except (BuildFailed, Refused) as error:
        failure = error if isinstance(error, BuildFailed) else BuildFailed(error.message)
        choice = plan.python_choice or PythonChoice(plan.python, source="the record of the run")
        if explained := explain_python(failure.output, choice, plan.base.reference):
            raise BuildError(explained[0], remedy=explained[1]) from error
        hint = hint_for(failure, withholds_logins=plan.withholds_logins)
        raise BuildError(describe_failure(failure), remedy=hint) from error
    except EngineError as error:
        raise BuildError(
            f"The engine went away while the environment image was built: {error.message}",
            remedy="Check that the engine runs (`docker info`), and try again.",
        ) from error
    except OSError as error:
        raise BuildError(
            f"The environment image could not be described on this machine: {error}"
        ) from error
