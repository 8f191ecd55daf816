"""EnvironmentSpec + templates → Dockerfile, build context and environment hash. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from container_backend.image.dockerfile import LAYERS, has_packages, render, template_texts
from container_backend.labels_and_tags import HASH_DIGITS_IN_TAG, IMAGE_REPOSITORY
from container_backend.machine import digest_of, read_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.environment import CondaPackages, EnvironmentSpec, Indexes
    from container_backend.image.dockerfile import UserTemplate
    from container_backend.machine import Content

# Raise it when the same declaration shall make another image than before.
SCHEMA_VERSION: Final = 1
_PUBLIC_INDEX: Final = "https://pypi.org/simple"
# uv asks for files by their hash, but not every index lets uv cache them.
# https://docs.astral.sh/uv/concepts/indexes/#customizing-cache-control-headers
_FILES_NEVER_CHANGE: Final = 'cache-control = { files = "max-age=365000000, immutable" }\n'
# The scripts of the template's steps; they are not in the image.
_SCRIPTS: Final = (
    "access.sh",
    "check_python.py",
    "compile_bytecode.py",
    "count_packages.py",
    "conda.sh",
    "describe_packages.py",
    "install.sh",
    "installer.sh",
    "prepare.sh",
    "resolve.sh",
    "set_times.py",
    "split_lock.py",
    "system.sh",
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
        secrets: Id → content of further secrets.
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
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
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
    scripts = {name: read_template(name) for name in _SCRIPTS}
    templates = template_texts(spec, template)
    dockerfile = render(spec, base.pinned, template)
    digest = environment_hash(spec, base.digest, platform, {**templates, **scripts})
    files = {
        "Dockerfile": dockerfile,
        **{f"build/{name}": text for name, text in scripts.items()},
        "build/uv.toml": uv_settings(spec.indexes),
        "build/pip.conf": pip_settings(spec.installer_indexes),
        "declared/requirements.txt": _lines(spec.requirements),
        "declared/constraints.txt": _lines(spec.constraints),
        "declared/direct.txt": _lines(spec.direct),
        "declared/index.txt": _lines((spec.indexes.default or _PUBLIC_INDEX,)),
    }
    if spec.lock_text:
        files["declared/pylock.toml"] = spec.lock_text
    if spec.conda is not None:
        files["declared/conda.yaml"] = conda_settings(spec.conda)
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
        secrets=dict(secrets or {}),
    )


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
    declared = {
        "schema": SCHEMA_VERSION,
        "python": spec.python,
        "requirements": spec.requirements,
        "constraints": spec.constraints,
        "index": spec.indexes.default,
        "extra_indexes": spec.indexes.extra,
        "find_links": spec.indexes.find_links,
        "conda": None if spec.conda is None else [spec.conda.channels, spec.conda.packages],
        "system_packages": spec.system_packages,
        "files": {path: digest_of(content) for path, content in spec.files.items()},
        "lock": [spec.lock, spec.lock_text],
        "templates": dict(templates),
        "layers": LAYERS,
        "base": base_digest,
        "platform": platform,
    }
    canonical = json.dumps(declared, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return digest_of(canonical.encode())


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
