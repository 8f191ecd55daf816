"""Projects of other times: pins for another Python, days of the index, libraries that a base lacks."""

from __future__ import annotations

import json
import platform
from typing import TYPE_CHECKING

import pytest

import container_backend
from tests.support.commands import run_command
from tests.support.elf import shared_library
from tests.support.packages import serving, source, wheel
from tests.support.runs import only_run

if TYPE_CHECKING:
    from collections.abc import Iterator

SETUP = "from setuptools import setup\nsetup(name={!r}, version='1.1', py_modules=[])\n"
BINARY = "{}-1.1-cp{}-cp{}-manylinux_2_17_" + platform.machine() + ".whl"


def binary(name: str, *minors: str) -> dict[str, bytes]:
    """Wheels of 1.1 for some Pythons."""
    return {BINARY.format(name, minor, minor): wheel(name, "1.1") for minor in minors}


@pytest.fixture(scope="module")
def index(engine) -> Iterator[str]:
    library = shared_library("libgomp.so.1", "libstdc++.so.6", "libown.so", "libnowhere.so.7")
    files = {
        **binary("oldthing", "38", "39"),
        "oldthing-1.1.tar.gz": source("oldthing", "1.1", "raise SystemExit('not on this one')"),
        **binary("olderthing", "38", "310"),
        "broken-1.1.tar.gz": source("broken", "1.1", "raise SystemExit('broken everywhere')"),
        **binary("buildable", "38", "39"),
        "buildable-1.1.tar.gz": source("buildable", "1.1", SETUP.format("buildable")),
        "needy-1.1-py3-none-any.whl": wheel(
            "needy",
            "1.1",
            {"needy.py": "", "needy_parts/libown.so": "", "needy_parts/_x.so": library},
        ),
    }
    with serving(engine, files) as address:
        host = address.partition(":")[0]
        yield f"--extra-index-url http://{address}/simple\n--trusted-host {host}\n"


MAIN = "entry_points: {main: {command: 'true'}}"


def test_a_pin_without_a_wheel_for_this_python_is_named_with_the_python_that_has_one(
    project, index, fresh
):
    folder = project(MAIN, requirements__txt=f"{index}oldthing==1.1\nsix\n")
    done = run_command("container-backend", "run", folder)
    assert done.returncode == 6
    assert (
        "There are no wheels for Python 3.11 of:\n    oldthing==1.1: wheels for Python 3.8 to 3.9\n"
        in done.stderr
    )
    assert "3.11 of this interpreter was taken" in done.stderr
    assert 'Write a python_env.yaml with `python: "3.9"`' in done.stderr
    assert "Traceback" not in done.stderr
    assert "tool.uv" not in done.stderr
    assert "installing" not in done.stderr  # nothing was
    assert "oldthing==1.1" in only_run().data.tags["container_backend.reason"]


def test_all_pins_have_wheels_for_the_proposed_python(project, index, fresh):
    lines = json.dumps([*index.splitlines(), "oldthing==1.1", "olderthing==1.1", "six"])
    folder = project(MAIN, python_env__yaml=f"python: '3.11'\ndependencies: {lines}\n")
    done = run_command("container-backend", "build", folder)
    assert "    oldthing==1.1: wheels for Python 3.8 to 3.9\n" in done.stderr
    assert "    olderthing==1.1: wheels for Python 3.8 and 3.10\n" in done.stderr
    assert "python_env.yaml' asks for Python 3.11." in done.stderr
    assert 'Write `python: "3.8"` into' in done.stderr


def test_a_source_that_can_be_built_needs_no_wheel(project, index, fresh):
    folder = project(MAIN, requirements__txt=f"{index}buildable==1.1\n")
    assert container_backend.run(folder).get_status() == "FINISHED"


def test_a_source_that_cannot_be_built_is_the_reason_if_it_has_no_wheel_at_all(
    project, index, fresh
):
    folder = project(MAIN, requirements__txt=f"{index}buildable==1.1\nbroken==1.1\n")
    done = run_command("container-backend", "build", folder)
    assert "Failed to build `broken==1.1`" in done.stderr
    assert "no wheels for Python" not in done.stderr
    assert "set exclude_newer in the backend config" in done.stderr


def test_a_conda_file_is_told_its_own_form(project, index, fresh):
    pip = json.dumps([*index.splitlines(), "olderthing==1.1"])
    folder = project(MAIN, conda__yaml=f"dependencies: [python=3.11, pip, {{pip: {pip}}}]\n")
    done = run_command("container-backend", "build", folder)
    assert "Write `- python=3.10` under 'dependencies' of" in done.stderr
    assert "python:" not in done.stderr.partition("Error:")[2]


def test_packages_are_as_of_a_day(project, engine, fresh, capfd):
    folder = project(
        "entry_points: {main: {command: 'python -c \"import six; print(six.__version__)\"'}}",
        requirements__txt="six\n",
    )
    container_backend.run(folder, backend_config={"exclude_newer": "2021-05-04"})
    assert capfd.readouterr().out == "1.15.0\n"
    container_backend.run(
        folder, backend_config={"exclude_newer": "2021-05-05"}
    )  # of that day, too
    assert capfd.readouterr().out == "1.16.0\n"


def test_a_lock_comes_before_the_day(project, engine, fresh, capfd):
    folder = project(
        "entry_points: {main: {command: 'python -c \"import six; print(six.__version__)\"'}}",
        requirements__txt="six\n",
        requirements__lock="six==1.16.0\n",
    )
    container_backend.run(folder, backend_config={"exclude_newer": "2012-01-01"})
    assert capfd.readouterr().out == "1.16.0\n"


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.27.0", "2.12.2", "2.19.0", "3.2.0"])
def test_an_old_mlflow_works_with_the_packages_of_today(project, fresh, version, capfd):
    program = (
        "import mlflow, mlflow.store.tracking.sqlalchemy_store\n"
        "mlflow.set_tracking_uri('sqlite:////tmp/x.db')\n"
        "with mlflow.start_run(run_id=mlflow.tracking.MlflowClient().create_run('0').info.run_id): mlflow.log_metric('m', 1)\n"
        "print(mlflow.__version__)\n"
    )
    folder = project(
        "entry_points: {main: {command: 'python main.py'}}",
        requirements__txt=f"mlflow=={version}\n",
        main__py=program,
    )
    found = container_backend.run(folder)
    said = capfd.readouterr()
    assert (found.get_status(), said.out.split()[-1]) == ("FINISHED", version)
    assert f"mlflow=={version} does not work with newer packages: adding" in said.err


def test_an_index_that_tells_no_times_is_said_to_be_the_reason(project, index, fresh):
    folder = project(MAIN, requirements__txt=f"{index}needy\n")
    done = run_command(
        "container-backend", "build", folder, "-c", '{"exclude_newer": "2030-01-01"}'
    )
    assert done.returncode == 6
    assert "exclude_newer leaves out 1 files, because the index does not tell" in done.stderr
    assert "Leave exclude_newer out, name another index, or use a lock" in done.stderr


def test_libraries_that_the_base_lacks_are_named_or_installed(project, index, fresh, capfd):
    folder = project(
        "entry_points: {main: {command: 'ls /usr/lib/*/libgomp.so.1'}}",
        requirements__txt=f"{index}needy==1.1\n",
    )
    done = run_command("container-backend", "build", folder)
    assert done.returncode == 0
    warning = next(line for line in done.stderr.splitlines() if "lacks shared libraries" in line)
    assert "libgomp.so.1 (for needy_parts), libnowhere.so.7 (for needy_parts). " in warning
    assert "Put libgomp1 into apt.txt" in warning
    assert "libstdc++" not in warning
    assert "libown" not in warning
    found = container_backend.run(folder, backend_config={"system_packages": "auto"})
    assert found.get_status() == "FINISHED"
    said = capfd.readouterr()
    assert "libgomp.so.1" in said.out
    assert "libgomp.so.1 (for" not in said.err  # it was going to be installed
    assert "libnowhere.so.7 (for needy_parts)." in said.err


def test_a_program_without_its_library_ends_with_that_reason(project, fresh):
    folder = project(
        "entry_points: {main: {command: 'python main.py'}}",
        main__py="import ctypes\nctypes.CDLL('libgomp.so.1')\n",
    )
    done = run_command("container-backend", "run", folder)
    reason = only_run().data.tags["container_backend.reason"]
    assert (
        "the image lacks the shared library libgomp.so.1. Put its Debian package, libgomp1,"
        in reason
    )
    assert "libgomp1" in done.stderr
