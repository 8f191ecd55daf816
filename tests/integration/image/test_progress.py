"""What is seen of a real build: on a terminal, and without one."""

from __future__ import annotations

import base64
import json
import re
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container_backend.image.buildkit.build import BuildRequest, build_image
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.terminal import run_on_terminal
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.terminal import Shown

PROGRAM = str(Path(sys.executable).with_name("container-backend"))
# All of these packages are small: the layers for big ones stay empty.
FIRST = "six==1.16.0\n"
# Resolved anew in each session, whatever the engine has built before.
VARIANT = f"{FIRST}idna==3.7 ; platform_release != '{uuid.uuid4()}'\n"
MLPROJECT = "entry_points: {main: {command: 'true'}}\npython_env: python_env.yaml\n"
PYTHON = "python: '3.11'\ndependencies: [-r requirements.txt]\n"


# One worker: a build shows no steps that another one is about to do.
pytestmark = [pytest.mark.usefixtures("fresh"), pytest.mark.xdist_group("progress")]


@pytest.fixture(scope="module", autouse=True)
def _own_steps(engine) -> Iterator[None]:
    """A base with a layer that no other build has: engines share steps, even those without cache."""
    name = f"container-backend-test/own-steps:{uuid.uuid4().hex}"
    lines = f"FROM {BASE}\nRUN echo {name} > /own\n"
    request = BuildRequest(context={"Dockerfile": lines.encode()}, tags=(name,))
    build_image(engine, request)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINER_BACKEND_BASE_IMAGE", name)
        yield
    remove_images(engine, name)


def write(project, requirements: str) -> str:
    return project(MLPROJECT, python_env__yaml=PYTHON, requirements__txt=requirements)


def build(folder: str, *arguments: str, **options: object) -> Shown:
    # Wide enough for the log lines, too.
    return run_on_terminal([PROGRAM, "build", folder, *arguments], columns=240, **options)


def lines(shown: Shown) -> list[str]:
    return [line for screen in shown.screens for line in screen.splitlines()]


def seen(shown: Shown, pattern: str) -> list[re.Match[str]]:
    return [match for line in lines(shown) if (match := re.search(pattern, line))]


def test_a_build_on_a_terminal(project):
    shown = build(write(project, FIRST), "-c", '{"rebuild": true}')
    assert shown.exit_code == 0, shown.last
    # One that takes less time than passes between two screens is seen when it is done only.
    assert seen(shown, r"^    [⠋-⠿✓] checking for Python 3.11 +\d+\.\d s")
    assert seen(shown, r"^    [⠋-⠿] fetching the installer +\d+\.\d s")
    assert seen(shown, r"✓ resolving the requirements +\d+\.\d s  1 package$")
    assert seen(shown, r"✓ installing the direct packages +\d+\.\d s  1 package$")
    assert not seen(shown, "the (heavy|medium) packages")
    times = [float(match[1]) for match in seen(shown, r"[⠋-⠿] fetching the installer +(\d+\.\d) s")]
    assert times == sorted(times)
    assert len(set(times)) >= 5
    # One line is left of it.
    *logged, reference = shown.last.splitlines()
    assert [line.partition(": ")[2][:12] for line in logged] == ["=== Building", "=== Built co"]
    assert re.search(r"=== Built \S+: 1 package in \d+ s ===$", logged[1])
    assert reference.startswith("container-backend/python3.11:")
    assert not shown.cursor_hidden


@pytest.mark.slow
def test_steps_that_were_done_before_are_marked(project):
    build(write(project, FIRST))
    shown = build(write(project, VARIANT))
    assert shown.exit_code == 0, shown.last
    for step in ("checking for Python 3.11", "fetching the installer"):
        assert seen(shown, f"^    ✓ {step} +cached")
    assert seen(shown, r"✓ installing the direct packages +(\d+\.\d s|cached)  2 packages")
    assert re.search(r"=== Built \S+: 2 packages in \d+ s ===", shown.last)


def test_a_build_that_fails_on_a_terminal(project):
    shown = build(write(project, "six==0.0.0.1\n"))
    assert shown.exit_code == 6
    assert re.search(r"✗ resolving the requirements +\d+\.\d s", shown.last)
    tail = shown.last.partition("Error: ")[2].splitlines()
    assert tail[0] == "The environment image could not be built."
    assert tail[1] == "Failed step: resolving the requirements (exit code 1)"
    assert "there is no version of six==0.0.0.1" in shown.last
    assert "The index has no such package or version." in shown.last
    assert not shown.cursor_hidden


def test_an_interrupted_build_leaves_the_terminal_as_it_was(project):
    sent = []

    def interrupt(screen, process):
        if "fetching the installer" in screen and not sent:
            sent.append(process.terminate())

    folder = write(project, FIRST)
    shown = build(folder, "-c", '{"rebuild": true}', on_screen=interrupt)
    assert shown.exit_code == 130
    assert shown.last.endswith("Interrupted.")
    assert "– fetching the installer" in shown.last  # noqa: RUF001 a dash
    assert not shown.cursor_hidden


@pytest.mark.slow
def test_a_build_without_a_terminal(project):
    folder = write(project, FIRST)
    done = run_command("container-backend", "build", folder, "-c", '{"rebuild": true}')
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    said = [line.partition(": ")[2] for line in done.stderr.splitlines()]
    assert said[0].startswith("=== Building environment image ")
    steps = [line.partition(":")[0].strip() for line in said[1:-1]]
    steps = [step for step in steps if step != "writing the image"]  # it takes less than 0.1 s
    assert steps == [
        "checking for Python 3.11",
        "fetching the installer",
        "resolving the requirements",
        "installing the direct packages",
    ]
    assert all(re.search(r": \d+\.\d s$", line) for line in said[1:-1])
    assert re.search(r"=== Built \S+: 1 package in \d+ s ===$", said[-1])


@pytest.mark.slow
def test_a_variant_without_a_terminal(project):
    run_command("container-backend", "build", write(project, FIRST))
    done = run_command("container-backend", "build", write(project, VARIANT))
    assert "    checking for Python 3.11: cached" in done.stderr
    assert "    fetching the installer: cached" in done.stderr
    assert "the heavy packages" not in done.stderr


def test_a_run_that_finds_its_image_does_not_import_what_shows_a_build(project):
    folder = write(project, FIRST)
    build(folder)
    program = (
        "import sys; from container_backend.cli import app as cli\n"
        f"try: cli.main(['build', {folder!r}])\n"
        "finally: print('rich' in sys.modules)"
    )
    shown = run_on_terminal([sys.executable, "-c", program])
    assert "=== Using environment image" in shown.last
    assert shown.last.endswith("False")


@pytest.mark.slow
def test_an_image_that_is_pushed_on_a_terminal(project, registry, tmp_path):
    login = base64.b64encode(b"me:r3gistry-password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry: {"auth": login}}}))
    folder = write(project, f"--find-links https://{uuid.uuid4()}.test/\n")
    config = json.dumps({"image_repository": f"{registry}/team/x", "push": True})
    shown = build(folder, "-c", config, DOCKER_CONFIG=str(tmp_path))
    assert shown.exit_code == 0, shown.last
    told = [
        int(match[1]) for match in seen(shown, r"pushing the image +\d+\.\d s  (\d+) of \d+ MB")
    ]
    assert told == sorted(told)
    assert len(set(told)) >= 5
    assert "of 2" not in shown.last
