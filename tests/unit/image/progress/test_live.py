"""The live lines of a build, on a terminal that remembers its screens; no engine is needed."""

from __future__ import annotations

import re
import signal
import sys

import pytest

from tests.support.terminal import run_on_terminal

# A build of two steps; `{middle}` happens while the second one runs.
PROGRAM = """
import logging, sys, time, threading
from container_backend.image.buildkit.trace import StepEvent
from container_backend.machine.log import configure_logging
from container_backend.image.progress.show import shown_steps

configure_logging()
log = logging.getLogger("container_backend.test")
first, second = "[a 1/2] RUN sh /build/installer.sh", "[a 2/2] RUN sh /build/resolve.sh"
with shown_steps() as show:
    show(StepEvent(first, "started"))
    show(StepEvent(first, "cached", 0.0))
    show(StepEvent(second, "started"))
    show(StepEvent(second, "output", text="\\x1b[2J" + "word " * 50))
    time.sleep(0.4)
    {middle}
    time.sleep(0.4)
    show(StepEvent(second, "completed", 0.8))
log.info("=== Built ===")
print("rich" in sys.modules)
"""


def python(middle: str = "pass", **options: object) -> tuple[str, ...]:
    return run_on_terminal([sys.executable, "-c", PROGRAM.format(middle=middle)], **options)


def test_a_line_for_each_step_and_nothing_of_it_afterwards():
    shown = python(columns=70)
    assert any(re.search("✓ fetching the installer +cached", text) for text in shown.screens)
    lines = [line for screen in shown.screens for line in screen.splitlines()]
    running = next(line for line in lines if "resolving" in line)
    assert running.endswith("…")
    assert len(running) == 69
    first, second = shown.last.splitlines()
    assert first.endswith("INFO container_backend.test: === Built ===")
    assert second == "True"
    assert (shown.exit_code, shown.cursor_hidden) == (0, False)


def test_the_time_goes_on_while_nothing_is_told():
    shown = python("time.sleep(2)")
    text = "\n".join(shown.screens)
    times = list(map(float, re.findall(r"resolving the requirements +(\d\.\d) s", text)))
    assert times == sorted(times)
    assert len(set(times)) >= 5


LONG = "a warning that is longer than the terminal is wide, and would be cut off or wrapped"


@pytest.mark.parametrize(
    "write",
    [
        f"log.warning('{LONG}')",
        f"threading.Thread(target=log.warning, args=('{LONG}',)).start()",
        f"print('{LONG}', file=sys.stderr)",
        f"print('{LONG}')",
    ],
    ids=["log", "log of a thread", "standard error", "standard output"],
)
def test_what_others_write_stands_above_the_lines(write):
    shown = python(write, columns=60)
    assert LONG in shown.last.replace("\n", "")
    during = [screen for screen in shown.screens if LONG in screen.replace("\n", "")][1]
    assert during.rindex("wrapped") < during.index("fetching the installer")
    assert during.count("resolving the requirements") == 1
    assert "resolving" not in shown.last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_leaves_the_terminal_as_it_was(number):
    sent = []

    def interrupt(screen, process):
        if "resolving" in screen and not sent:
            sent.append(process.send_signal(number))

    shown = python("time.sleep(60)", on_screen=interrupt, seconds=30)
    assert shown.exit_code != 0
    assert not shown.cursor_hidden
    assert "– resolving the requirements" in shown.last  # noqa: RUF001 a dash
    assert "KeyboardInterrupt" in shown.last


def test_a_failed_build_leaves_its_lines():
    shown = python("show(StepEvent(second, 'failed', 0.4, 'exit code: 1')); raise OSError('no')")
    assert "✗ resolving the requirements   0.4 s" in shown.last
    assert shown.last.index("✗") < shown.last.index("OSError: no")
    assert not shown.cursor_hidden


def test_a_second_build_at_the_same_time_is_told_in_log_lines():
    shown = python("with shown_steps() as other: other(StepEvent(first, 'cached', 0.0))")
    assert "    fetching the installer: cached" in shown.last


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"CI": "1"}], ids=str)
def test_no_terminal(variables):
    shown = python(**variables)
    assert "    resolving the requirements: 0.8 s" in shown.last
    assert shown.last.endswith("False")


def test_an_application_that_logs_itself_gets_log_lines():
    program = "import logging, sys; sys.stderr.write(''); logging.basicConfig(level='INFO')\n"
    program += "logging.getLogger('container_backend').addHandler(logging.NullHandler())\n"
    shown = run_on_terminal([sys.executable, "-c", program + PROGRAM.format(middle="pass")])
    assert "    resolving the requirements: 0.8 s" in shown.last
    assert shown.last.endswith("False")


def test_without_colours_there_are_lines_all_the_same():
    shown = python(NO_COLOR="1")
    assert any("✓ fetching the installer" in screen for screen in shown.screens)


def test_a_terminal_that_knows_ascii_only():
    shown = python(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert any("+ fetching the installer" in screen for screen in shown.screens)
    assert shown.exit_code == 0
