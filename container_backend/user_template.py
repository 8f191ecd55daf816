"""A template of the user's own: blocks that take the place of those of ours.

https://jinja.palletsprojects.com/en/stable/templates/#template-inheritance
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from container_backend.errors import InvalidConfig
from container_backend.yaml_file import read_text

if TYPE_CHECKING:
    from pathlib import Path

PROJECT_TEMPLATE: Final = "Dockerfile.j2"
BASE_TEMPLATE_VARIABLE: Final = "base_template"
_EXTENDS: Final = "{% extends " + BASE_TEMPLATE_VARIABLE + " %}"


@dataclass(frozen=True)
class UserTemplate:
    """The file and what it says."""

    file: Path
    text: str

    @property
    def source(self) -> str:
        """What Jinja is given: it extends ours, whether the file says so or not."""
        return self.text if "{% extends" in self.text else _EXTENDS + self.text


def find_template(root: Path, named: str | None) -> UserTemplate | None:
    """The template that the backend config names, or the project's ``Dockerfile.j2``.

    Args:
        root: The project's folder.
        named: The key ``template`` of the backend config, relative to the project's folder.

    Raises:
        InvalidConfig: It is not there, or not text.
    """
    file = (root / (named or PROJECT_TEMPLATE)).resolve()
    if not file.is_file():
        if named is None:
            return None
        raise InvalidConfig(f"The backend config, key 'template': there is no file '{file}'.")
    if named is None and not file.is_relative_to(root):
        raise InvalidConfig(f"The template '{root / PROJECT_TEMPLATE}' is outside of the project.")
    return UserTemplate(file, "\n".join(read_text(file, InvalidConfig).splitlines()) + "\n")
