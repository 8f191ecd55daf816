"""The image of an earlier run: the same image, or a plan to rebuild it from the record."""

from __future__ import annotations

import gzip
import io
import logging
import tarfile
import zlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from container_backend.environment import (
    LOCK,
    Declared,
    Indexes,
    address_in_container,
    is_outside,
    lines_of,
    machine_indexes,
    read_lock,
    spec_of,
)
from container_backend.errors import (
    ImageUnavailable,
    InvalidConfig,
    InvalidEnvironment,
    NotRepeatable,
    Refused,
)
from container_backend.image import (
    DOCKERFILE,
    BaseImage,
    BaseWanted,
    ImagePlan,
    find_image,
    has_our_steps,
    login_for,
    resolve_base,
    settings_of_machine,
)
from container_backend.labels_and_tags import HASH_DIGITS_IN_TAG, IMAGE_REPOSITORY
from container_backend.machine import digest_of, hash_file
from container_backend.privileges import Permissions, Right
from container_backend.runs import PROJECT_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from container_backend.engine import Engine
    from container_backend.machine import Content
    from container_backend.rerun.past_run import PastRun
    from container_backend.runs import RecordedEnvironment

_logger = logging.getLogger(__package__)
_LOCK_IN_CONTEXT: Final = f"declared/{LOCK}"
# Our contexts hold scripts and lists of packages, and are far smaller.
_MOST_CONTEXT_BYTES: Final = 64 * 1024 * 1024


def find_exact(engine: Engine, id_: str, repository_digest: str, *, saved: bool) -> str | None:
    """The id or repository digest by which the engine or a registry has an image; None if neither.

    Args:
        saved: The registry gets the saved login of the user.
    """
    for reference in filter(None, (id_, repository_digest)):
        with suppress(Refused):
            engine.images.inspect(reference)
            return reference
    if repository_digest:
        with suppress(Refused):
            engine.images.registry_digest(
                repository_digest, login_for(repository_digest, None, saved=saved)
            )
            return repository_digest
    return None


def plan_again(
    engine: Engine,
    past: PastRun,
    recorded: RecordedEnvironment,
    code: Path,
    secrets: Mapping[str, bytes],
    lacks: list[str],
    *,
    own: str,
    permissions: Permissions,
) -> ImagePlan | None:
    """Plan the environment image of an earlier run; None if its build context is gone.

    Args:
        code: The folder of the project, for packages that are built from it.
        lacks: Gets a line for everything that is gone.
        own: The repository of the user's own environment images; empty for none.
        permissions: Those of the record.

    Raises:
        InvalidConfig: The image has to be built by steps that are not ours.
    """
    plan = _as_recorded(past, recorded, code, secrets, lacks, permissions)
    is_own = bool(own) and past.repository_digest.startswith(f"{own}@")
    saved = is_own or permissions.allow(Right.LOGINS)
    exact = find_exact(engine, past.image_id, past.repository_digest, saved=saved)
    if exact is not None:
        return replace(plan, exact=exact, saved_logins=saved)
    if find_image(engine, plan) is not None:
        return plan
    if past.repository_digest and not saved:
        _logger.info(
            "=== %s was looked for without your logins; with them: "
            '-c \'{"image_repository": "%s"}\' ===',
            *(past.repository_digest, past.repository_digest.partition("@")[0]),
        )
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
    planned = _with_rights(plan, past.run_id, permissions)
    return _on_its_base(engine, planned, lacks, saved=permissions.allow(Right.LOGINS))


def _with_rights(plan: ImagePlan, run_id: str, permissions: Permissions) -> ImagePlan:
    """The plan, with what its steps may have: a program can write any record of its run.

    The image gets a hash of its own, because the record may say that of any environment. A cache is
    shared only with equal steps, and without trust no step gets a login.
    """
    trust = permissions.allow(Right.TEMPLATE)
    if not (trust or has_our_steps(plan)):
        raise InvalidConfig(
            f"The image of run '{run_id}' is gone, and its record builds the image by other steps than "
            "this version: by a template of its project, or by another version.",
            remedy="If you trust it, run these steps: --trust.",
        )
    context = {**plan.context, **settings_of_machine(plan, machine_indexes())}
    own = digest_of(f"{plan.hash} {plan.base.digest} {_scope_of(context)}".encode())
    plan = replace(plan, context=context, hash=own, tag=_tag(plan.python, own, plan.lock_digest))
    if trust:
        hosts = plan.login_hosts | plan.indexes.hosts()
        plan = replace(plan, login_hosts=hosts, withholds_logins=False, trusts_packages=True)
    return plan


def _as_recorded(
    past: PastRun,
    recorded: RecordedEnvironment,
    code: Path,
    secrets: Mapping[str, bytes],
    lacks: list[str],
    permissions: Permissions,
) -> ImagePlan:
    context = _read_context(past.context, lacks)
    context |= _project_files(recorded, code, context, lacks)
    digest = ""
    if past.lock is not None and recorded.is_locked:
        digest = read_lock(past.lock).digest
        context[_LOCK_IN_CONTEXT] = _lock_lines(past.lock, code, lacks, permissions)
    dockerfile = context.get(DOCKERFILE)
    return ImagePlan(
        hash=recorded.hash,
        recorded_hash=recorded.hash,
        tag=_tag(recorded.python, recorded.hash, digest),
        dockerfile=dockerfile.decode(errors="replace") if isinstance(dockerfile, bytes) else "",
        context=dict(sorted(context.items())),
        base=BaseImage(recorded.base.reference, recorded.base.digest, recorded.base.pinned),
        python=recorded.python,
        platform=recorded.platform,
        is_locked=recorded.is_locked,
        indexes=_indexes(recorded),
        login_hosts=frozenset(machine_indexes().hosts()),
        withholds_logins=True,
        secrets=dict(secrets),
        cache_scope=_scope_of(context),
        lock_digest=digest,
    )


def _scope_of(context: Mapping[str, Content]) -> str:
    """Steps of a record may be any: only the same steps share a cache."""
    digests = {path: digest_of(content) for path, content in sorted(context.items())}
    return digest_of(repr(digests).encode())


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
                # A sparse file of a few bytes can have any length.
                is_plain = entry.isreg() and not entry.issparse()
                content = tar.extractfile(entry) if is_plain else None
                if content is not None:
                    found[entry.name] = content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        lacks.append(f"image: its build context cannot be read: {error}")
    return found


def _project_files(
    recorded: RecordedEnvironment, code: Path, context: Mapping[str, Content], lacks: list[str]
) -> dict[str, Content]:
    """The files of the project that are installed as a package, checked by their digests.

    Those from outside of the project are in the recorded build context.
    """
    found: dict[str, Content] = {}
    for path, digest in recorded.project_files.items():
        content = context.get(f"{PROJECT_FILES}{path}") if is_outside(path) else None
        if content is None:
            file = (code / path).resolve()
            if is_outside(path) or not file.is_relative_to(code.resolve()) or not file.is_file():
                lacks.append(f"packages: the project's file '{path}' was installed, and is missing")
                continue
            content = hash_file(file)
        if digest_of(content) != digest:
            lacks.append(f"packages: the project's file '{path}' was installed, and has changed")
        found[f"{PROJECT_FILES}{path}"] = content
    return found


def _lock_lines(lock: str, code: Path, lacks: list[str], permissions: Permissions) -> bytes:
    """The lock for the installer: packages of the project have their paths in the build."""
    lines = {line: line.text.removeprefix("./") for line in lines_of(code / LOCK, lock)}
    outside = [address_in_container(path) for path in lines.values() if is_outside(path)]
    inside = tuple(line for line, path in lines.items() if not is_outside(path))
    try:
        spec = spec_of(Declared(inside), code, permissions)
    except InvalidEnvironment as error:
        lacks.append(f"packages: the lock cannot be read: {error.message}")
        return b""
    return "".join(f"{line}\n" for line in [*spec.requirements, *outside]).encode()


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


def _on_its_base(engine: Engine, plan: ImagePlan, lacks: list[str], *, saved: bool) -> ImagePlan:
    """The plan on its base image by digest; if that is gone, on the image that has its name now.

    Raises:
        NotRepeatable: There is no image of that name either.
    """
    base = plan.base
    if base.pinned != base.reference or "@" in base.pinned:
        if find_exact(engine, "", base.pinned, saved=saved) is not None:
            return plan
    elif (name := _name_of(engine, base)) is not None:
        return _from(plan, replace(base, pinned=name))
    gone = f"base image: neither the engine nor a registry has {base.reference} as of {base.digest}"
    try:
        other = resolve_base(engine, BaseWanted(base.reference.partition("@")[0]))
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
