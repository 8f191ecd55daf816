"""What one project may ask for, and the refusals of what the project may not ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.privileges.table import (
    ALLOWED,
    CONTAINED_ARGS,
    LIMITS,
    NO,
    RECORD_SETTINGS,
    TRUST_OPTION,
    TRUST_PROJECT,
    YES,
    Giver,
    Right,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from pathlib import Path

_REASONS = {
    Giver.OWN: "a project's file alone cannot reach this machine",
    Giver.FETCHED: "this project was fetched",
    Giver.RECORD: "this project comes from a run's record",
}


@dataclass(frozen=True)
class Permissions:
    """What one project may ask for.

    Attributes:
        trusted: The user typed ``trust_project``, or ``--trust`` for a record.
        fetched: The folder of all that was fetched, or sent by a program, with the project, which reaches
            nothing outside of it; None for a folder of the user.
    """

    giver: Giver
    trusted: bool = False
    fetched: Path | None = None

    def allow(self, right: Right) -> bool:
        allowed = ALLOWED[self.giver][right]
        return allowed == YES or (allowed == TRUST_PROJECT and self.trusted)

    @property
    def is_own(self) -> bool:
        """True for a folder of the user."""
        return self.giver is Giver.OWN

    def reaches(self, path: Path, project: Path) -> bool:
        """True for a file or folder that a project may install, or read a list of packages from.

        What is hidden, as ``.git`` and most files with logins, is only for the project it is in.

        Args:
            path: Resolved.
            project: The project's folder, resolved.
        """
        if path.is_relative_to(project):
            return True
        common = next(parent for parent in (path, *path.parents) if project.is_relative_to(parent))
        if any(part.startswith(".") for part in path.relative_to(common).parts):
            return False
        if self.fetched is not None:
            return path.is_relative_to(self.fetched)
        return self.allow(Right.NEIGHBOURS)

    @property
    def reason(self) -> str:
        """Why something is refused."""
        return _REASONS[self.giver]

    @property
    def remedy(self) -> str:
        """How the user can trust the project."""
        option = "--trust" if self.giver is Giver.RECORD else TRUST_OPTION
        return f"If you trust it, allow it: {option}."

    def refusal(self, right: Right, where: str, wants: str, *, instead: str = "") -> InvalidProject:
        """The error for a right that is not allowed.

        Args:
            where: File and key.
            wants: What the project wants, as the end of a sentence.
            instead: What the user can do without trusting the project, as a sentence.
        """
        remedies = [instead] if instead else []
        if ALLOWED[self.giver][right] != NO:
            remedies.append(self.remedy)
        return InvalidProject(
            f"{where}: {self.reason}, and {wants}.", remedy=" ".join(remedies) or None
        )


def check_template(file: Path, permissions: Permissions) -> None:
    """Raise InvalidProject for the template of a project that may not change its build."""
    if not permissions.allow(Right.TEMPLATE):
        raise permissions.refusal(
            Right.TEMPLATE,
            str(file),
            "wants to change the steps of the build, which run as root, and can copy from every "
            "image of the engine",
            instead='To build with a template of yours: -c \'{"template": "/FILE"}\'.',
        )


def check_volumes(where: str, volumes: Iterable[str], permissions: Permissions) -> None:
    """Raise InvalidProject for volumes (``source:target``) that the user did not type."""
    named = [volume.partition(":")[0] for volume in volumes]
    if named and not permissions.allow(Right.PATHS):
        typed = " ".join(f"-A volume={volume}" for volume in volumes)
        raise permissions.refusal(
            Right.PATHS,
            f"{where}, key 'volumes'",
            f"wants to see {', '.join(named)} of this machine",
            instead=f"Type what it may see: {typed}.",
        )


def check_variables(
    where: str, variables: Iterable[str], given: Container[str], permissions: Permissions
) -> None:
    """Raise InvalidProject if a project asks for variables that the user did not type.

    Args:
        where: File and key, for messages.
        variables: ``NAME=VALUE``, or ``NAME`` for the user's value.
        given: Names that the user passes to the program anyway.
    """
    named = [name for name in variables if "=" not in name and name not in given]
    if named and not permissions.allow(Right.VARIABLES):
        typed = " ".join(f"-A env={name}" for name in named)
        raise permissions.refusal(
            Right.VARIABLES,
            f"{where}, key 'environment'",
            f"wants the values of {', '.join(named)} of your environment",
            instead=f"Pass what it needs: {typed}.",
        )


def check_record(
    where: str,
    docker_args: Mapping[str, Sequence[object]],
    config: Mapping[str, object],
    access: Container[str] = (),
) -> None:
    """Raise InvalidConfig if a run's record reaches into this machine.

    Args:
        where: The run, for messages.
        docker_args: Long name → values, without those that the user typed again.
        config: Backend config of the record.
        access: Names of variables by which processes of this user reach a store.
    """
    given = [str(each).partition("=") for each in docker_args.get("env", ())]
    variables = [name for name, equals, _ in given if not equals]
    reaching = [
        f"docker argument '{name}'"
        for name, values in docker_args.items()
        if name not in CONTAINED_ARGS
        or (name in LIMITS and any("-" in str(each) for each in values))
    ]
    reaching += [
        f"'{name}' in the backend config"
        for name, value in config.items()
        if value and name not in RECORD_SETTINGS
    ]
    reaching += [f"the variable {name}" for name, equals, _ in given if equals and name in access]
    if variables:
        reaching.append(f"the values of {', '.join(variables)} of the environment")
    if reaching:
        typed = " ".join(f"-A env={name}" for name in variables)
        raise InvalidConfig(
            f"{where} was allowed to reach into its machine: {', '.join(reaching)}.",
            remedy=(f"Pass the variables that it needs again: {typed}. " if variables else "")
            + "If you trust it, allow the same on this machine: --trust.",
        )
