"""What public projects do that ends in a container, and what makes it run: the table in the documents."""

from __future__ import annotations

from pathlib import Path

import pytest

import container_backend
from tests.support.runs import runs


def reason(folder: str, entry_point: str = "main") -> str:
    with pytest.raises(container_backend.RunFailed) as caught:
        container_backend.run(folder, entry_point)
    return str(caught.value)


@pytest.mark.parametrize("program", ["docker", "Rscript", "java", "git", "conda", "jupyter-lab"])
def test_a_program_that_is_not_in_the_image(project, program):
    folder = project(f"entry_points: {{main: {{command: '{program} --version'}}}}\n")
    assert f"the image has no program '{program}'" in reason(folder)


def test_a_notebook_is_no_entry_point(project):
    folder = project(**{"train.ipynb": "{}"})
    with pytest.raises(container_backend.InvalidProject, match=r"no entry point 'train\.ipynb'"):
        container_backend.run(folder, "train.ipynb")
    assert runs() == []


def test_a_program_that_asks_for_input(script):
    assert "the program asks for input, and a run has none" in reason(script("input('How many? ')"))


def test_files_outside_of_the_project_are_handed_in(project, tmp_path):
    (tmp_path / "data.csv").write_text("1,2")
    folder = project(
        f"entry_points:\n  main: {{command: 'cat ../data.csv'}}\n"
        f"  absolute: {{command: 'cat {tmp_path}/data.csv'}}\n"
        "  right: {command: 'grep 1,2 {data}', parameters: {data: path}}\n"
    )
    assert "exit code 1" in reason(folder)
    assert "exit code 1" in reason(folder, "absolute")
    data = str(tmp_path / "data.csv")
    container_backend.run(folder, "right", parameters={"data": data})
    container_backend.run(folder, "absolute", docker_args={"volume": f"{data}:{data}:ro"})


def test_files_for_the_next_run_are_written_to_a_folder_that_is_mounted(project):
    folder = project(
        "entry_points:\n  write: {command: 'mkdir -p out && echo 1 > out/model'}\n"
        "  read: {command: 'cat out/model'}\n"
    )
    container_backend.run(folder, "write")
    assert "exit code 1" in reason(folder, "read")
    out = Path(folder) / "out"
    out.mkdir()
    mounted = {"volume": f"{out}:/mlflow/projects/code/out"}
    container_backend.run(folder, "write", docker_args=mounted)
    container_backend.run(folder, "read", docker_args=mounted)
    assert (out / "model").read_text() == "1\n"


def test_the_history_of_a_project_is_brought_back_by_a_line(project):
    folder = project("entry_points: {main: {command: 'test -d .git/refs'}}\n")
    (Path(folder) / ".git" / "refs").mkdir(parents=True)
    (Path(folder) / ".git" / "refs" / "main").touch()
    assert "exit code 1" in reason(folder)
    (Path(folder) / ".dockerignore").write_text("!.git\n")
    container_backend.run(folder)


@pytest.mark.parametrize("name", ["publish", "p"])
def test_a_port_is_not_published(script, name):
    with pytest.raises(container_backend.InvalidConfig, match=f"'{name}' is not supported"):
        container_backend.run(script("pass"), docker_args={name: "8888:8888"})
    assert runs() == []
