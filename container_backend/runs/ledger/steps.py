"""The folder of the steps that the program of a run starts: what is asked, and what became of it.

Three processes use the folder. The tracking proxy writes what the program asks for, and reads the answers;
the process of the steps (``runs/steps``) carries it out; the process that finishes the run of the driver
says that the steps are to end. The folder outlives the ledger entry of the driver.
"""

from __future__ import annotations

import json
import os
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from container_backend.machine import (
    FileLock,
    FrozenModel,
    make_private,
    start_in_background,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODULE: Final = "container_backend.runs.steps.process"
# The variable of the process that says what its driver is: no file has its secrets.
DRIVER: Final = "CONTAINER_BACKEND_DRIVER"
# Linux, MAX_ARG_STRLEN.
_MOST_BYTES: Final = 128 * 1024
_PAUSE_SECONDS: Final = 0.5
_NAME: Final = re.compile(r"[0-9a-f]{32}")
# Files of a step.
_PROJECT, _ASKED, _GRANTED = "project", "asked.json", "granted.json"
_LOG: Final = "steps.log"
_SAID, _OUTPUT, _CANCEL, _LOCK, _BEGUN = "said.json", "output", "cancel", "lock", "begun"


class Asked(FrozenModel):
    """What a program asks for.

    Attributes:
        directory: The project's folder in the container; None for an address.
        root: The folder that the tar of the project is of.
        folder: The working directory of the program.
        parent: The run that the new one is to be a child of; empty for that of the driver.
        run_id: A run to go on with; empty for a new one.
        is_beside: Not in the container of its driver, whatever its environment is.
    """

    uri: str
    directory: str | None
    root: str | None
    entry_point: str
    version: str | None
    folder: str
    parameters: dict[str, str]
    experiment_id: str
    is_beside: bool
    environment: dict[str, str]
    parent: str = ""
    run_id: str = ""


class Granted(FrozenModel):
    """What the proxy knows of the rights of a step.

    Attributes:
        parent: The run that the new one is a child of.
        handed: The values of parameters that may hand runs and models on.
        run_id: The run to go on with; empty for a new one.
    """

    parent: str
    handed: list[str]
    run_id: str


@dataclass(frozen=True)
class Said:
    """What is known of a step.

    Attributes:
        run_id: Of its run; empty before there is one.
        status: Of its run, once that has ended.
        reason: Why it failed, or why there is no run.
        in_place: It has the environment of its driver, and belongs into the container of that.
        has_ended: Nothing more comes.
    """

    run_id: str = ""
    status: str = ""
    reason: str = ""
    in_place: bool = False
    has_ended: bool = False


@dataclass(frozen=True)
class StepFolder:
    """The folder of one step."""

    path: Path

    @property
    def project(self) -> Path:
        """A tar of files of the project, as the program has them; missing for a project at an address."""
        return self.path / _PROJECT

    @property
    def output(self) -> Path:
        return self.path / _OUTPUT

    @property
    def is_asked(self) -> bool:
        return (self.path / _ASKED).exists()

    @property
    def has_begun(self) -> bool:
        return (self.path / _BEGUN).exists()

    @property
    def is_cancelled(self) -> bool:
        return (self.path / _CANCEL).exists()

    @property
    def unpacked(self) -> Path:
        """The files of the tar, while the step goes on."""
        return self.path / "unpacked"

    @property
    def log(self) -> Path:
        """What the process of the steps writes of itself."""
        return self.path.parent / _LOG

    def make(self) -> None:
        """Make the folder. Raises OSError: also where the process of the steps has ended."""
        self.path.mkdir(mode=0o700, exist_ok=True)

    def ask(self, asked: Asked, granted: Granted) -> None:
        """Write what the program asks for, and what the proxy knows of its rights. Raises OSError."""
        write_whole(self.path / _GRANTED, json.dumps(granted.model_dump()))
        write_whole(self.path / _ASKED, json.dumps(asked.model_dump()))

    def asked(self) -> tuple[Asked, Granted]:
        """What was asked, and granted. Raises OSError, ValueError."""
        asked, granted = (
            json.loads((self.path / name).read_text(encoding="utf-8"))
            for name in (_ASKED, _GRANTED)
        )
        return Asked.model_validate(asked), Granted.model_validate(granted)

    @property
    def asked_at(self) -> float:
        """When the step was asked for, in seconds since 1970; 0 if it was not, yet."""
        try:
            return (self.path / _ASKED).stat().st_mtime
        except OSError:
            return 0.0

    def begin(self) -> None:
        (self.path / _BEGUN).touch(mode=0o600)

    def cancel(self) -> None:
        (self.path / _CANCEL).touch(mode=0o600)

    def lock(self) -> FileLock:
        """Held by the process that carries the step out."""
        return FileLock(self.path / _LOCK, "another process that runs this step")

    def said(self) -> Said:
        with suppress(OSError, ValueError, TypeError):
            return Said(**json.loads((self.path / _SAID).read_text(encoding="utf-8")))
        return Said()

    def say(self, **more: Any) -> None:  # noqa: ANN401 fields of Said
        """Write what is known now, beside what was known before. Raises OSError."""
        write_whole(self.path / _SAID, json.dumps(asdict(replace(self.said(), **more))))


@dataclass(frozen=True)
class StepsFolder:
    """The folder of the steps of one run."""

    path: Path

    def step(self, name: str) -> StepFolder:
        """Raises ValueError for a name that is none."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"this is no name of a step: {name!r}")
        return StepFolder(self.path / name)

    def steps(self) -> list[StepFolder]:
        """All steps, in the order in which they were asked for."""
        with suppress(OSError):
            names = [path.name for path in self.path.iterdir() if _NAME.fullmatch(path.name)]
            return sorted(map(self.step, names), key=lambda step: (step.asked_at, step.path.name))
        return []

    def end(self) -> None:
        """Have the steps end that go on, as their driver was stopped; do nothing if there are none."""
        with suppress(OSError):
            if self.path.is_dir():
                (self.path / _CANCEL).touch(mode=0o600)
                self.wake()

    def have_stopped(self) -> bool:
        """Have the steps end that an attempt of the driver has started; true once they have ended."""
        left = [step for step in self.steps() if step.is_asked and not step.said().has_ended]
        if not left or not self.are_served():
            return True
        for step in left:
            step.cancel()
        self.wake()
        return False

    @property
    def are_to_end(self) -> bool:
        return (self.path / _CANCEL).exists()

    def are_served(self) -> bool:
        """True while a process starts steps, or is about to be started again."""
        with self._lock() as lock:
            return not lock.try_to_own()

    def _lock(self) -> FileLock:
        return FileLock(self.path / "process.lock", "the process of the steps")

    def start(self, driver: str) -> None:
        """Start the process of the steps, which ends with the last of them.

        Args:
            driver: What it has to know, as JSON.

        Raises:
            OSError: The folder cannot be written, or there are too many processes.
        """
        make_private(self.path)
        if len(driver.encode()) + len(DRIVER) + 2 > _MOST_BYTES:
            raise OSError(None, "its docker arguments and variables are too long", str(self.path))
        with suppress(FileExistsError):
            os.mkfifo(self._bell, 0o600)
        environ = {**os.environ, DRIVER: driver}
        with self._lock() as lock:
            lock.own()
            start_in_background(
                _MODULE, [str(self.path)], self.path / _LOG, environ, pause=_PAUSE_SECONDS,
                descriptors=lock.hand_on(),
            )  # fmt: skip

    def wake(self) -> None:
        """Have the process look for what is new; without one, the next does."""
        with suppress(OSError):
            bell = os.open(self._bell, os.O_WRONLY | os.O_NONBLOCK)
            try:
                os.write(bell, b"\n")
            finally:
                os.close(bell)

    @contextmanager
    def waking(self) -> Iterator[int]:
        """A descriptor that can be read after :meth:`wake`. Raises OSError."""
        if not stat.S_ISFIFO(self._bell.stat().st_mode):
            raise FileNotFoundError(self._bell)
        bell = os.open(self._bell, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            yield bell
        finally:
            os.close(bell)

    @property
    def _bell(self) -> Path:
        return self.path / "bell"
