"""The process of the steps of one driver: starts what the program asks for, each in a process of its own.

The process has everything imported, and each step is a fork of it: a step starts as fast as in a warm
process, has its own standard streams, and is interrupted as a command is.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.container import KILLED
from container_backend.engine import connect
from container_backend.errors import ContainerBackendError
from container_backend.machine import MaskedFormatter
from container_backend.privileges import MOST_STEPS_AT_ONCE, MOST_STEPS_OF_OTHERS_AT_ONCE
from container_backend.runs.ledger import DRIVER, StepsFolder
from container_backend.runs.steps.driver import Driver
from container_backend.runs.steps.step import conclude, prepare, remove_folder, run_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.runs.ledger import StepFolder

_logger = logging.getLogger(__package__)
_LOOK_SECONDS: Final = 1.0
_BELL_BYTES: Final = 4096
_END_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05


class Steps:
    """The steps of a driver."""

    def __init__(self, folder: StepsFolder, driver: Driver) -> None:
        self._folder = folder
        self._driver = driver
        self._children: dict[int, StepFolder] = {}
        self._interrupted: set[Path] = set()
        self._ended: set[Path] = set()
        self._at_once = MOST_STEPS_AT_ONCE if driver.is_trusted else MOST_STEPS_OF_OTHERS_AT_ONCE

    def serve(self) -> None:
        """Start steps until the driver and all of its steps have ended. Raises OSError."""
        builder = self._fork(prepare) if self._driver.is_trusted else 0
        with self._folder.waking() as bell:
            while self._look():
                if select.select([bell], [], [], _LOOK_SECONDS)[0]:
                    os.read(bell, _BELL_BYTES)
                if builder and os.waitpid(builder, os.WNOHANG)[0]:
                    builder = 0
        if builder:
            _end(builder)
        remove_folder(self._driver)
        shutil.rmtree(self._folder.path, ignore_errors=True)

    def _look(self) -> bool:
        """Start what is new, stop what is cancelled; false once there is nothing more to do."""
        self._reap()
        going_on = Path(self._driver.note).exists()
        for step in self._folder.steps():
            if step.path in self._ended or not step.is_asked:
                continue
            if step.said().has_ended:
                self._ended.add(step.path)
            elif step.is_cancelled or self._folder.are_to_end:
                self._stop(step)
            elif not self._is_running(step):
                self._begin(step, going_on=going_on)
        return going_on or bool(self._children)

    def _is_running(self, step: StepFolder) -> bool:
        """True for a step of this process, or of one of before, which was killed."""
        if step.path in {each.path for each in self._children.values()}:
            return True
        with step.lock() as lock:
            return not lock.try_to_own()

    def _begin(self, step: StepFolder, *, going_on: bool) -> None:
        if step.has_begun:
            self._carry_out(step, conclude)
        elif going_on and len(self._children) < self._at_once:
            step.begin()
            self._carry_out(step, run_step)

    def _stop(self, step: StepFolder) -> None:
        if not step.has_begun:
            step.say(status=KILLED, reason="cancelled before it was started", has_ended=True)
        elif not self._is_running(step):
            self._carry_out(step, conclude)
        for child, known in self._children.items():
            if known.path == step.path and step.path not in self._interrupted:
                self._interrupted.add(step.path)
                os.kill(child, signal.SIGINT)

    def _reap(self) -> None:
        for child, step in list(self._children.items()):
            if os.waitpid(child, os.WNOHANG)[0]:
                del self._children[child]
                self._interrupted.discard(step.path)
                if not step.said().has_ended:
                    _logger.warning("step %s: its process is gone", step.path.name)

    def _carry_out(self, step: StepFolder, do: Callable[[Driver, StepFolder], None]) -> None:
        def begin(driver: Driver) -> None:
            with step.lock() as lock:
                lock.own()
                if step.said().has_ended:  # another process was told to conclude it
                    return
                _write_to(step.output)
                do(driver, step)

        self._children[self._fork(begin)] = step

    def _fork(self, do: Callable[[Driver], None]) -> int:
        """Do something in a child of this process; return its number."""
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            return child
        try:
            do(self._driver)
        except KeyboardInterrupt:  # before or after what takes time; then the next look goes on
            _logger.info("interrupted")
        except BaseException:
            _logger.exception("a child of this process failed")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)


def _end(child: int) -> None:
    """Interrupt a child, and kill it if it goes on."""
    os.kill(child, signal.SIGINT)
    deadline = time.monotonic() + _END_SECONDS
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return
        time.sleep(_PAUSE_SECONDS)


def _write_to(file: Path) -> None:
    """Have the standard streams of this process go to a file, which only this user may read.

    What this process logs of itself goes where it went: the program is shown the file.
    """
    log = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    for handler in _logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(log)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    opened = os.open(file, flags, 0o600)
    for descriptor in (1, 2):
        os.dup2(opened, descriptor)
    os.close(opened)


def _import_all() -> None:
    """What a step needs, once for all of them."""
    import container_backend.image.buildkit.build
    import container_backend.runs.foreground
    import container_backend.runs.handle  # noqa: F401


def main() -> None:
    """Start the steps of the driver that the environment describes, until they have ended."""
    folder = StepsFolder(Path(sys.argv[1]))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskedFormatter("%(asctime)s %(process)d %(message)s"))
    logging.getLogger(__package__).addHandler(handler)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Shells have commands in the background ignore it, and their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    driver = Driver.model_validate(json.loads(os.environ.pop(DRIVER)))
    _import_all()
    with suppress(ContainerBackendError), closing(connect(driver.host)):
        _logger.debug("the facts of the engine are known")
    try:
        Steps(folder, driver).serve()
    except FileNotFoundError:  # the folder was removed
        _logger.info("%s is gone", folder.path)


if __name__ == "__main__":
    main()
