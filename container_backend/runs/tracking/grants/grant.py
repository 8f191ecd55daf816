"""Grants: what the program of an attempt may do in a store, and for how long.

A grant is a file beside the proxy. Its token ends when the grant is removed, and also when the ledger
entry of the run is gone: so a run that was finished by any process can write no more. A proxy that was
killed finds the same grants again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.machine import is_submission, make_private, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SEPARATOR: Final = "."
# What a parameter may hand to a program: a run, a logged model, a registered model.
_HANDED: Final = (
    re.compile(r"(?:runs:/+)?([0-9a-f]{32})(?:/.*)?"),
    re.compile(r"(?:models:/+)?(m-[0-9a-f]{32})(?:/.*)?"),
    re.compile(r"models:/+([^/@]+)[/@].+"),
)
_SUFFIX: Final = ".json"
_NEW_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Grant:
    """What a program may do.

    Attributes:
        submission: The name of the run's ledger entry.
        note: A file that exists until the run is finished.
        run_id: The run of the program.
        experiment_id: Of that run.
        is_own: The project may do what any client of the store may do.
        handed: Ids of runs and models, and names of models, that a parameter hands to the program.
        artifact_root: Where a new experiment has its artifacts: an address, or empty for the default.
        way: The way of the container to this machine; empty if its connections are carried.
        steps: The folder of the steps that the program may start; empty for none.
        digest: Of the secret in the token.
    """

    submission: str
    note: str
    run_id: str
    experiment_id: str
    is_own: bool
    handed: tuple[str, ...] = ()
    artifact_root: str = ""
    way: str = ""
    steps: str = ""
    digest: str = ""

    @property
    def is_valid(self) -> bool:
        return Path(self.note).exists()


class Grants:
    """The grants of a store, in a folder of this user."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def give(self, grant: Grant) -> str:
        """Store a grant, in place of an earlier one of the run; return its token.

        Raises:
            OSError: The disk is full, or cannot be written.
        """
        secret = secrets.token_urlsafe(32)
        make_private(self._folder)
        given = {**asdict(grant), "digest": _digest(secret)}
        write_whole(self._file(grant.submission), json.dumps(given))
        return f"{grant.submission}{_SEPARATOR}{secret}"

    def find(self, token: str) -> Grant | None:
        """The grant of a token, if the token is right and its run goes on."""
        submission, _, secret = token.partition(_SEPARATOR)
        grant = self._read(submission)
        if grant is None or not hmac.compare_digest(grant.digest, _digest(secret)):
            return None
        return grant if grant.is_valid else None

    def end(self, submission: str) -> None:
        """End the grant of a run, if it has one; its token is refused from now on."""
        if is_submission(submission):
            self._file(submission).unlink(missing_ok=True)

    def goes_on(self, submission: str) -> bool:
        """True while the run of a grant is not finished."""
        grant = self._read(submission)
        return grant is not None and grant.is_valid

    def valid(self) -> Iterator[Grant]:
        """The grants whose runs go on."""
        for file in self._files():
            grant = self._read(file.name.removesuffix(_SUFFIX))
            if grant is not None and grant.is_valid:
                yield grant

    def tidy(self) -> set[str]:
        """Remove the grants of runs that were finished, with what is beside them.

        Returns:
            The submissions of the runs that go on.
        """
        going_on = {grant.submission for grant in self.valid()}
        for file in self._files():
            if file.name.partition(_SEPARATOR)[0] not in going_on:
                with suppress(OSError):  # a new file may be of a grant that is being written
                    if time.time() - file.stat().st_mtime > _NEW_SECONDS:
                        file.unlink()
        return going_on

    def beside(self, submission: str, suffix: str) -> Path:
        """A file that is removed after the grant of a run."""
        return self._folder / f"{submission}{suffix}"

    def _files(self) -> list[Path]:
        with suppress(OSError):
            return list(self._folder.iterdir())
        return []

    def _file(self, submission: str) -> Path:
        return self._folder / f"{submission}{_SUFFIX}"

    def _read(self, submission: str) -> Grant | None:
        if not is_submission(submission):
            return None
        try:
            values = json.loads(self._file(submission).read_text(encoding="utf-8"))
            return Grant(**{**values, "handed": tuple(values["handed"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def handed_by(values: Iterable[str]) -> tuple[str, ...]:
    """The runs and models that parameters hand to a program."""
    matches = [pattern.fullmatch(value) for value in values for pattern in _HANDED]
    return tuple(match[1] for match in matches if match is not None)
