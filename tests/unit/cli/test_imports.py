"""What is imported when: a typing error is reported without an import of MLflow."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from container_backend.cli.app import main
try:
    main({arguments})
except SystemExit as leaving:
    print(leaving.code, "mlflow" in sys.modules)
"""


@pytest.mark.parametrize(
    "arguments",
    [["run", ".", "-e", "nope"], ["run", ".", "-P", "n=x"], ["run", ".", "-A", "x=1"]],
    ids=["no such entry point", "a wrong value", "a wrong docker argument"],
)
def test_what_is_wrong_with_a_local_project_is_said_without_mlflow(tmp_path, arguments):
    (tmp_path / "MLproject").write_text(
        "entry_points: {main: {command: 'echo {n}', parameters: {n: int}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(arguments=arguments)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2 False\n", done.stderr


def test_importing_the_package_does_not_import_mlflow():
    done = subprocess.run(
        [sys.executable, "-c", "import container_backend, sys; print('mlflow' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "module",
    [
        "container_backend.runs.supervise.finisher",
        "container_backend.runs.supervise.process",
        "container_backend.runs.tracking.serving.process",
    ],
)
def test_a_process_may_prepare_for_the_import_of_mlflow(module):
    """Without its data libraries, MLflow takes less time and memory (store/lean.py)."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}, sys; print('mlflow' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
