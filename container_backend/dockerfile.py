"""EnvironmentSpec + templates → Dockerfile, build context and environment hash. All of it pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from container_backend.names import (
    CODE_DIRECTORY,
    ENVIRONMENT_DIRECTORY,
    HASH_DIGITS_IN_TAG,
    IMAGE_REPOSITORY,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.environment import EnvironmentSpec
    from container_backend.indexes import Indexes

# Change it when the same declaration shall make another image than before.
SCHEMA_VERSION: Final = 1
TEMPLATE: Final = "Dockerfile.python.j2"
LAYERS: Final = ("heavy", "medium", "light")
# The scripts that the template's steps run; they never land in the image.
_SCRIPTS: Final = (
    "access.sh",
    "check_python.py",
    "compile_bytecode.py",
    "install.sh",
    "installer.sh",
    "prepare.sh",
    "resolve.sh",
    "split_lock.py",
)


@dataclass(frozen=True)
class BaseImage:
    """An image to build on.

    Attributes:
        reference: Its name, as set.
        digest: ``sha256:…`` of its content: the registry's digest where it came from one, its
            id where it was made on this engine.
        pinned: What ``FROM`` says.
    """

    reference: str
    digest: str
    pinned: str


@dataclass(frozen=True)
class ImagePlan:
    """An image that may or may not exist yet.

    Attributes:
        hash: The environment hash: 64 hex digits over all that is declared.
        tag: The name of the image.
        dockerfile: Its Dockerfile.
        context: Path → content of the build context, the Dockerfile included.
        base: What it is built on.
        python: The Python version wanted.
    """

    hash: str
    tag: str
    dockerfile: str
    context: Mapping[str, bytes] = field(repr=False)
    base: BaseImage
    python: str


def plan_image(spec: EnvironmentSpec, base: BaseImage, platform: str) -> ImagePlan:
    """Say which image an environment needs.

    Args:
        spec: The environment.
        base: The image to build on.
        platform: ``os/architecture`` of the engine.
    """
    scripts = {name: read_template(name) for name in _SCRIPTS}
    dockerfile = render(spec, base)
    digest = environment_hash(spec, base.digest, platform, scripts)
    files = {
        "Dockerfile": dockerfile,
        **{f"build/{name}": text for name, text in scripts.items()},
        "build/uv.toml": uv_settings(spec.indexes),
        "build/pip.conf": pip_settings(spec.installer_indexes),
        "declared/requirements.txt": _lines(spec.requirements),
        "declared/constraints.txt": _lines(spec.constraints),
    }
    return ImagePlan(
        hash=digest,
        tag=f"{IMAGE_REPOSITORY.format(python=spec.python)}:{digest[:HASH_DIGITS_IN_TAG]}",
        dockerfile=dockerfile,
        context={path: text.encode() for path, text in sorted(files.items())},
        base=base,
        python=spec.python,
    )


def environment_hash(
    spec: EnvironmentSpec, base_digest: str, platform: str, scripts: Mapping[str, str]
) -> str:
    """sha256 over the canonical JSON of all that is declared, in hex.

    In: the specification, the template and its scripts, the base's digest, the platform. Out:
    names, project code, registries, times, users, secrets.
    """
    declared = {
        "schema": SCHEMA_VERSION,
        "python": spec.python,
        "requirements": spec.requirements,
        "constraints": spec.constraints,
        "index": spec.indexes.default,
        "extra_indexes": spec.indexes.extra,
        "find_links": spec.indexes.find_links,
        "template": read_template(TEMPLATE),
        "scripts": dict(scripts),
        "layers": LAYERS,
        "base": base_digest,
        "platform": platform,
    }
    canonical = json.dumps(declared, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def render(spec: EnvironmentSpec, base: BaseImage) -> str:
    """The Dockerfile of an environment."""
    environment = SandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # a Dockerfile is not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(read_template(TEMPLATE))
    return template.render(
        base_image=base.pinned,
        python=spec.python,
        requirements=bool(spec.requirements),
        layers=LAYERS,
        environment=ENVIRONMENT_DIRECTORY,
        code=CODE_DIRECTORY,
    )


def read_template(name: str) -> str:
    """The text of a file of ``templates/``, from a wheel or a checkout."""
    file = resources.files("container_backend.templates") / name
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")


def uv_settings(indexes: Indexes) -> str:
    """Indexes as a ``uv.toml``. JSON's texts and lists are TOML's, too."""
    settings = {
        "index-url": indexes.default,
        "extra-index-url": list(indexes.extra),
        "find-links": list(indexes.find_links),
        "allow-insecure-host": list(indexes.trusted_hosts),
    }
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if value)


def pip_settings(indexes: Indexes) -> str:
    """Indexes as a ``pip.conf``, for fetching the installer itself."""
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
