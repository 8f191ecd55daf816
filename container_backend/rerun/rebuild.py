"""The image of an earlier run: the same image, or a plan to rebuild it from the record."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend.environment import (
    LOCK,
    Declared,
    Indexes,
    lines_of,
    machine_indexes,
    read_lock,
    spec_of,
)
from container_backend.errors import (
    ImageUnavailable,
    InvalidEnvironment,
    NotRepeatable,
    Refused,
)
from container_backend.image import (
    DOCKERFILE,
    BaseImage,
    ImagePlan,
    find_image,
    login_for,
    resolve_base,
)
from container_backend.labels_and_tags import HASH_DIGITS_IN_TAG, IMAGE_REPOSITORY
from container_backend.machine import digest_of, hash_file
from container_backend.runs import PROJECT_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.engine import Engine
    from container_backend.machine import Content
    from container_backend.rerun.past_run import PastRun
    from container_backend.runs import RecordedEnvironment

_LOCK_IN_CONTEXT: Final = f"declared/{LOCK}"
# Our contexts hold scripts and lists of packages, and are far smaller.
_MOST_CONTEXT_BYTES: Final = 64 * 1024 * 1024


def find_exact(engine: Engine, id_: str, repository_digest: str) -> str | None:
    """The id or repository digest by which the engine or a registry has an image; None if neither."""
    for reference in filter(None, (id_, repository_digest)):
        with suppress(Refused):
            engine.images.inspect(reference)
            return reference
    if repository_digest:
        with suppress(Refused):
            engine.images.registry_digest(repository_digest, login_for(repository_digest, None))
            return repository_digest
    return None


def plan_again(
    engine: Engine,
    past: PastRun,
    recorded: RecordedEnvironment,
    code: Path,
    secrets: Mapping[str, bytes],
    lacks: list[str],
) -> ImagePlan | None:
    """Plan the environment image of an earlier run; None if its build context is gone.

    Args:
        code: The folder of the project, for packages that are built from it.
        lacks: Gets a line for everything that is gone.
    """
    plan = _as_recorded(past, recorded, code, secrets, lacks)
    exact = find_exact(engine, past.image_id, past.repository_digest)
    if exact is not None:
        return replace(plan, exact=exact)
    if find_image(engine, plan) is not None:
        return plan
    if recorded.platform != engine.facts.platform:
        lacks.append(
            f"platform: the image was built for {recorded.platform}; this engine is "
            f"{engine.facts.platform}"
        )
    if past.context is None:
        lacks.append(
            "image: neither the engine nor a registry has it, and its build context is not among "
            "the artifacts; instead: an image from the declaration in the code"
        )
        return None
    if recorded.is_locked and past.lock is None:
        lacks.append("packages: the lock is not among the artifacts; instead: today's versions")
    return _on_its_base(engine, plan, lacks)


def _as_recorded(
    past: PastRun,
    recorded: RecordedEnvironment,
    code: Path,
    secrets: Mapping[str, bytes],
    lacks: list[str],
) -> ImagePlan:
    context = _read_context(past.context, lacks)
    context |= _project_files(recorded, code, lacks)
    digest = ""
    if past.lock is not None and recorded.is_locked:
        digest = read_lock(past.lock).digest
        context[_LOCK_IN_CONTEXT] = _lock_lines(past.lock, code, lacks)
    dockerfile = context.get(DOCKERFILE)
    return ImagePlan(
        hash=recorded.hash,
        tag=_tag(recorded.python, recorded.hash, digest),
        dockerfile=dockerfile.decode(errors="replace") if isinstance(dockerfile, bytes) else "",
        context=dict(sorted(context.items())),
        base=BaseImage(recorded.base.reference, recorded.base.digest, recorded.base.pinned),
        python=recorded.python,
        platform=recorded.platform,
        is_locked=recorded.is_locked,
        indexes=_indexes(recorded),
        secrets=dict(secrets),
        lock_digest=digest,
    )


def _tag(python: str, hash_: str, lock_digest: str) -> str:
    """A name with hash and lock: the name with the hash alone may belong to newer packages."""
    lock = lock_digest.partition(":")[2][:HASH_DIGITS_IN_TAG]
    name = f"{IMAGE_REPOSITORY.format(python=python)}:{hash_[:HASH_DIGITS_IN_TAG]}"
    return f"{name}-{lock}" if lock else name


def _read_context(packed: bytes | None, lacks: list[str]) -> dict[str, Content]:
    if packed is None:
        return {}
    found: dict[str, Content] = {}
    try:
        with gzip.open(io.BytesIO(packed)) as unpacked:
            plain = unpacked.read(_MOST_CONTEXT_BYTES)
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            for entry in tar:
                if (content := tar.extractfile(entry)) is not None:
                    found[entry.name] = content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        lacks.append(f"image: its build context cannot be read: {error}")
    return found


def _project_files(
    recorded: RecordedEnvironment, code: Path, lacks: list[str]
) -> dict[str, Content]:
    """The files of the project that are installed as a package, checked by their digests."""
    found: dict[str, Content] = {}
    for path, digest in recorded.project_files.items():
        file = (code / path).resolve()
        if not file.is_relative_to(code.resolve()) or not file.is_file():
            lacks.append(f"packages: the project's file '{path}' was installed, and is missing")
            continue
        content = hash_file(file)
        if digest_of(content) != digest:
            lacks.append(f"packages: the project's file '{path}' was installed, and has changed")
        found[f"{PROJECT_FILES}{path}"] = content
    return found


def _lock_lines(lock: str, code: Path, lacks: list[str]) -> bytes:
    """The lock for the installer: packages of the project have their paths in the build."""
    try:
        spec = spec_of(Declared(tuple(lines_of(code / LOCK, lock))), code)
    except InvalidEnvironment as error:
        lacks.append(f"packages: the lock cannot be read: {error.message}")
        return b""
    return "".join(f"{line}\n" for line in spec.requirements).encode()


def _indexes(recorded: RecordedEnvironment) -> Indexes:
    """The recorded addresses with the current logins."""
    known = recorded.indexes
    return Indexes(
        default=known.get("default"),
        extra=tuple(known.get("extra", ())),
        find_links=tuple(known.get("find_links", ())),
        trusted_hosts=tuple(known.get("trusted_hosts", ())),
        logins=machine_indexes().logins,
    )


def _on_its_base(engine: Engine, plan: ImagePlan, lacks: list[str]) -> ImagePlan:
    """The plan on its base image by digest; if that is gone, on the image that has its name now.

    Raises:
        NotRepeatable: There is no image of that name either.
    """
    base = plan.base
    if base.pinned != base.reference or "@" in base.pinned:
        if find_exact(engine, "", base.pinned) is not None:
            return plan
    elif (name := _name_of(engine, base)) is not None:
        return _from(plan, replace(base, pinned=name))
    gone = f"base image: neither the engine nor a registry has {base.reference} as of {base.digest}"
    try:
        other = resolve_base(engine, base.reference.partition("@")[0])
    except ImageUnavailable as error:
        raise NotRepeatable(
            f"The image cannot be built again: {gone}; and there is no other of that name.",
            remedy="Run `docker pull` or `docker load` for the image, or log in to its registry with "
            "`docker login`.",
        ) from error
    lacks.append(f"{gone}; instead: {other.digest}, which has that name now")
    changed = digest_of(f"{plan.hash} {other.digest}".encode())
    return replace(
        _from(plan, other), hash=changed, tag=_tag(plan.python, changed, plan.lock_digest)
    )


def _name_of(engine: Engine, base: BaseImage) -> str | None:
    """A name for an image that no registry has: BuildKit needs one."""
    try:
        inspected = engine.images.inspect(base.digest)
    except Refused:
        return None
    names = [str(name) for name in inspected.get("RepoTags") or []]
    return base.reference if base.reference in names else next(iter(names), None)


def _from(plan: ImagePlan, base: BaseImage) -> ImagePlan:
    dockerfile = plan.dockerfile.replace(f"FROM {plan.base.pinned} ", f"FROM {base.pinned} ")
    context = {**plan.context, DOCKERFILE: dockerfile.encode()}
    return replace(plan, dockerfile=dockerfile, context=context, base=base)
