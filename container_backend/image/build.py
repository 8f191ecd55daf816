"""A plan → its image: built, and then named and labelled by what was installed."""

from __future__ import annotations

import json
import os
import ssl
import tempfile
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
    netrc_file,
    read_lock,
    with_netrc,
)
from container_backend.errors import BuildError, EngineError, NotThere, Refused
from container_backend.image.buildkit import BuildFailed, BuildRequest, build_image
from container_backend.image.progress import describe_failure, hint_for
from container_backend.image.registry import logins_of
from container_backend.image.sbom import SBOM, SBOM_IN_IMAGE, Installed, bill_of_materials
from container_backend.labels_and_tags import (
    ENVIRONMENT_DIRECTORY,
    LABEL_BASE_DIGEST,
    LABEL_BASE_IMAGE,
    LABEL_ENVIRONMENT_HASH,
    LABEL_LOCK_DIGEST,
    LABEL_PYTHON,
    LABEL_VERSION,
    NO_LABELS,
    UNFINISHED_REPOSITORY,
)
from container_backend.machine import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.environment import Indexes
    from container_backend.image.buildkit import StepEvent
    from container_backend.image.hash import ImagePlan

# Where this machine's certificates may be, in the order in which tools look.
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# What a proxy is told by; BuildKit gives these to every step and keeps them out of the image.
# https://docs.docker.com/reference/dockerfile/#predefined-args
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
# How many times a build is begun, at the most, where others take its image away.
_MOST_ROUNDS = 10
T = TypeVar("T")
# Where an image says what is installed in it: templates/describe_packages.py, dpkg, os-release(5).
PACKAGES_IN_IMAGE = f"{ENVIRONMENT_DIRECTORY}/packages"
_CONDA = "conda"
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
    """Build the image of a plan. It has its name and its hash only when all of it is there.

    The digest of the lock is known when everything is built, and so is the bill of materials: they
    are put into the built image by a second build, which takes a tenth of a second.

    Returns:
        What was installed; None where nothing is locked.

    Raises:
        BuildError: The build failed; the message has the step, its output and a hint.
    """
    request = _request(engine, plan, docker_auth, no_cache=no_cache)
    with _build_errors():
        return _in_rounds(lambda: _build_once(engine, plan, request, on_progress))


def _in_rounds(work: Callable[[], T]) -> T:
    """Again where an image is gone: others that build the same have the same image, and remove it.

    Processes of one user wait for each other (:mod:`container_backend.image.prune`), those of
    several do not. The second time, the engine knows all steps.
    """
    for _ in range(_MOST_ROUNDS - 1):
        try:
            return work()
        except NotThere:
            continue
        except BuildFailed as error:
            if not says_removed(error.message):
                raise
    return work()


def _build_once(
    engine: Engine,
    plan: ImagePlan,
    request: BuildRequest,
    on_progress: Callable[[StepEvent], None] | None,
) -> Lock | None:
    """Build, and give it its name.

    Raises:
        NotThere: Another process built the same at the same time, and removed what both had.
    """
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
    """What would be installed; no image is left.

    Args:
        plan: Which environment.
        docker_auth: A login for the base's registry.
        anew: Whether the indexes are asked although the engine knows an answer of before.
        on_progress: Told of each step.

    Returns:
        The lock; None where nothing is declared.

    Raises:
        BuildError: The requirements cannot be met, or the engine cannot find out.
    """
    if not plan.is_locked:
        return None
    request = _request(engine, plan, docker_auth, target=LOCK_STAGE)
    if anew:
        # Only the step that resolves sees this file.
        now = {"declared/asked-at": str(time.time_ns()).encode()}
        request = replace(request, context={**request.context, **now})

    def work() -> Lock | None:
        image_id = build_image(engine, request, on_progress=on_progress)
        try:
            return _read_lock(engine, image_id, LOCK_IN_STAGE)
        finally:
            with suppress(NotThere):
                engine.images.remove(image_id, prune=False)

    with _build_errors():
        return _in_rounds(work)


def lock_of(engine: Engine, reference: str) -> Lock | None:
    """The lock in an environment image; None where it has none.

    Raises:
        EngineError: The image is missing, or the engine does not answer.
    """
    return _read_lock(engine, reference, LOCK_IN_IMAGE)


def _read_lock(engine: Engine, image: str, path: str) -> Lock | None:
    """Files of an image are read by way of a container, which is never started."""
    container = engine.containers.create(image, command=["true"], labels=NO_LABELS)
    try:
        content = engine.containers.read_file(container, path)
    finally:
        engine.containers.remove(container)
    return None if content is None else read_lock(content.decode())


def _read_installed(engine: Engine, image: str) -> tuple[Lock | None, Installed]:
    containers = engine.containers
    container = containers.create(image, command=["true"], labels=NO_LABELS)
    try:
        lock = containers.read_file(container, LOCK_IN_IMAGE)
        with tempfile.TemporaryDirectory(prefix="container-backend-") as temporary:
            folder = Path(temporary)
            containers.copy_folder(container, PACKAGES_IN_IMAGE, folder)
            told = {file.stem: json.loads(file.read_text()) for file in sorted(folder.iterdir())}
        dpkg = containers.read_file(container, _DPKG) or b""
        os_release = containers.read_file(container, _OS_RELEASE) or b""
    finally:
        containers.remove(container)
    conda = told.pop(_CONDA, [])
    python = [package for packages in told.values() for package in packages]
    installed = Installed(python, conda, dpkg.decode(), os_release.decode())
    return (None if lock is None else read_lock(lock.decode())), installed


def _discard(engine: Engine, image_id: str) -> None:
    """Remove an image without a name, which would only fill the disk."""
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
    return BuildRequest(
        context=plan.context,
        build_args=_proxies(os.environ),
        secrets={**plan.secrets, **build_secrets(plan.indexes)},
        credentials=logins_of(docker_auth),
        target=target,
        platform=None if plan.platform == engine.facts.platform else plan.platform,
        no_cache=no_cache,
    )


def _finish(engine: Engine, plan: ImagePlan, image_id: str, lock: Lock | None, bill: bytes) -> None:
    """Bill of materials and labels, and with them the name. BuildKit builds on names only: it has one for so long."""
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
        engine.images.inspect(unfinished)  # where that is gone, it says so instead
        raise
    finally:
        # The same image of another process goes with the last of its names, and with it this one;
        # by force, for that process may have a container of it in order to read what is in it.
        with suppress(NotThere):
            engine.images.remove(unfinished, force=True, prune=False)


@contextmanager
def _build_errors() -> Iterator[None]:
    """What goes wrong while the engine builds, as an error of ours."""
    try:
        yield
    except BuildFailed as error:
        raise BuildError(describe_failure(error), remedy=hint_for(error)) from error
    except Refused as error:
        refused = BuildFailed(error.message)
        raise BuildError(describe_failure(refused), remedy=hint_for(refused)) from error
    except EngineError as error:
        raise BuildError(
            f"The engine went away while the environment image was built: {error.message}",
            remedy="See whether it runs (`docker info`) and try again.",
        ) from error
    except OSError as error:
        raise BuildError(
            f"The environment image could not be described on this machine: {error}"
        ) from error


def build_secrets(indexes: Indexes, environ: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """What a build needs to reach packages and must not keep: certificates and logins.

    Args:
        indexes: Whose logins; the user's netrc file is asked for the rest.
        environ: Where the certificates' file is named.
    """
    secrets = {}
    if (bundle := _ca_bundle(environ)) is not None:
        secrets["ca-bundle"] = bundle
    if logins := with_netrc(indexes, environ).logins:
        secrets["netrc"] = netrc_file(logins)
    return secrets


def _ca_bundle(environ: Mapping[str, str]) -> bytes | None:
    default = ssl.get_default_verify_paths().openssl_cafile
    named = [environ[name] for name in _CA_VARIABLES if environ.get(name)]
    for name in [*named, "/etc/ssl/certs/ca-certificates.crt", default]:
        try:
            return Path(name).read_bytes()
        except OSError:
            continue
    return None


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    names = [*_PROXY_VARIABLES, *(name.lower() for name in _PROXY_VARIABLES)]
    return {name: environ[name] for name in names if environ.get(name)}
