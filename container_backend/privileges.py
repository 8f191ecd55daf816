"""What a project may ask of this machine.

A project in a folder of the user's own may ask for everything: the user can read it, and runs it on
purpose. One that was fetched, or that comes out of a run's record, is another person's: it may ask
for its own files and for addresses, unless the user trusts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from container_backend.errors import InvalidProject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable


@dataclass(frozen=True)
class Permissions:
    """What the user lets one project ask for.

    Attributes:
        trusted: Everything but the engine.
        is_repeated: The project comes out of a run's record.
    """

    trusted: bool
    is_repeated: bool = False

    @property
    def reason(self) -> str:
        """Why a project is not trusted."""
        return "this project " + (
            "comes from a run's record" if self.is_repeated else "was fetched"
        )

    @property
    def remedy(self) -> str:
        """How the user trusts it."""
        option = "--trust" if self.is_repeated else "-c '{\"trust_project\": true}'"
        return f"If you trust it, allow it: {option}."


def check_volumes(where: str, volumes: Iterable[str], permissions: Permissions) -> None:
    """Refuse volumes of a ``docker_env``, each ``folder here:folder there``.

    Raises:
        InvalidProject: The project is not trusted, and has some.
    """
    named = [volume.partition(":")[0] for volume in volumes]
    if named and not permissions.trusted:
        raise InvalidProject(
            f"{where}, key 'volumes': {permissions.reason}, and wants to see {', '.join(named)} "
            "of this machine.",
            remedy=permissions.remedy,
        )


def check_variables(
    where: str, variables: Iterable[str], given: Container[str], permissions: Permissions
) -> None:
    """Refuse variables of a ``docker_env`` whose values would be the user's.

    Args:
        where: File and key, for messages.
        variables: ``NAME=VALUE``, or ``NAME`` for the user's value.
        given: Names that the user gives the program anyway.
        permissions: Of the project.

    Raises:
        InvalidProject: The project is not trusted, and names some.
    """
    named = [name for name in variables if "=" not in name and name not in given]
    if named and not permissions.trusted:
        typed = " ".join(f"-A env={name}=…" for name in named)
        raise InvalidProject(
            f"{where}, key 'environment': {permissions.reason}, and wants the values of "
            f"{', '.join(named)} of your environment.",
            remedy=f"Give those that it needs: {typed}. {permissions.remedy}",
        )
