"""The projects of ``tests/projects``, one for each kind that MLflow users have.

Each of them verifies inside of its container that it got what it declared; here is checked what it
looks like from outside. ``expected.yaml`` says what a run is given and what is logged of it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

import container_backend
from container_backend import labels_and_tags
from container_backend.image.buildkit.build import BuildRequest, build_image
from tests.support.client import client_of
from tests.support.commands import run_command, run_uv
from tests.support.conda_channel import image_context
from tests.support.on_engine import BASE, containers_of, environment_images, remove_images
from tests.support.projects import ROOT, TRUSTED
from tests.support.runs import only_run, output_of, runs
from tests.support.waiting import wait_until

PROJECTS = ROOT / "tests" / "projects"
# Those that need something beside an engine have tests of their own.
SPECIAL = {
    *("components", "conda", "docker-env", "pipeline", "siblings", "uv-lock", "workflow"),
}
PLAIN = sorted(path.name for path in PROJECTS.iterdir() if path.name not in SPECIAL)


@pytest.fixture
def fixture_project(workplace, tmp_path):
    """A copy of one of the projects; a parameter of type path may name ``given.txt``."""

    def copy(name: str) -> Path:
        (workplace / "given.txt").write_text("given\n")
        return Path(shutil.copytree(PROJECTS / name, tmp_path / name))

    return copy


def expectations(folder: Path) -> dict:
    file = folder / "expected.yaml"
    return yaml.safe_load(file.read_text()) if file.exists() else {}


def entry_point_of(folder: Path) -> str:
    return "main" if (folder / "MLproject").exists() else "main.py"


@pytest.mark.parametrize("name", PLAIN)
def test_a_project_gets_what_it_declares(name, fixture_project, engine):
    folder = fixture_project(name)
    expected = expectations(folder)
    run = container_backend.run(
        str(folder), entry_point_of(folder), parameters=expected.get("parameters")
    )
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.data.params == expected.get("logged", {})
    assert found.data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
    assert found.data.tags["mlflow.project.entryPoint"] == entry_point_of(folder)
    assert containers_of(engine, run.run_id) == []


def test_two_entry_points_may_have_two_images(fixture_project):
    folder = str(fixture_project("entry-points"))
    assert container_backend.run(folder).get_status() == "FINISHED"
    assert container_backend.run(folder, "other").get_status() == "FINISHED"
    assert len({run.data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH] for run in runs()}) == 2
    assert container_backend.build(folder) != container_backend.build(folder, entry_point="other")


def test_scripts_need_no_declaration(fixture_project, capfd):
    folder = str(fixture_project("requirements"))
    container_backend.run(folder, "run.sh", parameters={"x": "a b"})
    assert capfd.readouterr().out == "--x a b\n"


def test_what_follows_a_pipe_decides_nothing_unless_it_is_the_last(fixture_project):
    with pytest.raises(container_backend.RunFailed, match="exit code 3"):
        container_backend.run(str(fixture_project("shell")), "fails")


@pytest.mark.slow
def test_changing_the_code_of_an_installed_package_is_seen(fixture_project, capfd):
    """An editable one needs no change of the image to say so; one that is not is built again."""
    folder = fixture_project("local-packages")
    first = container_backend.build(str(folder))
    (folder / "lib" / "fixture_lib" / "__init__.py").write_text('VALUE = "changed"\n')
    (folder / "show.py").write_text("import fixture_lib; print(fixture_lib.VALUE)")
    container_backend.run(str(folder), "show.py")
    assert capfd.readouterr().out == "changed\n"
    assert container_backend.build(str(folder)) != first


@pytest.mark.slow
def test_a_uv_lock_is_installed_as_it_is(fixture_project):
    folder = fixture_project("uv-lock")
    run_uv("lock", "--quiet", cwd=folder)
    container_backend.run(str(folder), "main.py")
    (folder / "pyproject.toml").write_text(
        (folder / "pyproject.toml").read_text().replace('"six"', '"six", "toolz"')
    )
    with pytest.raises(container_backend.InvalidEnvironment, match="made before 'toolz'"):
        container_backend.run(str(folder), "main.py")
    assert len(runs()) == 1


@pytest.fixture
def docker_env_image(engine):
    """An image as a project names it: with a path and a start-up module of its own."""
    tag = "container-backend-test/docker-env:1"
    dockerfile = f"""
FROM {BASE}
RUN mkdir /opt/modules && echo VALUE=1 > /opt/modules/from_image.py \\
 && echo import from_image_at_start > /opt/modules/sitecustomize.py \\
 && touch /opt/modules/from_image_at_start.py
ENV FROM_IMAGE=yes PYTHONPATH=/opt/modules
"""
    request = BuildRequest(context={"Dockerfile": dockerfile.encode()}, tags=(tag,))
    build_image(engine, request)
    yield tag
    remove_images(engine, tag)


def test_a_ready_image_is_used_as_it_is_with_code_volumes_and_variables(
    fixture_project, docker_env_image, engine, monkeypatch
):
    monkeypatch.setenv("COPIED", "copied")
    before = environment_images(engine)
    folder = str(fixture_project("docker-env"))
    with pytest.raises(container_backend.InvalidProject, match="COPIED of your environment"):
        container_backend.run(folder)
    run = container_backend.run(folder, backend_config=TRUSTED)
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.data.tags[labels_and_tags.TAG_IMAGE] == docker_env_image
    assert found.data.tags["mlflow.docker.image.uri"] == docker_env_image
    assert labels_and_tags.TAG_ENVIRONMENT_HASH not in found.data.tags
    assert environment_images(engine) == before
    assert containers_of(engine, run.run_id) == []


def test_build_image_makes_an_image_with_the_code(
    fixture_project, docker_env_image, engine, monkeypatch
):
    monkeypatch.setenv("COPIED", "copied")
    folder = fixture_project("docker-env")
    done = run_command("mlflow", "run", str(folder), "-e", "build", "--backend", "docker",
                       "--build-image", "--backend-config", json.dumps(TRUSTED))  # fmt: skip
    assert done.returncode == 0, done.stderr
    image = only_run().data.tags[labels_and_tags.TAG_IMAGE]
    assert image.startswith("container-backend/project-docker-env:")
    try:
        answer = client_of(engine).containers.run(image, ["cat", "answer.txt"], remove=True)
        assert answer == b"42\n"
    finally:
        remove_images(engine, image)


def test_a_fetched_project_sees_no_folder_of_this_machine_unless_it_is_trusted(
    fixture_project, docker_env_image, tmp_path, monkeypatch
):
    monkeypatch.setenv("COPIED", "copied")
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", fixture_project("docker-env"))
    with pytest.raises(container_backend.InvalidProject) as caught:
        container_backend.run(archive)
    assert "key 'volumes': this project was fetched, and wants to see ./data" in str(caught.value)
    assert "trust_project" in str(caught.value)
    assert runs() == []
    container_backend.run(archive, backend_config=TRUSTED)
    assert only_run().info.status == "FINISHED"


def test_a_fetched_project_takes_no_variable_of_the_user_unless_it_is_given_or_trusted(
    project, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("OF_MINE", "s3cret")
    folder = project(
        f"docker_env: {{image: '{BASE}', environment: [[SET, '1'], OF_MINE]}}\n"
        "entry_points: {main: {command: 'echo $SET $OF_MINE'}}\n"
    )
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", folder)
    for dry_run in ([], ["--dry-run"]):
        done = run_command("container-backend", "run", archive, *dry_run)
        assert done.returncode == 2
        assert "key 'environment': this project was fetched, and wants the values of OF_MINE" in (
            done.stderr
        )
        assert "s3cret" not in done.stdout + done.stderr
    assert runs() == []
    container_backend.run(folder, docker_args={"env": "OF_MINE=given"})
    assert capfd.readouterr().out == "1 given\n"
    for uri in (archive, folder):
        container_backend.run(uri, backend_config=TRUSTED)
    assert capfd.readouterr().out == "1 s3cret\n1 s3cret\n"


def test_the_files_of_a_fetched_project_are_there_until_its_run_has_ended(
    fixture_project, docker_env_image, tmp_path, monkeypatch, engine
):
    monkeypatch.setenv("COPIED", "copied")
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", fixture_project("docker-env"))
    run = container_backend.run(archive, "late", backend_config=TRUSTED, synchronous=False)
    mounts = client_of(engine).containers.get(run.container_id).attrs["Mounts"]
    folder = next(Path(mount["Source"]) for mount in mounts if mount["Destination"] == "/data")
    (folder / "go").touch()
    assert run.wait()
    assert output_of(run) == "hello\n"
    wait_until(lambda: not folder.parent.exists())


def test_an_image_that_is_nowhere_is_said(project):
    folder = project(
        "docker_env: {image: '127.0.0.1:1/no/image:1'}\nentry_points: {main: {command: x}}\n"
    )
    with pytest.raises(container_backend.ImageUnavailable, match="no/image:1"):
        container_backend.run(folder)
    assert only_run().info.status == "FAILED"


@pytest.fixture(scope="session")
def conda_image(engine, tmp_path_factory):
    tag = "container-backend-test/conda:1"
    context = image_context(tmp_path_factory.mktemp("rattler"))
    build_image(engine, BuildRequest(context=context, tags=(tag,)))
    yield tag
    remove_images(engine, tag)


@pytest.mark.slow
def test_packages_that_only_conda_has_are_installed_by_conda(fixture_project, conda_image, capfd):
    folder = fixture_project("conda")
    container_backend.run(str(folder), backend_config={"conda_base_image": conda_image})
    assert capfd.readouterr().out == "a tool of conda\n"
    assert only_run().info.status == "FINISHED"


@pytest.mark.slow
def test_a_conda_package_that_is_nowhere_is_said(fixture_project, conda_image):
    folder = fixture_project("conda")
    file = folder / "conda.yaml"
    file.write_text(file.read_text().replace("fixture-tool>=1,<2", "fixture-tool>=2"))
    with pytest.raises(container_backend.BuildError, match="fixture-tool >=2"):
        container_backend.run(str(folder), backend_config={"conda_base_image": conda_image})


def test_a_base_without_conda_is_said(fixture_project):
    with pytest.raises(container_backend.BuildError, match="has no micromamba"):
        container_backend.run(
            str(fixture_project("conda")), backend_config={"conda_base_image": BASE}
        )
