"""The Dockerfile of an environment, rendered from templates."""

from __future__ import annotations

import functools
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from container_backend.environment import PYTHON_TEMPLATE, TEMPLATES
from container_backend.errors import InvalidConfig
from container_backend.labels_and_tags import CODE_DIRECTORY, ENVIRONMENT_DIRECTORY
from container_backend.machine import call_limited, read_template, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.environment import EnvironmentSpec

# The errors of a wrong template; RecursionError if the template includes itself.
_MISTAKES: Final = (
    jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError,
)  # fmt: skip
# templates/split_lock.py decides on the layer of each package.
LAYERS: Final = ("heavy", "medium", "light", "direct")
# The last layer: packages that are files of the project.
LOCAL_LAYER: Final = "local"
_USER: Final = "user"


def template_texts(spec: EnvironmentSpec, user: UserTemplate | None) -> dict[str, str]:
    """Name → text of the templates of an environment's Dockerfile."""
    names = {spec.template.name, PYTHON_TEMPLATE.name}
    return {name: read_template(name) for name in names} | ({_USER: user.text} if user else {})


def has_packages(spec: EnvironmentSpec) -> bool:
    """True if Python packages are declared; then the build makes a lock."""
    return bool(spec.requirements or spec.lock)


def render(spec: EnvironmentSpec, base_image: str, user: UserTemplate | None = None) -> str:
    """Render the Dockerfile of an environment.

    Args:
        spec: Validated: no value can add an instruction.
        user: A template whose blocks replace ours.

    Raises:
        InvalidConfig: The user's template is wrong; the message has file and line.
    """
    variables = {
        "base_image": base_image,
        "python": spec.python,
        "system_packages": spec.system_packages,
        "fetches_python": spec.fetches_python,
        "finds_libraries": spec.finds_libraries,
        "requirements": has_packages(spec),
        "source": spec.lock or "requirements",
        "layers": (*LAYERS, LOCAL_LAYER) if spec.files else LAYERS,
        "local_layer": LOCAL_LAYER,
        "environment": ENVIRONMENT_DIRECTORY,
        "code": CODE_DIRECTORY,
        BASE_TEMPLATE_VARIABLE: spec.template.name,
    }
    if user is None:
        return _environment(None).get_template(spec.template.name).render(variables)
    given = {"file": str(user.file), "text": user.text, "variables": variables}
    return str(call_limited(__name__, "render_users", given, str(user.file)))


def render_users(given: Mapping[str, Any]) -> str:
    """Render a user's template, in a process with limits: loops can take any time and memory."""
    user = UserTemplate(Path(given["file"]), given["text"])
    try:
        return _environment(user).get_template(_USER).render(given["variables"])
    except _MISTAKES as error:
        raise InvalidConfig(f"{_where(user, error)}: {_said_of(error)}") from error


@functools.lru_cache(maxsize=16)
def _environment(user: UserTemplate | None) -> SandboxedEnvironment:
    """A cached environment of Jinja: to compile its templates takes longer than to render them."""

    def load(name: str) -> tuple[str, str, None] | str | None:
        if user is not None and name == _USER:
            return user.source, str(user.file), None
        # A project's template must not read any other file.
        return read_template(name) if name in TEMPLATES else None

    return SandboxedEnvironment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # a Dockerfile is not HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _said_of(error: Exception) -> str:
    if isinstance(error, jinja2.TemplateNotFound):
        missing = ", ".join(f"'{name}'" for name in getattr(error, "templates", [error.name]))
        return f"there is no template {missing}; known: {', '.join(sorted(TEMPLATES))}"
    return str(error)


def _where(user: UserTemplate, error: Exception) -> str:
    """``FILE, line N`` of a syntax error, or of the last rendered line."""
    lines = [error.lineno] if isinstance(error, jinja2.TemplateSyntaxError) else []
    frames = traceback.extract_tb(error.__traceback__)
    lines += [frame.lineno for frame in frames if frame.filename == str(user.file) and frame.lineno]
    return f"{user.file}, line {lines[-1]}" if lines else str(user.file)


PROJECT_TEMPLATE: Final = "Dockerfile.j2"
BASE_TEMPLATE_VARIABLE: Final = "base_template"
_EXTENDS: Final = "{% extends " + BASE_TEMPLATE_VARIABLE + " %}"


@dataclass(frozen=True)
class UserTemplate:
    """A template of the user."""

    file: Path
    text: str

    @property
    def source(self) -> str:
        """The text for Jinja, which always extends our template."""
        return self.text if "{% extends" in self.text else _EXTENDS + self.text


def find_template(root: Path, named: str | None) -> UserTemplate | None:
    """Find the user's template: the one of the backend config, or the project's ``Dockerfile.j2``.

    Args:
        named: The key ``template`` of the backend config, relative to ``root``.

    Raises:
        InvalidConfig: The file is missing, or not text.
    """
    file = (root / (named or PROJECT_TEMPLATE)).resolve()
    if not file.is_file():
        if named is None:
            return None
        raise InvalidConfig(f"The backend config, key 'template': there is no file '{file}'.")
    if named is None and not file.is_relative_to(root):
        raise InvalidConfig(f"The template '{root / PROJECT_TEMPLATE}' is outside of the project.")
    return UserTemplate(file, "\n".join(read_text(file, InvalidConfig).splitlines()) + "\n")
