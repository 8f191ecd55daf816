"""The runner of project images, as it is in them: its files alone, and no package of this Python."""

from __future__ import annotations

import ast
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.errors import ContainerBackendError
from container_backend.machine.text import harmless
from container_backend.project.command import compute_command
from container_backend.project.entry_points import as_mapping, from_mapping
from container_backend.project.mlproject import parse_project, read_project
from container_backend.share.runner_files import runner_files
from tests.support.store import new_store

ARGV = "import json, sys; print(json.dumps(sys.argv[1:]))"
PYTHON = shlex.quote(sys.executable)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
MLPROJECT = f"""
name: salary
entry_points:
  main:
    description: Trains
      the model
    parameters:
      count: {{type: int, default: 1, description: How many there are}}
      ratio: float
      flag: {{type: bool, default: yes}}
      text: {{default: "it's"}}
      address: {{type: uri, default: "s3://bucket/x"}}
      data: {{type: path, default: data.csv}}
    command: "{PYTHON} -c '{ARGV}' {{count}} {{ratio}} {{flag}} {{text}} {{address}} {{data}}"
  other:
    command: "exit 7"
  show:
    command: "echo $MLFLOW_TRACKING_URI $MLFLOW_RUN_CONTEXT"
  path:
    parameters: {{data: path}}
    command: "cat {{data}}"
"""


class Image:
    """A folder with the files of an image: the runner, and a project's."""

    def __init__(self, root: Path, mlproject: str = MLPROJECT, **described: object) -> None:
        self.code = root / "code"
        self.runner = root / "runner"
        self.code.mkdir()
        (self.code / "MLproject").write_text(mlproject)
        (self.code / "data.csv").write_text("1,2\n")
        for path, content in runner_files().items():
            (self.runner / path).parent.mkdir(parents=True, exist_ok=True)
            (self.runner / path).write_bytes(content)
        self.project = read_project(self.code, ENVIRONMENT_KEYS)
        description = {
            "project": as_mapping(self.project),
            "code": str(self.code),
            "file": "MLproject",
            "image": "example.test/salary:1",
            "store": "",
            "variables": {},
            "expects": [],
            "tags": {},
            **described,
        }
        (self.runner / "project.json").write_text(json.dumps(description))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        done = subprocess.run(
            [sys.executable, "-I", "-S", self.runner / "runner.py", *arguments],
            cwd=self.code,
            env={**environment, **variables},
            capture_output=True,
            check=False,
        )
        # Not as text: that would make other characters of some.
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )


@pytest.fixture
def image(tmp_path) -> Image:
    return Image(tmp_path)


@pytest.fixture(scope="module")
def module_image(tmp_path_factory) -> Image:
    return Image(tmp_path_factory.mktemp("image"))


@pytest.mark.parametrize("path", [path for path in runner_files() if path.endswith(".py")])
def test_its_files_are_python_3_8(path):
    ast.parse(runner_files()[path], feature_version=(3, 8))


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.fixed_dictionaries(
        {"ratio": st.floats(allow_nan=False).map(str)},
        optional={
            "count": st.integers().map(str),
            "flag": st.sampled_from(["true", "No", "1"]),
            "text": TEXT,
            "extra": TEXT,
        },
    )
)
def test_the_program_is_handed_what_the_backend_hands_it(module_image, monkeypatch, values):
    monkeypatch.chdir(module_image.code)
    project = module_image.project
    made = compute_command(project, project.entry_point("main"), values, Path("/storage"))
    words = [word for name, value in values.items() for word in ("-P", f"{name}={value}")]
    done = module_image.run(*words)
    assert done.returncode == 0, done.stderr
    expected = subprocess.run(["sh", "-c", made.line], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(expected.stdout)
    shown = harmless(made.line, kept="\n\t")
    assert f"=== Running command '{shown}' ===" in done.stderr


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "count": TEXT,
            "ratio": TEXT,
            "flag": TEXT,
            "address": TEXT,
            "data": TEXT.map(lambda text: f"no/{text}"),
        },
    )
)
def test_what_is_wrong_is_said_as_the_backend_says_it(module_image, monkeypatch, values):
    monkeypatch.chdir(module_image.code)
    project = module_image.project
    with pytest.raises(ContainerBackendError) as caught:
        compute_command(
            project, project.entry_point("main"), {"flag": "neither", **values}, Path("/storage")
        )
    words = [f"-P{name}={value}" for name, value in {"flag": "neither", **values}.items()]
    done = module_image.run(*words)
    assert done.returncode == caught.value.exit_code
    assert f"Error: {caught.value}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("name", ["othr", "nothing.py", "test"])
def test_an_entry_point_that_is_not_there_is_said_as_the_backend_says_it(image, name):
    with pytest.raises(ContainerBackendError) as caught:
        image.project.entry_point(name)
    done = image.run("-e", name)
    assert (done.returncode, done.stderr) == (2, f"Error: {caught.value}\n")


def test_the_exit_code_is_that_of_the_program(image):
    assert image.run("other").returncode == 7
    assert image.run("--", "sh", "-c", "exit 9").returncode == 9
    assert image.run("--", "no-such-command").returncode == 127


def test_help_names_entry_points_parameters_types_defaults_and_descriptions(image):
    said = image.run("--help").stdout
    for expected in (
        "docker run [DOCKER OPTIONS] example.test/salary:1 [ENTRY_POINT] [-P NAME=VALUE]…",
        "Trains the model",
        "-P count=…    int     default: 1              How many there are",
        "-P ratio=…    float   needed",
        "  other",
    ):
        assert expected in said
    one = image.run("main", "--help").stdout
    assert "-P ratio=…" in one
    assert "other" not in one


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-P", "x"], "Invalid value for '-P': 'x': write it as name=value."),
        (["-P", "x=1", "-P", "x=2"], "Invalid value for '-P': 'x' is given twice."),
        (["-P"], "Option '-P' requires an argument."),
        (["--count", "3"], "No such option: --count\nA parameter is given as -P count=3."),
        (["--count=3"], "No such option: --count\nA parameter is given as -P count=3."),
        (["other", "3"], "'3' is not expected here: parameters are given as -P NAME=VALUE."),
        (["other", "-e", "main"], "Two entry points are named: 'other' and 'main'."),
        (["--"], "A command is needed after '--'."),
    ],
)
def test_what_is_wrong_with_the_command_line(image, words, said):
    done = image.run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {said}")


def test_a_command_is_run_as_it_is(image):
    done = image.run("sh", "-c", 'echo "$0" "$@"', "a b", "--help", "-P")
    assert done.stdout == "a b --help -P\n"
    assert "=== 'sh' is not an entry point: running the command ===" in done.stderr
    assert image.run("--", "echo", "main").stdout == "main\n"


def test_a_command_is_never_taken_for_an_entry_point_nor_the_other_way_round(tmp_path):
    image = Image(tmp_path, "entry_points: {test: {command: 'echo the entry point'}}\n")
    assert image.run("test").stdout == "the entry point\n"
    assert image.run("--", "test", "1", "-eq", "2").returncode == 1
    # `true` is a program, but who gives it a parameter means an entry point.
    done = image.run("true", "-P", "x=1")
    assert done.returncode == 2
    assert "there is no entry point 'true'" in done.stderr


def test_a_script_of_the_project_is_an_entry_point(image):
    (image.code / "hello.sh").write_text("echo hello $1 $2\n")
    assert image.run("hello.sh", "-P", "to=you").stdout == "hello --to you\n"


def test_where_the_results_go_is_said(tmp_path):
    image = Image(
        tmp_path,
        store="sqlite:////mlflow/results/mlflow.db",
        tags={"mlflow.source.git.commit": "abc"},
    )
    done = image.run("show")
    assert "MLFLOW_TRACKING_URI is not set" in done.stderr
    assert "/mlflow/results" in done.stderr
    address, _, context = done.stdout.partition(" ")
    assert address == "sqlite:////mlflow/results/mlflow.db"
    assert json.loads(context) == {
        "mlflow.source.git.commit": "abc",
        "mlflow.project.entryPoint": "show",
    }
    done = image.run("show", MLFLOW_TRACKING_URI="http://tracking.test")
    assert "is not set" not in done.stderr
    assert done.stdout.startswith("http://tracking.test ")


def test_nothing_is_said_of_results_where_there_is_no_mlflow(image):
    done = image.run("show")
    assert "is not set" not in done.stderr


def test_variables_of_the_project_are_set_beneath_those_of_the_caller(tmp_path):
    mlproject = "entry_points: {main: {command: 'echo $ONE $TWO'}}\n"
    image = Image(tmp_path, mlproject, variables={"ONE": "1", "TWO": "2"})
    assert image.run(TWO="two").stdout == "1 two\n"


def test_a_file_that_is_not_in_the_container_comes_with_advice(image):
    done = image.run("path", "-P", "data=/no/such/file")
    assert done.returncode == 2
    assert "names '/no/such/file', which does not exist" in done.stderr
    assert "docker run -v" in done.stderr


def test_a_file_that_cannot_be_downloaded(image, tmp_path):
    done = image.run("path", "-P", "data=http://127.0.0.1:1/x.csv")
    assert done.returncode == 2
    assert "names 'http://127.0.0.1:1/x.csv', which cannot be downloaded" in done.stderr
    alone = {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1", "MLFLOW_TRACKING_URI": new_store(tmp_path)}
    done = image.run("path", "-P", "data=runs:/0123/x.csv", **alone)
    assert done.returncode == 2
    assert "which cannot be downloaded" in done.stderr


def test_a_project_survives_being_written_down(image):
    project = image.project
    told = json.loads(json.dumps(as_mapping(project)))
    again = from_mapping(told, project.directory, project.file)
    assert again == project
    assert parse_project(told, project.directory, project.file, ENVIRONMENT_KEYS) == project


def test_the_program_finds_all_signals_as_usual(image):
    show = "import signal; print([signal.getsignal(s).name for s in (13, 25)])"
    read = "grep SigIgn /proc/self/status"
    ignored = int(image.run("--", "sh", "-c", read).stdout.split()[1], 16)
    # The process that runs the tests may ignore others.
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))
    assert "SIG_IGN" in image.run("--", sys.executable, "-c", show).stdout  # Python's own doing
