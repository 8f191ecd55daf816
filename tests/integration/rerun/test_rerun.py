"""Runs of before, once more: here, on another engine, and where something of them is gone."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import textwrap
import uuid
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command, run_process
from tests.support.engines import OwnEngine
from tests.support.on_engine import (
    BASE,
    all_containers,
    containers_of,
    environment_images,
    remove_images,
)
from tests.support.runs import runs

PROJECT = """
    entry_points:
      main:
        parameters: {n: {type: int, default: 3}}
        command: python main.py {n}
"""
# Without MLflow in the image: what it does to the run is enough to see.
PROGRAM = """
    import pathlib, six, sys
    print("six", six.__version__, "n", sys.argv[1])
    print("data", pathlib.Path("data.txt").read_text() if pathlib.Path("data.txt").exists() else "")
    sys.exit(int(sys.argv[1]) if int(sys.argv[1]) > 100 else 0)
"""


@pytest.fixture
def folder(project) -> Path:
    return Path(project(PROJECT, main__py=PROGRAM, requirements__txt="six<1.17\n"))


@pytest.fixture
def repository(folder) -> Path:
    """The project, committed."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=me", "-c", "user.email=me@example.org", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "a commit")
    return git(folder, "rev-parse", "HEAD")


def artifacts(run_id: str, folder: str) -> set[str]:
    return {each.path for each in MlflowClient().list_artifacts(run_id, folder)}


def recorded(run_id: str) -> dict:
    return mlflow.artifacts.load_dict(f"runs:/{run_id}/record/run.json")


def log_of(run_id: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{run_id}/logs/container.log")


def rerun(run_id: str, *arguments: str, code: int = 0) -> tuple[str, dict[str, str]]:
    """The id of the new run, and what is said of each line."""
    done = run_command("container-backend", "rerun", run_id, "--json", *arguments)
    assert done.returncode == code, done.stderr
    said = json.loads(done.stdout)
    assert said["runs"][0].startswith(run_id)
    verdicts = {line["what"]: line["verdict"] for line in said["lines"] if not line["name"]}
    return said["runs"][1], verdicts


def refused(run_id: str, *arguments: str, code: int = 2) -> str:
    """What is said; there is no run more than before, and no container."""
    before = len(runs())
    done = run_command("container-backend", "rerun", run_id, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(runs()) == before
    return done.stderr


def test_a_run_is_repeated_and_linked(folder, engine):
    first = container_backend.run(str(folder), parameters={"n": 4}, run_name="a name").run_id
    (folder / "main.py").write_text("raise SystemExit('changed')\n")
    (folder / "requirements.txt").write_text("tabulate\n")
    images, containers = environment_images(engine), all_containers(engine)
    again, verdicts = rerun(first[:10])
    assert set(verdicts.values()) == {"same"}
    assert log_of(again) == log_of(first)
    assert "n 4\n" in log_of(again)
    old, new = (MlflowClient().get_run(each) for each in (first, again))
    assert new.data.tags[labels_and_tags.TAG_RERUN_OF] == first
    assert new.data.params == old.data.params == {"n": "4"}
    assert new.info.experiment_id == old.info.experiment_id
    assert new.info.run_name == "a name"
    for name in (
        "mlflow.source.name",
        "mlflow.project.entryPoint",
        labels_and_tags.TAG_CODE_DIGEST,
    ):
        assert new.data.tags[name] == old.data.tags[name]
    assert f"container-backend rerun {first}\n" in old.data.tags["mlflow.note.content"]
    assert environment_images(engine) == images
    assert all_containers(engine) == containers


@pytest.mark.slow
def test_a_rerun_can_be_repeated(folder):
    first = container_backend.run(str(folder)).run_id
    second, _ = rerun(first)
    shutil.rmtree(folder)
    third, verdicts = rerun(second)
    assert set(verdicts.values()) == {"same"}
    assert log_of(third) == log_of(first)


@pytest.mark.slow
def test_a_second_engine_that_never_saw_the_source_installs_the_same(folder, engine, base):
    """Other versions would be resolved today: what was locked is installed."""
    (folder / "requirements.txt").write_text("six==1.15.0\n")
    config = {"base_image": base}
    lock = mlflow.artifacts.load_text(
        f"runs:/{container_backend.run(str(folder), backend_config=config).run_id}"
        "/environment/requirements.lock"
    )
    (folder / "requirements.txt").write_text("six\n")
    (folder / "requirements.lock").write_text(lock)
    first = container_backend.run(str(folder), backend_config=config).run_id
    shutil.rmtree(folder)
    with OwnEngine() as own:
        own.take(base, engine)
        again, verdicts = rerun(first, "--on", own.host)
        with own.connected() as second:
            assert len(environment_images(second)) == 1
    assert verdicts.pop("image") == "built again"
    assert set(verdicts.values()) == {"same"}
    assert log_of(again) == log_of(first)
    assert "six 1.15.0" in log_of(again)
    assert MlflowClient().get_run(again).data.tags[labels_and_tags.TAG_ENGINE] == own.host


def test_an_image_that_is_gone_is_built_again_from_its_record(folder, engine, base):
    first = container_backend.run(str(folder), backend_config={"base_image": base}).run_id
    image = MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE]
    labels = client_of(engine).images.get(image).labels
    client = MlflowClient()
    remove_images(engine, image)
    again, verdicts = rerun(first)
    assert verdicts.pop("image") in {"same", "built again"}
    assert set(verdicts.values()) == {"same"}
    built = client_of(engine).images.get(client.get_run(again).data.tags[labels_and_tags.TAG_IMAGE])
    for label, is_same in (
        (labels_and_tags.LABEL_LOCK_DIGEST, True),
        # The record may say that it is of any environment.
        (labels_and_tags.LABEL_ENVIRONMENT_HASH, False),
    ):
        assert (built.labels[label] == labels[label]) == is_same
    assert log_of(again) == log_of(first)


def test_an_environment_as_of_a_day_is_built_again_as_of_that_day(folder, engine, base):
    (folder / "requirements.txt").write_text("six\n")
    config = {"base_image": base, "exclude_newer": "2021-05-04"}
    first = container_backend.run(str(folder), backend_config=config).run_id
    remove_images(engine, MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE])
    again, verdicts = rerun(first)
    assert verdicts.pop("image") in {"same", "built again"}
    assert set(verdicts.values()) == {"same"}
    assert "six 1.15.0" in log_of(again)
    # What packages without a wheel are built with is of that day, too.
    packed = mlflow.artifacts.download_artifacts(f"runs:/{again}/environment/build-context.tar.gz")
    with tarfile.open(packed) as context:
        day = context.extractfile("declared/exclude-newer.txt").read()
    assert day == b"2021-05-05T00:00:00Z"


def test_what_is_installed_is_what_was_locked_and_not_what_is_newest(folder, engine, base):
    first = container_backend.run(str(folder), backend_config={"base_image": base}).run_id
    tags = MlflowClient().get_run(first).data.tags
    older = run_command(
        "container-backend", "lock", str(_other(folder, "six==1.15.0\n")), "-o", "-",
        "-c", json.dumps({"base_image": base}), check=True,
    ).stdout  # fmt: skip
    MlflowClient().log_text(first, older, "environment/requirements.lock")
    MlflowClient().set_tag(first, "mlflow.docker.image.id", f"sha256:{'0' * 64}")
    again, verdicts = rerun(first)
    assert "six 1.15.0" in log_of(again)
    assert verdicts["packages"] == "differs"  # than the bill of materials, which is that of before
    # The image of before stays what it was, under its name.
    assert (
        MlflowClient().get_run(again).data.tags[labels_and_tags.TAG_IMAGE]
        != tags[labels_and_tags.TAG_IMAGE]
    )
    labels = client_of(engine).images.get(tags[labels_and_tags.TAG_IMAGE]).labels
    assert labels[labels_and_tags.LABEL_LOCK_DIGEST] != ""


def _other(folder: Path, requirements: str) -> Path:
    other = folder.parent / "other"
    other.mkdir()
    (other / "requirements.txt").write_text(requirements)
    return other


@pytest.mark.slow
def test_a_base_that_is_gone_is_said_and_replaced_only_on_request(folder, engine, base):
    first = container_backend.run(str(folder), backend_config={"base_image": base}).run_id
    record = recorded(first)
    gone = f"sha256:{'0' * 64}"
    record["environment"]["base"] |= {"digest": gone, "pinned": base}
    MlflowClient().log_text(first, json.dumps(record), "record/run.json")
    remove_images(engine, MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE])
    said = refused(first)
    assert f"base image: neither the engine nor a registry has {base} as of {gone}" in said
    assert "--best-effort" in said
    again, verdicts = rerun(first, "--best-effort")
    assert verdicts["base image"] == "differs"
    assert verdicts["packages"] == "same"
    assert log_of(again) == log_of(first)


def test_a_base_whose_name_is_gone_too_cannot_be_replaced(folder, engine):
    name = f"container-backend-test/base:{uuid.uuid4().hex}"
    client_of(engine).images.get(BASE).tag(name)
    first = container_backend.run(str(folder), backend_config={"base_image": name}).run_id
    record = recorded(first)
    record["environment"]["base"]["digest"] = f"sha256:{'0' * 64}"
    MlflowClient().log_text(first, json.dumps(record), "record/run.json")
    remove_images(engine, MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE])
    remove_images(engine, name)
    said = refused(first, "--best-effort")
    assert "there is no other of that name" in said


def test_the_code_of_a_tree_with_changes_is_kept_and_repeated(repository):
    (repository / "data.txt").write_text("not committed")
    first = container_backend.run(str(repository)).run_id
    assert artifacts(first, "record") == {"record/run.json", "record/code.tar.gz"}
    assert recorded(first)["code"]["commit"] == ""
    (repository / "data.txt").write_text("changed since")
    again, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}
    assert "data not committed" in log_of(again)
    assert (repository / "data.txt").read_text() == "changed since"


@pytest.mark.slow
def test_a_commit_is_enough_and_is_had_from_the_repository_without_touching_it(repository):
    (repository / "data.txt").write_text("of the first commit")
    before = commit(repository)
    first = container_backend.run(str(repository)).run_id
    assert artifacts(first, "record") == {"record/run.json"}
    assert recorded(first)["code"]["commit"] == before
    (repository / "data.txt").write_text("of the second commit")
    after = commit(repository)
    (repository / "main.py").write_text("in the middle of a change")
    again, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}
    assert "data of the first commit" in log_of(again)
    assert git(repository, "rev-parse", "HEAD") == after
    assert git(repository, "status", "--porcelain") == "M main.py"
    assert MlflowClient().get_run(again).data.tags["mlflow.source.git.commit"] == before
    _, verdicts = rerun(again)
    assert set(verdicts.values()) == {"same"}


def test_a_version_of_a_repository_is_found_again(repository):
    (repository / "data.txt").write_text("of the tag")
    commit(repository)
    git(repository, "tag", "v1")
    (repository / "data.txt").write_text("of later")
    commit(repository)
    first = container_backend.run(str(repository), version="v1").run_id
    git(repository, "tag", "--force", "v1")
    again, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}
    assert "data of the tag" in log_of(again)


def test_a_project_in_a_subdirectory_is_found_in_its_commit(folder, tmp_path):
    root = tmp_path / "mono repo ü"
    root.mkdir()
    shutil.move(folder, root / "the project")
    git(root, "init", "--quiet", "--initial-branch=main")
    commit(root)
    (root / "elsewhere.txt").write_text("a change that is none of the project's")
    first = container_backend.run(str(root / "the project")).run_id
    assert recorded(first)["code"]["subdirectory"] == "the project"
    assert artifacts(first, "record") == {"record/run.json"}
    _, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}


def test_what_git_ignores_and_the_container_gets_is_kept(repository):
    """The commit has not all of what ran."""
    (repository / ".gitignore").write_text("data.txt\n")
    commit(repository)
    (repository / "data.txt").write_text("ignored by git")
    first = container_backend.run(str(repository)).run_id
    assert "record/code.tar.gz" in artifacts(first, "record")
    again, _ = rerun(first)
    assert "data ignored by git" in log_of(again)


def test_a_commit_that_is_gone_is_said_and_replaced_only_on_request(repository):
    first = container_backend.run(str(repository)).run_id
    (repository / "main.py").write_text("print('other')\n")
    shutil.rmtree(repository / ".git")
    said = refused(first)
    assert "code: " in said
    assert "instead: the current files at" in said
    again, verdicts = rerun(first, "--best-effort")
    assert verdicts["code"] == "differs"
    assert log_of(again) == "other\n"


def test_code_that_was_changed_in_the_archive_is_not_run(folder, tmp_path):
    first = container_backend.run(str(folder)).run_id
    (folder / "main.py").write_text("print('smuggled in')\n")
    second = container_backend.run(str(folder)).run_id
    client = MlflowClient()
    file = client.download_artifacts(second, "record/code.tar.gz", str(tmp_path))
    client.log_artifact(first, file, "record")
    said = refused(first)
    assert "the files there are not those that ran" in said
    (Path(file)).write_bytes(b"no archive")
    client.log_artifact(first, file, "record")
    assert "cannot be unpacked" in refused(first)


def test_no_project_anywhere(folder):
    first = container_backend.run(str(folder), backend_config={"record_code": "never"}).run_id
    assert artifacts(first, "record") == {"record/run.json"}
    shutil.rmtree(folder)
    said = refused(first, "--best-effort")
    assert "record_code was 'never'" in said
    assert "there is no project at" in said


def test_code_is_always_kept_where_that_is_wanted(repository):
    first = container_backend.run(str(repository), backend_config={"record_code": "always"}).run_id
    assert "record/code.tar.gz" in artifacts(first, "record")
    shutil.rmtree(repository)
    _, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}


def test_parameters_can_be_others(folder):
    first = container_backend.run(str(folder), parameters={"n": 4}).run_id
    again, verdicts = rerun(first, "-P", "n=5")
    assert verdicts.pop("parameters") == "differs"
    assert set(verdicts.values()) == {"same"}
    assert "n 5\n" in log_of(again)
    assert "needs a whole number" in refused(first, "-P", "n=x")


def test_a_run_that_failed_fails_again(folder):
    with pytest.raises(container_backend.RunFailed) as caught:
        container_backend.run(str(folder), parameters={"n": 101})
    again, verdicts = rerun(caught.value.run_id, code=1)
    assert set(verdicts.values()) == {"same"}
    assert MlflowClient().get_run(again).data.tags[labels_and_tags.TAG_EXIT_CODE] == "101"


@pytest.mark.slow
def test_a_detached_run_whose_client_is_gone_can_be_repeated(folder):
    """What is needed comes out of its container."""
    done = run_process("container-backend", "run", str(folder), "--detach", check=True)
    first = done.stdout.split()[-1]
    run_command("container-backend", "wait", first, check=True)
    assert artifacts(first, "record") == {"record/run.json", "record/code.tar.gz"}
    assert artifacts(first, "environment") >= {
        "environment/Dockerfile", "environment/requirements.lock",
        "environment/build-context.tar.gz",
    }  # fmt: skip
    shutil.rmtree(folder)
    again, verdicts = rerun(first)
    assert set(verdicts.values()) == {"same"}
    assert log_of(again) == log_of(first)


def test_secrets_are_not_in_the_record(folder, monkeypatch):
    monkeypatch.setenv("OTHER_TOKEN", "t0ken-value")
    args = {"env": ["A_TOKEN=s3cret-value", "PLAIN=1", "OTHER_TOKEN", "URL=http://u:p4ssw0rd@h/"]}
    first = container_backend.run(str(folder), docker_args=args).run_id
    record = recorded(first)
    assert record["docker_args"]["env"] == ["A_TOKEN", "OTHER_TOKEN", "PLAIN=1", "URL"]
    said = json.dumps(record)
    assert not any(secret in said for secret in ("s3cret-value", "t0ken-value", "p4ssw0rd"))
    monkeypatch.setenv("A_TOKEN", "of now")
    said = refused(first)
    assert "the values of A_TOKEN, OTHER_TOKEN, URL of the environment" in said
    assert "-A env=A_TOKEN -A env=OTHER_TOKEN -A env=URL" in said
    assert "--trust" in said
    assert "the values of OTHER_TOKEN, URL of" in refused(first, "-A", "env=A_TOKEN")
    again, _ = rerun(first, "-A", "env=A_TOKEN", "-A", "env=OTHER_TOKEN=x", "-A", "env=URL")
    assert recorded(again)["docker_args"] == {"env": ["A_TOKEN", "OTHER_TOKEN", "PLAIN=1"]}
    again, _ = rerun(first, "--trust")
    assert recorded(again)["docker_args"] == {"env": ["A_TOKEN", "OTHER_TOKEN", "PLAIN=1"]}


def test_of_a_variable_that_was_not_typed_only_the_name_is_recorded(
    folder, monkeypatch, tmp_path, engine
):
    """Whatever it is called; in the label of the container, which holds the record, too."""
    monkeypatch.setenv("MYSQL_PWD", "hunter2-of-mysql")
    (tmp_path / "variables").write_text("SNOWFLAKE_PAT=hunter2-of-snowflake\n")
    args = {"env": ["MYSQL_PWD", "PLAIN=1"], "env-file": str(tmp_path / "variables")}
    run = container_backend.run(str(folder), docker_args=args, backend_config={"keep": "always"})
    record = recorded(run.run_id)
    assert record["docker_args"]["env"] == ["MYSQL_PWD", "PLAIN=1", "SNOWFLAKE_PAT"]
    (container,) = containers_of(engine, run.run_id)
    assert "hunter2" not in json.dumps([record, container.labels])


def test_a_path_of_a_record_is_mounted_only_where_it_is_typed_anew_or_trusted(script, tmp_path):
    private = tmp_path / "private"
    private.write_text("of mine")
    folder = script(
        "print(open(__import__('sys').argv[1]).read())", "{d: path}", "python main.py {d}"
    )
    first = container_backend.run(folder, parameters={"d": str(private)}).run_id
    said = refused(first)
    assert f"parameters.d': this project comes from a run's record, and names '{private}'" in said
    assert "--trust" in said
    for allowed in (["-P", f"d={private}"], ["--trust"]):
        again, _ = rerun(first, *allowed)
        assert log_of(again) == "of mine\n"


def test_a_record_is_no_permission_to_reach_into_the_machine(folder, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    first = container_backend.run(str(folder), docker_args={"volume": f"{shared}:/shared"}).run_id
    said = refused(first)
    assert "docker argument 'volume'" in said
    assert "--trust" in said
    _, verdicts = rerun(first, "--trust")
    assert set(verdicts.values()) == {"same"}


@pytest.mark.slow
def test_a_package_of_the_project_is_built_again_from_its_code(folder, engine, base):
    (folder / "requirements.txt").write_text("six\n-e .\n")
    (folder / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\n")
    config = {"base_image": base}
    first = container_backend.run(str(folder), backend_config=config).run_id
    shutil.rmtree(folder)
    remove_images(engine, MlflowClient().get_run(first).data.tags[labels_and_tags.TAG_IMAGE])
    again, verdicts = rerun(first)
    assert verdicts.pop("image") in {"same", "built again"}
    assert set(verdicts.values()) == {"same"}
    assert log_of(again) == log_of(first)


def test_a_project_with_an_image_of_its_own_is_repeated_by_its_digest(project, engine):
    name = f"container-backend-test/own:{uuid.uuid4().hex}"
    client_of(engine).images.get(BASE).tag(name)
    folder = project(
        f"docker_env: {{image: '{name}'}}\nentry_points: {{main: {{command: 'true'}}}}\n"
    )
    first = container_backend.run(folder).run_id
    remove_images(engine, name)
    again, verdicts = rerun(first)
    assert verdicts["image"] == "same"
    record = MlflowClient().get_run(first)
    MlflowClient().set_tag(first, "mlflow.docker.image.id", f"sha256:{'0' * 64}")
    # Another test may have pushed the image, which has a digest then.
    MlflowClient().set_tag(first, labels_and_tags.TAG_REPOSITORY_DIGEST, "")
    assert f"neither the engine nor a registry has {name}" in refused(first)
    assert record.info.status == "FINISHED"
    assert again


@pytest.mark.parametrize(
    ("run_id", "said"),
    [
        ("no id", "is not the id of a run"),
        ("0123456789", "There is no run '0123456789'"),
        ("0" * 32, "There is no run '00000000000000000000000000000000'"),
    ],
)
def test_a_run_that_is_not_there(run_id, said, folder):
    container_backend.run(str(folder))
    assert said in refused(run_id)


def test_an_id_that_is_not_one_runs(folder, engine):
    """A run that has a container on the engine would be taken before those of the store."""
    client = MlflowClient()
    seen = set()
    while True:
        start = client.create_run("0").info.run_id[:2]
        said = refused(start) if start in seen else ""
        if said and start not in beginnings_on(engine):
            break
        seen.add(start)
    assert f"2 runs begin with '{start}'" in said


def beginnings_on(engine) -> set[str]:
    found = client_of(engine).api.containers(
        all=True, filters={"label": labels_and_tags.LABEL_RUN_ID}
    )
    return {each["Labels"][labels_and_tags.LABEL_RUN_ID][:2] for each in found}


def test_a_run_of_another_user(workplace):
    run = MlflowClient().create_run("0").info.run_id
    assert "was not made by container-backend" in refused(run)


def test_a_run_without_a_record(folder):
    run = container_backend.run(str(folder)).run_id
    MlflowClient().log_text(run, "{", "record/run.json")
    assert "'record/run.json' cannot be read" in refused(run)
    client = MlflowClient()
    shutil.rmtree(Path(client.get_run(run).info.artifact_uri) / "record")
    assert "has no 'record/run.json' among its artifacts" in refused(run)


def test_an_engine_that_does_not_answer(folder):
    run = container_backend.run(str(folder)).run_id
    assert "No Docker engine answers" in refused(run, "--on", "unix:///nowhere.sock", code=3)
    assert "is not the address of an engine" in refused(run, "--on", "nowhere")


@pytest.mark.slow
def test_two_runs_are_compared(project):
    folder = Path(project(PROJECT, main__py=PROGRAM, requirements__txt="six==1.16.0\n"))
    first = container_backend.run(str(folder), parameters={"n": 1}).run_id
    same = container_backend.run(str(folder), parameters={"n": 1}).run_id
    done = run_command("container-backend", "diff", first[:12], same[:12])
    assert done.returncode == 0, done.stderr
    assert "differs" not in done.stdout
    (folder / "requirements.txt").write_text("six==1.15.0\n")
    (folder / "main.py").write_text(textwrap.dedent(PROGRAM) + "# changed\n")
    other = container_backend.run(str(folder), parameters={"n": 2}).run_id
    client = MlflowClient()
    client.log_metric(first, "loss", 1.0)
    client.log_metric(other, "loss", 1.25)
    client.log_metric(first, "system/cpu", 1.0)
    done = run_command("container-backend", "diff", first, other)
    assert done.returncode == 1
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert lines["six"] == ["1.16.0", "1.15.0", "differs"]
    assert lines["n"] == ["1", "2", "differs"]
    assert lines["loss"] == ["1.0", "1.25", "differs", "by", "0.2"]
    assert lines["code"][-1] == "differs"
    assert "system/cpu" not in lines
    assert run_command("container-backend", "diff", first, "0" * 32).returncode == 2
