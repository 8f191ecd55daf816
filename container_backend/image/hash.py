"""EnvironmentSpec + templates → Dockerfile, build context and environment hash. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from container_backend.image.dockerfile import (
    LAYERS,
    has_packages,
    render,
    template_texts,
)
from container_backend.labels_and_tags import HASH_DIGITS_IN_TAG, IMAGE_REPOSITORY
from container_backend.machine import digest_of, is_program, read_template

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.environment import (
        CondaPackages,
        EnvironmentSpec,
        Indexes,
        Login,
        PythonChoice,
    )
    from container_backend.image.dockerfile import UserTemplate
    from container_backend.machine import Content

# Raise it when the same declaration shall make another image than before.
SCHEMA_VERSION: Final = 1
_PUBLIC_INDEX: Final = "https://pypi.org/simple"
# uv asks for files by their hash, but not every index lets uv cache them.
# https://docs.astral.sh/uv/concepts/indexes/#customizing-cache-control-headers
_FILES_NEVER_CHANGE: Final = 'cache-control = { files = "max-age=365000000, immutable" }\n'
# The settings of this machine for Pythons that uv fetches.
PYTHON_SETTINGS: Final = "build/uv-python.toml"
# The scripts of the template's steps; they are not in the image.
SCRIPTS: Final = (
    "access.sh",
    "build_wheels.py",
    "check_python.py",
    "compile_bytecode.py",
    "count_packages.py",
    "conda.sh",
    "describe_packages.py",
    "install.sh",
    "libraries.sh",
    "libraries.txt",
    "installer.sh",
    "lock.sh",
    "missing_libraries.py",
    "prepare.sh",
    "python.sh",
    "resolve.sh",
    "set_times.py",
    "split_lock.py",
    "system.sh",
    "tidy_layer.py",
    "wheels.sh",
    "why_no_wheel.py",
)


@dataclass(frozen=True)
class BaseImage:
    """An image to build on.

    Attributes:
        reference: The name in the backend config.
        digest: ``sha256:…``: the registry's digest, or the id of an image made on this engine.
        pinned: The argument of ``FROM``.
    """

    reference: str
    digest: str
    pinned: str


@dataclass(frozen=True)
class ImagePlan:
    """An environment image, before anything asks if the image exists.

    Attributes:
        hash: The environment hash: 64 hex digits.
        context: Path → content of the build context, the Dockerfile included.
        platform: ``os/architecture``.
        is_locked: True if any package is declared: then the build makes a lock.
        indexes: For their logins, which are in none of the above.
        login_hosts: Hosts for which the build gets the logins of the user's netrc file.
        own_logins: Those in the files of the project.
        saved_logins: A registry that has the image gets the saved login of the user.
        withholds_logins: True if steps of this build run programs of the project: then all of them
            get no login but its own.
        trusts_packages: True if programs of packages get all logins when they are built.
        cache_scope: Empty if the build takes part in the cache of packages of all builds; else
            only builds of the same scope share a cache.
        build_scope: Only builds of the same scope share the wheels that they have built; empty for
            those of the same hash.
        recorded_hash: The hash of the environment as a record says, which is not to be believed.
        secrets: Id → content of further secrets.
        python_choice: For messages; None if unknown.
        lock_digest: The image must have this lock; empty for any.
        exact: The id or ``NAME@DIGEST`` of the only right image; empty for any of the hash.
    """

    hash: str
    tag: str
    dockerfile: str
    context: Mapping[str, Content] = field(repr=False)
    base: BaseImage
    python: str
    platform: str
    is_locked: bool
    indexes: Indexes
    login_hosts: frozenset[str] = frozenset()
    own_logins: tuple[Login, ...] = field(default=(), repr=False)
    saved_logins: bool = True
    withholds_logins: bool = False
    trusts_packages: bool = False
    cache_scope: str = ""
    build_scope: str = ""
    recorded_hash: str = ""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    python_choice: PythonChoice | None = None
    lock_digest: str = ""
    exact: str = ""


def plan_image(
    spec: EnvironmentSpec,
    base: BaseImage,
    platform: str,
    *,
    template: UserTemplate | None = None,
    secrets: Mapping[str, bytes] | None = None,
) -> ImagePlan:
    """Plan the image of an environment.

    Args:
        platform: ``os/architecture``.
        template: The user's template, whose blocks replace ours.
        secrets: Id → content, for the steps of that template; not hashed.

    Raises:
        InvalidConfig: The user's template is wrong.
    """
    scripts = {name: read_template(name) for name in SCRIPTS}
    templates = template_texts(spec, template)
    dockerfile = render(spec, base.pinned, template)
    digest = environment_hash(spec, base.digest, platform, {**templates, **scripts})
    files = {"Dockerfile": dockerfile} | _texts_for_steps(spec, scripts)
    context: dict[str, Content] = {path: text.encode() for path, text in files.items()}
    context |= {f"project/{path}": content for path, content in spec.files.items()}
    return ImagePlan(
        hash=digest,
        tag=f"{IMAGE_REPOSITORY.format(python=spec.python)}:{digest[:HASH_DIGITS_IN_TAG]}",
        dockerfile=dockerfile,
        context=dict(sorted(context.items())),
        base=base,
        python=spec.python,
        platform=platform,
        is_locked=has_packages(spec),
        indexes=spec.indexes,
        own_logins=tuple(
            login for login in spec.indexes.logins if login not in spec.installer_indexes.logins
        ),
        secrets=dict(secrets or {}),
        python_choice=spec.python_choice,
        cache_scope=_cache_scope(spec, template),
        withholds_logins=_runs_programs(spec, template),
    )


def _texts_for_steps(spec: EnvironmentSpec, scripts: Mapping[str, str]) -> dict[str, str]:
    """Path → text of the build context: scripts, settings, and what is declared."""
    files = {
        **{f"build/{name}": text for name, text in scripts.items()},
        **uv_files(spec.indexes),
        "build/pip.conf": pip_settings(spec.installer_indexes),
        PYTHON_SETTINGS: spec.python_settings,
        "declared/requirements.txt": _lines(spec.requirements),
        "declared/constraints.txt": _lines(spec.constraints),
        "declared/direct.txt": _lines(spec.direct),
        "declared/index.txt": _lines(
            _common_index(
                *(spec.indexes, spec.installer_indexes, spec.requirements),
                has_files=bool(spec.files),
            )
        ),
    }
    if spec.exclude_newer:
        files["declared/exclude-newer.txt"] = spec.exclude_newer
    if spec.lock_text:
        files["declared/pylock.toml"] = spec.lock_text
    if spec.conda is not None:
        files["declared/conda.yaml"] = conda_settings(spec.conda)
    return files


def _cache_scope(spec: EnvironmentSpec, template: UserTemplate | None) -> str:
    """A digest of the programs that run in steps with the cache of packages; empty for ours alone."""
    programs: list[object] = []
    if template is not None:
        programs += [template.text, {path: digest_of(file) for path, file in spec.files.items()}]
    if spec.conda is not None:
        programs += [spec.conda.channels, spec.conda.packages]
    return digest_of(json.dumps(programs).encode()) if programs else ""


def _runs_programs(spec: EnvironmentSpec, template: UserTemplate | None) -> bool:
    """True if steps with logins run programs that the project alone chose to trust."""
    conda = spec.conda
    return template is not None or (conda is not None and not conda.is_of_known_channels)


def environment_hash(
    spec: EnvironmentSpec, base_digest: str, platform: str, templates: Mapping[str, str]
) -> str:
    """The sha256 of the canonical JSON of everything that makes the image, in hex.

    In: the specification, the templates and scripts, the base's digest, the platform. Out: names,
    project code (unless it is installed as a package), registries, times, users, secrets.

    Args:
        platform: ``os/architecture``.
        templates: Name → text of templates and scripts.
    """
    declared: dict[str, object] = {
        "schema": SCHEMA_VERSION,
        "python": spec.python,
        "requirements": spec.requirements,
        "constraints": spec.constraints,
        "index": spec.indexes.default,
        "extra_indexes": spec.indexes.extra,
        "find_links": spec.indexes.find_links,
        "conda": None if spec.conda is None else [spec.conda.channels, spec.conda.packages],
        "system_packages": spec.system_packages,
        "files": {
            path: digest_of(content) + " program" * is_program(content)
            for path, content in spec.files.items()
        },
        "lock": [spec.lock, spec.lock_text],
        "templates": dict(templates),
        "layers": LAYERS,
        "base": base_digest,
        "platform": platform,
    }
    # What most environments lack is left out, so that their hashes stay.
    if spec.exclude_newer:
        declared["exclude_newer"] = spec.exclude_newer
    if spec.fetches_python:
        declared["fetches_python"] = True
    if spec.finds_libraries:
        declared["finds_libraries"] = True
    canonical = json.dumps(declared, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return digest_of(canonical.encode())


def uv_files(indexes: Indexes) -> dict[str, str]:
    """Path → text of uv's settings: to resolve, and to install what has an address."""
    return {
        "build/uv.toml": uv_settings(indexes),
        "build/uv-install.toml": uv_settings(replace(indexes, find_links=())),
    }


def uv_settings(indexes: Indexes) -> str:
    """The ``uv.toml`` of a build. Texts and lists of JSON are valid TOML."""
    settings = {
        "find-links": list(indexes.find_links),
        "allow-insecure-host": list(indexes.trusted_hosts),
    }
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value]
    for address in [*indexes.extra, indexes.default or _PUBLIC_INDEX]:
        lines += ["\n[[index]]\n", f"url = {json.dumps(address)}\n", _FILES_NEVER_CHANGE]
    return "".join([*lines, "default = true\n"])


def _common_index(
    indexes: Indexes, machine: Indexes, requirements: Sequence[str], *, has_files: bool
) -> tuple[str, ...]:
    """The index whose downloads other builds take from the cache.

    None if the project names an index, or may do so in a file of its packages: it could give out a
    file as one of the common index.
    """
    if has_files or any("@" in line or "://" in line for line in requirements):
        return ()
    of_project = replace(indexes, logins=()) != replace(machine, logins=())
    return () if of_project else (indexes.default or _PUBLIC_INDEX,)


def conda_settings(conda: CondaPackages) -> str:
    """The conda environment file of a build. JSON is valid YAML."""
    content = {"channels": conda.channels, "dependencies": conda.packages}
    return json.dumps(content, indent=2) + "\n"


def pip_settings(indexes: Indexes) -> str:
    """The ``pip.conf`` that fetches the installer."""
    settings = {
        "index-url": [indexes.default] if indexes.default else [],
        "extra-index-url": indexes.extra,
        "find-links": indexes.find_links,
        "trusted-host": indexes.trusted_hosts,
    }
    lines = [f"{key} = {' '.join(value)}\n" for key, value in settings.items() if value]
    return "[global]\n" + "".join(lines)


def _lines(lines: tuple[str, ...]) -> str:
    return "".join(f"{line}\n" for line in lines)
