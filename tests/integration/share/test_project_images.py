"""Images of projects, run by Docker alone; and as projects themselves."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from container_backend.image.buildkit.build import BuildRequest, build_image
from tests.support.client import client_of
from tests.support.commands import run_command, run_process
from tests.support.on_engine import BASE, all_containers, remove_environment_images, remove_images
from tests.support.projects import EXAMPLE, ROOT, TRUST, TRUSTED
from tests.support.runs import only_run, runs
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = """
name: salary
entry_points:
  main:
    description: Trains the model
    parameters:
      count: {type: int, default: 1, description: How many}
      text: {default: "it's"}
    command: "python main.py {count} {text}"
  fail:
    command: exit 7
  wait:
    command: python wait.py
  chain:
    command: python wait.py && echo never
"""
MAIN = """
import getpass, os, sys
open("written", "w").write("x")
open(os.path.expanduser("~/written"), "w").write("x")
print(sys.argv[1:], os.getuid(), getpass.getuser(), os.getcwd())
"""
WAIT = """
import signal, sys, time
def stop(*_):
    time.sleep(0.3)
    print("asked to stop", flush=True)
    sys.exit(5)
signal.signal(signal.SIGTERM, stop)
print("up", flush=True)
time.sleep(100)
"""


def docker(*words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def build(folder: str | Path, tag: str, *options: str, check: bool = True):
    return run_command("container-backend", "build", str(folder), "-t", tag, *options, check=check)


@pytest.fixture
def tag(engine):
    """A name for an image, which goes with the test."""
    name = f"example.test/team/{uuid.uuid4().hex[:8]}:1.0"
    yield name
    remove_environment_images(engine, {image.id for image in client_of(engine).images.list(name)})


@pytest.fixture
def salary(project) -> str:
    return project(PROJECT, main__py=MAIN, wait__py=WAIT)


@pytest.fixture(scope="module")
def image(engine, tmp_path_factory) -> Iterator[str]:
    """The image of the project, which no test changes; made once."""
    folder = tmp_path_factory.mktemp("salary")
    for name, text in {"MLproject": PROJECT, "main.py": MAIN, "wait.py": WAIT}.items():
        (folder / name).write_text(text)
    name = f"example.test/team/{uuid.uuid4().hex[:8]}:1.0"
    assert build(folder, name).stdout == f"{name}\n"
    yield name
    remove_environment_images(engine, {found.id for found in client_of(engine).images.list(name)})


def labels(engine, image: str) -> dict[str, str]:
    return client_of(engine).images.get(image).labels


def test_an_image_runs_its_entry_points_with_the_checks_of_the_backend(image):
    done = docker("run", "--rm", image, check=True)
    assert done.stdout == "['1', \"it's\"] 1000 mlflow /mlflow/projects/code\n"
    done = docker("run", "--rm", image, "main", "-P", "count=07", "-P", "text=a $(id) b")
    assert done.stdout.startswith("['07', 'a $(id) b'] ")
    assert docker("run", "--rm", image, "fail").returncode == 7
    done = docker("run", "--rm", image, "-P", "count=many")
    assert done.returncode == 2
    assert "the parameter 'count' (int) needs a whole number, not 'many'" in done.stderr
    said = docker("run", "--rm", image, "--help", check=True).stdout
    assert "-P count=…  int     default: 1     How many" in said


@pytest.mark.parametrize("user", ["4242:4242", "0:0", "4242:0"])
def test_any_user_can_run_it_and_write(image, user):
    done = docker("run", "--rm", "--user", user, image, check=True)
    assert f" {user.partition(':')[0]} mlflow /mlflow/projects/code" in done.stdout


def test_it_runs_where_nothing_can_be_written(image):
    command = ["--", "python", "-c", "print('read only')"]
    assert docker("run", "--rm", "--read-only", image, *command).stdout == "read only\n"
    assert docker("run", "--rm", "--read-only", image, "fail").returncode == 7


@pytest.mark.parametrize("options", [[], ["--init"]], ids=["first process", "below an init"])
@pytest.mark.parametrize(
    ("words", "code"), [(["wait"], 5), (["chain"], 143), (["--", "sleep", "100"], 143)]
)
def test_a_signal_reaches_the_program(image, engine, options, words, code):
    made = docker("run", "--detach", *options, image, *words, check=True).stdout.strip()
    container = client_of(engine).containers.get(made)
    try:
        if words[0] != "--":
            wait_until(lambda: b"up\n" in container.logs(stderr=False))
        else:
            wait_until(lambda: any(row[-1] == "sleep 100" for row in container.top()["Processes"]))
        started = time.monotonic()
        container.stop(timeout=60)
        assert time.monotonic() - started < 50  # not by the SIGKILL after that
        container.reload()
        assert container.attrs["State"]["ExitCode"] == code
        if words == ["wait"] or (words == ["chain"] and not options):
            assert container.logs(stderr=False) == b"up\nasked to stop\n"
    finally:
        container.remove(force=True)


def test_the_first_process_buries_what_others_leave_behind(image):
    orphans = "for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 0.5; cat /proc/[0-9]*/stat"
    states = docker("run", "--rm", image, "--", "sh", "-c", orphans, check=True).stdout
    assert " Z " not in states


def test_labels_say_what_it_is(engine, salary, tag):
    git = ["git", "-C", salary, "-c", "user.name=me", "-c", "user.email=me@example.test"]
    Path(salary, "pyproject.toml").write_text("[project]\nname = 'x'\nlicense = 'Apache-2.0'\n")
    for words in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "x"],
        ["remote", "add", "origin", "https://me:s3cret@git.example.test/team/salary.git"],
    ):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    build(salary, tag)
    found = labels(engine, tag)
    oci = "org.opencontainers.image."
    assert found[f"{oci}title"] == "salary"
    assert found[f"{oci}version"] == "1.0"
    assert found[f"{oci}revision"] == commit.stdout.strip()
    assert found[f"{oci}source"] == "https://git.example.test/team/salary.git"
    assert found[f"{oci}licenses"] == "Apache-2.0"
    assert found[f"{oci}created"].endswith("Z")
    mlproject = json.loads(found[labels_and_tags.LABEL_MLPROJECT])
    assert mlproject["entry_points"]["main"]["parameters"]["count"]["type"] == "int"
    Path(salary, "main.py").write_text("print('changed')\n")
    build(salary, tag)
    assert labels(engine, tag)[f"{oci}revision"] == f"{commit.stdout.strip()}-dirty"


def test_an_image_is_inspected_without_running_it(image, engine):
    before = all_containers(engine)
    said = run_command("container-backend", "inspect", image, check=True).stdout
    for expected in (
        "project:     salary",
        "  main",
        "-P count=…  int",
        f"base:        {BASE}",
    ):
        assert expected in said
    told = json.loads(
        run_command("container-backend", "inspect", image, "--json", check=True).stdout
    )
    assert told["kind"] == "project"
    assert told["environment_hash"] == labels(engine, image)[labels_and_tags.LABEL_OF_ENVIRONMENT]
    assert told["mlproject"]["entry_points"]["fail"]["command"] == "exit 7"
    assert all_containers(engine) == before


def test_the_same_project_makes_the_same_layers_wherever_it_is(project, tag, tmp_path, engine):
    folder = Path(project(PROJECT, main__py=MAIN))
    build(folder, tag)
    first = client_of(engine).images.get(tag).attrs["RootFS"]["Layers"]
    moved = folder.rename(tmp_path / "elsewhere")
    for file in moved.iterdir():
        os.utime(file, (1, 1))
        file.chmod(0o600)
    build(moved, tag)
    assert client_of(engine).images.get(tag).attrs["RootFS"]["Layers"] == first


def test_a_project_image_is_not_taken_for_its_environment(salary, image, engine):
    again = container_backend.build(salary)
    assert again != image
    assert labels(engine, again)[labels_and_tags.LABEL_ENVIRONMENT_HASH]
    listed = json.loads(run_command("container-backend", "images", "--json", check=True).stdout)
    assert image not in [name for each in listed for name in each["names"]]


def test_files_that_are_ignored_are_not_in_it_and_links_are_links(project, tag):
    folder = Path(project("entry_points: {main: {command: 'ls -AF sub; cat link'}}\n"))
    (folder / ".dockerignore").write_text("secret\n")
    (folder / "secret").write_text("s3cret")
    (folder / "sub").mkdir()
    (folder / "sub" / "a b ü").write_text("x")
    (folder / "sub" / "run").write_text("x")
    (folder / "sub" / "run").chmod(0o700)
    (folder / "link").symlink_to("sub/a b ü")
    build(folder, tag)
    done = docker("run", "--rm", tag, "--", "sh", "-c", "ls -AF . sub; cat link", check=True)
    assert "secret" not in done.stdout
    assert "link@" in done.stdout
    assert "a b ü\nrun*\nx" in done.stdout


def test_an_entry_point_with_another_environment_is_left_out_and_named(project, tag):
    folder = project(
        "entry_points:\n"
        "  main: {command: 'echo main'}\n"
        "  other: {python_env: other.yaml, command: 'echo other'}\n",
        other__yaml="python: '3.11'\ndependencies: ['--find-links https://x.test/']\n",
    )
    said = build(folder, tag).stderr
    assert "the entry point 'other' has another environment, and is not in this image" in said
    assert docker("run", "--rm", tag).stdout == "main\n"
    assert docker("run", "--rm", tag, "other").returncode == 2


@pytest.fixture
def own_image(engine):
    """An image of a project's own."""
    made = []

    def make(*steps: str, base: str = BASE) -> str:
        name = f"container-backend-test/own:{uuid.uuid4().hex[:8]}"
        dockerfile = "\n".join([f"FROM {base}", *steps]) + "\n"
        request = BuildRequest(context={"Dockerfile": dockerfile.encode()}, tags=(name,))
        build_image(engine, request)
        made.append(name)
        return name

    yield make
    remove_images(engine, *made)


def test_an_image_of_the_projects_own_is_built_on_with_its_entry_point(
    project, own_image, tag, monkeypatch
):
    script = '#!/bin/sh\\nexport FROM_SCRIPT=yes\\nexec "$@"\\n'
    base = own_image(
        f"RUN printf '{script}' > /start && chmod 755 /start",
        'LABEL org.opencontainers.image.title="the base" org.opencontainers.image.version=9',
        'ENTRYPOINT ["/start"]',
    )
    folder = project(
        f"docker_env: {{image: '{base}', environment: [[SET, 'a b'], COPIED], "
        "volumes: ['/data:/data']}\n"
        "entry_points: {main: {command: 'echo $FROM_SCRIPT,$SET,$COPIED; cat here'}}\n",
        here="of the project\n",
    )
    build(folder, tag)
    told = run_command("container-backend", "inspect", tag, "--json", check=True).stdout
    assert json.loads(told)["labels"]["org.opencontainers.image.title"] == "my project"
    assert docker("run", "--rm", "-e", "COPIED=c", tag).stdout == "yes,a b,c\nof the project\n"
    assert "docker run --env COPIED" in docker("run", "--rm", tag, "--help").stdout
    monkeypatch.setenv("COPIED", "copied")
    refused = run_command("container-backend", "run", f"docker://{tag}")
    assert refused.returncode == 2
    assert "wants the values of COPIED of your environment" in refused.stderr
    done = run_command("container-backend", "run", f"docker://{tag}", *TRUST, check=True)
    assert done.stdout == "yes,a b,copied\nof the project\n"


def test_an_image_without_python_is_refused_before_anything_is_built(
    project, own_image, tag, engine
):
    base = own_image("RUN rm -f /usr/local/bin/python* /usr/bin/python*")
    folder = project(f"docker_env: {{image: '{base}'}}\nentry_points: {{main: {{command: x}}}}\n")
    done = build(folder, tag, check=False)
    assert done.returncode == 2
    assert f"the image '{base}' has no Python" in done.stderr
    assert client_of(engine).images.list(tag) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-t", "team/Salary"], "'team/Salary' is not a name that an image can have."),
        (["-t", "x/y@sha256:" + "0" * 64], "is not a name that an image can have."),
        (["-t", "container-backend/python3.11:x"], "are those of environment images"),
        (["-t", "x", "--platform", "arm"], "'arm' is not a platform."),
        (["-t", "x", "--save", "/no/such/folder/x.tar"], "there is no folder '/no/such/folder'"),
        (["-t", "x", "--save", "/proc/x.tar"], "cannot be written"),
        (["--push"], "go with --tag NAME"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_built(project, options, said, engine):
    folder = project("entry_points: {main: {command: x}}\n", requirements__txt="no-such-thing\n")
    done = run_command("container-backend", "build", folder, *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert "===" not in done.stderr


def test_another_platform_than_the_engines_is_refused_where_it_cannot_be(project, tag, engine):
    other = "linux/arm64" if engine.facts.platform == "linux/amd64" else "linux/amd64"
    folder = project("entry_points: {main: {command: x}}\n")
    done = build(folder, tag, "--platform", other, check=False)
    assert done.returncode in {5, 6}
    assert "Traceback" not in done.stderr
    assert client_of(engine).images.list(tag) == []


def test_an_image_is_a_project(image, engine, monkeypatch):
    container_backend.run(f"docker://{image}", parameters={"count": "3"}, backend_config=TRUSTED)
    found = only_run()
    tags = found.data.tags
    assert found.info.status == "FINISHED"
    assert found.data.params == {"count": "3", "text": "it's"}
    assert tags["mlflow.source.name"] == f"docker://{image}"
    assert tags["mlflow.project.entryPoint"] == "main"
    assert tags[labels_and_tags.TAG_IMAGE] == image
    assert tags[labels_and_tags.TAG_IMAGE_DIGEST] == client_of(engine).images.get(image).id
    assert (
        tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
        == labels(engine, image)[labels_and_tags.LABEL_OF_ENVIRONMENT]
    )
    assert f"container-backend rerun {found.info.run_id}" in tags["mlflow.note.content"]


def test_mlflow_runs_an_image(image):
    trusted = ("--backend", "docker", "--backend-config", json.dumps(TRUSTED))
    done = run_command("mlflow", "run", f"docker://{image}", *trusted, "-P", "count=4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['4', \"it's\"] ")
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.source.name"] == f"docker://{image}"
    done = run_command("mlflow", "run", f"docker://{image}", *trusted, "-e", "fail")
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("uri", "options", "code", "said"),
    [
        ("BASE", [], 2, "was not made by container-backend"),
        ("docker://UPPER", [], 2, "is not the address of an image"),
        ("docker://", [], 2, "is not the address of an image"),
        ("docker://127.0.0.1:1/no/image:1", [], 5, "no/image:1' cannot be pulled"),
        ("IMAGE", ["-P", "count=x"], 2, "'count' (int) needs a whole number, not 'x'"),
        ("IMAGE", ["-e", "mian"], 2, "Did you mean 'main'?"),
        ("IMAGE", ["--env-manager", "virtualenv"], 2, "Leave out the environment manager."),
        ("IMAGE", ["--version", "1"], 2, "the version of an image is its tag"),
    ],
)
def test_what_is_wrong_with_an_image_is_said_and_there_is_no_run(image, uri, options, code, said):
    named = {"IMAGE": image, "BASE": BASE}
    uri = f"docker://{named[uri]}" if uri in named else uri
    done = run_command("container-backend", "run", uri, *TRUST, *options)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert runs() == []


def test_a_label_that_is_no_project_is_refused(own_image):
    for text, said in [("{", "not JSON"), ("[]", "an object"), ('{\\"entry_points\\": 1}', "")]:
        broken = own_image(f'LABEL {labels_and_tags.LABEL_MLPROJECT}="{text}"')
        done = run_command("container-backend", "run", f"docker://{broken}")
        assert done.returncode == 2
        assert said in done.stderr
        assert broken in done.stderr
        assert "Traceback" not in done.stderr


def test_an_image_is_not_built_again(image):
    for command in ("build", "lock"):
        done = run_command("container-backend", command, f"docker://{image}")
        assert done.returncode == 2
        assert "is an image already" in done.stderr


@pytest.mark.slow
def test_the_example_is_trained_and_evaluated_by_docker_alone(example_image, tag, engine):
    build(EXAMPLE, tag)
    volume = f"container-backend-test-{uuid.uuid4().hex[:8]}"
    keep = ["--rm", "--volume", f"{volume}:/mlflow/results"]
    try:
        done = docker("run", *keep, tag, "-P", "n_jobs_param=1", check=True)
        assert "MLFLOW_TRACKING_URI is not set: results go to /mlflow/results" in done.stderr
        assert "=== Results are in /mlflow/results ===" in done.stderr
        show = (
            "import json, mlflow; mlflow.set_tracking_uri('sqlite:////mlflow/results/mlflow.db');"
            "found = mlflow.search_runs(search_all_experiments=True, output_format='list')[0];"
            "print(json.dumps([found.info.run_id, found.info.artifact_uri, found.data.tags]))"
        )
        answer = docker("run", *keep, tag, "--", "python", "-c", show, check=True).stdout
        run_id, _, tags = json.loads(answer.splitlines()[-1])
        assert tags["mlflow.project.entryPoint"] == "main"
        assert tags[labels_and_tags.TAG_IMAGE] == tag
        assert (
            tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
            == labels(engine, tag)[labels_and_tags.LABEL_OF_ENVIRONMENT]
        )
        # In another container, where the model is only if it was kept.
        docker("run", *keep, tag, "evaluate", "-P", f"run_id={run_id}", check=True)
    finally:
        docker("volume", "rm", "--force", volume)


@pytest.mark.usefixtures("no_store")
@pytest.mark.slow
def test_a_tracking_address_is_where_it_logs(example_image, tag, workplace):
    build(EXAMPLE, tag)
    store = workplace / "store"
    address = f"sqlite:///{store}/mlflow.db"
    store.chmod(0o777)
    done = docker(
        *("run", "--rm", "--volume", f"{store}:{store}", "--env", f"MLFLOW_TRACKING_URI={address}"),
        *(tag, "-P", "n_jobs_param=1"),
    )
    assert done.returncode == 0, done.stderr
    assert "is not set" not in done.stderr
    mlflow.set_tracking_uri(address)
    assert [run.info.status for run in runs()] == ["FINISHED"]


@pytest.mark.slow
def test_mlflows_own_docker_env_takes_it(image, engine, tmp_path, monkeypatch):
    store = tmp_path / "store"  # MLflow cannot mount paths with spaces
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    store.mkdir()
    monkeypatch.chdir(tmp_path)
    consumer = tmp_path / "consumer"
    consumer.mkdir()
    (consumer / "MLproject").write_text(
        f"name: consumer\ndocker_env: {{image: '{image}'}}\n"
        "entry_points:\n  main: {command: 'python main.py from mlflow'}\n"
    )
    done = run_process("mlflow", "run", str(consumer))  # its `docker run` writes the output
    assert done.returncode == 0, done.stderr
    assert "['from', 'mlflow'] 1000 mlflow /mlflow/projects/code" in done.stdout
    assert only_run().info.status == "FINISHED"
    try:
        done = run_process("mlflow", "run", str(consumer), "--build-image")
        assert done.returncode == 0, done.stderr
    finally:
        remove_images(engine, "consumer")


def test_mlflows_kubernetes_backend_starts_it(image):
    """What its job says, in a container: there is no cluster here."""
    from mlflow.projects import kubernetes

    template = {
        "metadata": {},
        "spec": {"template": {"spec": {"containers": [{}], "restartPolicy": "Never"}}},
    }
    job = kubernetes._get_kubernetes_job_definition(
        "salary",
        image,
        "sha256:0",
        kubernetes._get_run_command(["python main.py 1 'a b'"]),
        {"MLFLOW_RUN_ID": "1"},
        template,
    )
    (container,) = job["spec"]["template"]["spec"]["containers"]
    # A pod's command takes the place of an image's entry point.
    entry, *words = container["command"]
    done = docker("run", "--rm", "--entrypoint", entry, image, *words, check=True)
    assert done.stdout.startswith("['1', ")
    assert done.stdout.endswith(" 1000 mlflow /mlflow/projects/code\n")


def test_compose_runs_it(image, tmp_path):
    name = f"test{uuid.uuid4().hex[:8]}"
    file = tmp_path / "compose.yaml"
    text = (ROOT / "docs" / "sharing.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert "registry.example/team/salary:1.0" in example
    example = example.replace("registry.example/team/salary:1.0", image)
    file.write_text(f"version: '3'\n{example}")
    compose = ["docker-compose", "-p", name, "-f", str(file)]
    try:
        done = subprocess.run(
            [*compose, "run", "--rm", "train"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "['2', \"it's\"]" in done.stdout
    finally:
        subprocess.run([*compose, "down", "-v"], capture_output=True, check=True)


def test_a_run_that_an_image_starts_belongs_to_the_store_of_its_caller(image):
    run = container_backend.run(f"docker://{image}", backend_config=TRUSTED, synchronous=False)
    assert run.wait()
    assert MlflowClient().get_run(run.run_id).info.status == "FINISHED"
