"""What exactly is installed: recorded in the image, and installed again as recorded."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.environment.lock import read_lock
from tests.support.client import client_of
from tests.support.commands import run_command, run_uv
from tests.support.on_engine import environment_images
from tests.support.runs import runs
from tests.support.worker import BASE, mine

SHOW = "entry_points: {main: {command: 'cat /mlflow/environment/requirements.lock'}}\n"


def lock_of(folder: str, capfd) -> str:
    capfd.readouterr()
    container_backend.run(folder)
    return capfd.readouterr().out


def pylock(folder: str) -> None:
    """Lock a project's requirements as people do with uv."""
    run_uv(
        *("pip", "compile", "--quiet", "--format", "pylock.toml", "--python-version", "3.11"),
        *("--output-file", "pylock.toml", "requirements.txt"),
        cwd=Path(folder),
    )


@pytest.mark.slow
def test_the_lock_is_in_the_image_and_pip_takes_it(project, capfd, tmp_path):
    lock = lock_of(project(SHOW, requirements__txt="six\ntabulate<1\n"), capfd)
    assert re.findall(r"(?m)^(\w+)==", lock) == ["six", "tabulate"]
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) >= 4
    (tmp_path / "requirements.lock").write_text(lock)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps",
         "--dest", tmp_path / "files", "-r", tmp_path / "requirements.lock"],
        check=True,
    )  # fmt: skip
    assert len(list((tmp_path / "files").iterdir())) == 2


def test_the_lock_and_the_dockerfile_are_artifacts_of_the_run(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    run = container_backend.run(folder)
    printed = capfd.readouterr().out
    uri = f"runs:/{run.run_id}/environment"
    assert mlflow.artifacts.load_text(f"{uri}/requirements.lock") == printed
    assert mlflow.artifacts.load_text(f"{uri}/Dockerfile").startswith(f"FROM {BASE}")


def test_a_store_that_takes_no_artifacts_fails_no_run(project, workplace, engine, capfd):
    experiment = mlflow.create_experiment("nowhere", artifact_location="s3://no-such-bucket/x")
    run = container_backend.run(
        project("entry_points: {main: {command: 'true'}}\n"), experiment_id=experiment
    )
    assert run.get_status() == "FINISHED"
    assert f"run (ID '{run.run_id}') is not among its artifacts" in capfd.readouterr().err
    client_of(engine).api.remove_container(run.container_id)  # kept for when its output is taken


def test_a_lock_of_the_project_is_installed_as_it_is(project, capfd):
    """An older version than would be resolved, and nothing that is not in the lock."""
    newest = lock_of(project(SHOW, requirements__txt="tabulate\nsix\n"), capfd)
    folder = project(SHOW, requirements__txt="tabulate==0.8.10\nsix\n")
    lock = lock_of(folder, capfd)
    assert lock != newest
    Path(folder, "requirements.txt").write_text("tabulate\nsix\n")
    Path(folder, "requirements.lock").write_text(lock)
    assert lock_of(folder, capfd) == lock


def test_a_file_with_another_hash_than_the_locks_is_not_installed(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    lock = lock_of(folder, capfd)
    Path(folder, "requirements.lock").write_text(re.sub(r"sha256:\w{4}", "sha256:0000", lock))
    with pytest.raises(container_backend.BuildError) as caught:
        container_backend.run(folder)
    assert "hashes declared for six are of none of the files of the index" in str(caught.value)


def test_a_hash_in_a_requirements_file_holds(project):
    folder = project(SHOW, requirements__txt=f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(container_backend.BuildError) as caught:
        container_backend.run(folder)
    assert "hashes declared for six are of none of the files of the index" in str(caught.value)


def test_a_file_that_is_not_what_a_pylock_says_is_not_installed(project):
    """The index has the file, but its content has another hash."""
    folder = project(SHOW, requirements__txt="six\n")
    pylock(folder)
    lock = Path(folder, "pylock.toml")
    lock.write_text(re.sub(r'sha256 = "\w{4}', 'sha256 = "0000', lock.read_text()))
    with pytest.raises(container_backend.BuildError) as caught:
        container_backend.run(folder)
    assert "Hash mismatch for `six==" in str(caught.value)
    assert "is not the one that was locked" in str(caught.value)


def test_only_the_files_that_a_lock_allows_are_installed(project, capfd):
    folder = project(SHOW, requirements__txt="six\n")
    lock = lock_of(folder, capfd)
    (package,) = read_lock(lock).packages
    first = re.search(r"--hash=\S+", lock)[0]
    Path(folder, "requirements.lock").write_text(f"{package} {first}\n")
    assert lock_of(folder, capfd).endswith(f"\n{package} \\\n    {first}\n")


@pytest.mark.slow
def test_a_pylock_is_installed_as_it_is(project, capfd, tmp_path):
    folder = project(SHOW, requirements__txt="six\n")
    expected = lock_of(folder, capfd)
    pylock(folder)
    assert lock_of(folder, capfd) == expected


def test_the_digest_of_the_lock_is_a_label_of_the_image(project, capfd, engine):
    folder = project(SHOW, requirements__txt="six\n")
    lock = lock_of(folder, capfd)
    labels = client_of(engine).images.get(container_backend.build(folder)).labels
    expected = f"sha256:{hashlib.sha256(lock.encode()).hexdigest()}"
    assert labels[labels_and_tags.LABEL_LOCK_DIGEST] == expected
    assert (
        client_of(engine).images.list(labels_and_tags.UNFINISHED_REPOSITORY, filters=mine()) == []
    )


def test_an_image_without_packages_has_no_lock(project, engine):
    labels = client_of(engine).images.get(container_backend.build(project(SHOW))).labels
    assert labels_and_tags.LABEL_LOCK_DIGEST not in labels


def test_a_lock_is_written_into_the_project_and_then_installed(project, capfd, engine):
    """Resolved anew although there is one already: an older version is not kept."""
    folder = project(SHOW, requirements__txt="tabulate\n")
    lock = Path(folder, "requirements.lock")
    lock.write_text("tabulate==0.8.10\n")
    images = {image.id for image in client_of(engine).images.list(all=True, filters=mine())}
    done = run_command("container-backend", "lock", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Wrote {lock}: 1 packages.\n"
    assert {image.id for image in client_of(engine).images.list(all=True, filters=mine())} == images
    assert runs() == []
    written = lock.read_text()
    assert "tabulate==0.8.10" not in written
    assert lock.stat().st_mode & 0o777 == 0o644
    assert lock_of(folder, capfd) == written


@pytest.mark.slow
def test_a_lock_with_a_package_of_the_project_is_installed_from_it(project, capfd):
    folder = project(SHOW, requirements__txt="six\n./the lib\n")
    library = Path(folder, "the lib")
    library.mkdir()
    (library / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\n")
    (library / "mine.py").write_text("VALUE = 1\n")
    run_command("container-backend", "lock", folder, check=True)
    assert read_lock(Path(folder, "requirements.lock").read_text()).layers["local"] == ["./the lib"]
    assert lock_of(folder, capfd) == Path(folder, "requirements.lock").read_text()


def test_a_lock_goes_where_it_is_told_to(project, tmp_path):
    folder = project(SHOW, requirements__txt="six\n")
    file = tmp_path / "other.lock"
    told = run_command("container-backend", "lock", folder, "-o", str(file), "--json", check=True)
    assert json.loads(told.stdout)["path"] == str(file)
    shown = run_command("container-backend", "lock", folder, "-o", "-", check=True)
    assert shown.stdout == file.read_text()
    assert not Path(folder, "requirements.lock").exists()


@pytest.mark.parametrize(
    ("requirements", "arguments", "said"),
    [
        ("", (), "no Python packages are declared"),
        ("six==0.0.0.1\n", (), "there is no version of six==0.0.0.1"),
        ("six\n", ("-o", "/no/such/folder/x.lock"), "'/no/such/folder/x.lock' cannot be written"),
        ("six\n", ("-o", "pylock.toml"), "not as TOML"),
    ],
)
def test_a_lock_that_cannot_be_made(project, requirements, arguments, said):
    folder = project(SHOW, requirements__txt=requirements)
    Path(folder, "requirements.lock").write_text("six==1.15.0\n")
    done = run_command("container-backend", "lock", folder, *arguments)
    assert done.returncode not in {0, 1}
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert Path(folder, "requirements.lock").read_text() == "six==1.15.0\n"


@pytest.mark.slow
def test_a_dry_run_says_which_layer_each_package_goes_into(project, engine):
    """Before the image is built, and afterwards."""
    folder = project(SHOW, requirements__txt="six\nnumpy\ntabulate\n")
    before = environment_images(engine)
    planned = run_command("container-backend", "run", folder, "--dry-run", "--json", check=True)
    assert environment_images(engine) == before
    layers = json.loads(planned.stdout)["layers"]
    assert [name.partition("==")[0] for name in layers["heavy"]] == ["numpy"]
    assert [name.partition("==")[0] for name in layers["direct"]] == ["six", "tabulate"]
    container_backend.build(folder)
    built = run_command("container-backend", "run", folder, "--dry-run", check=True)
    assert f"\nheavy: {layers['heavy'][0]}\n" in built.stdout
    assert f"\ndirect: {', '.join(layers['direct'])}\n" in built.stdout
