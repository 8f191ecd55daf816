"""Equal code is sent to an engine twice; then runs share an image that has it."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from docker.errors import ImageNotFound

import container_backend
from container_backend import labels_and_tags
from container_backend.container import remove_shared_code
from container_backend.image.prune import list_images, remove_image
from container_backend.machine.owner import owner_id
from container_backend.runs.ledger.ledger import ledger_of
from tests.support.client import client_of
from tests.support.on_engine import BASE, all_containers, containers_of, everything, remove_images
from tests.support.processes import supervisors
from tests.support.projects import with_steps
from tests.support.runs import output_of, runs, status_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_state")

KEPT = {"keep": "always"}
# What a program sees of its files, and may do with them. The shell's mark has the time of the start.
SEES = """
    import json, os, sys
    files = {}
    for folder, folders, found in os.walk("/mlflow"):
        folders[:] = {*folders} - {"environment", "__pycache__", "mark"}
        for name in [".", *found]:
            status = os.stat(os.path.join(folder, name))
            files[os.path.join(folder, name)] = [status.st_mode, status.st_uid, status.st_gid,
                name != "." and (status.st_size, status.st_mtime)]
    open("main.py", "a").write("# changed")
    os.rename("main.py", "other.py")
    open("/mlflow/home/new", "w").close()
    print(json.dumps(files, sort_keys=True))
"""


@pytest.fixture(autouse=True)
def _nothing_stays(engine):
    before = all_containers(engine)
    yield
    for container in all_containers(engine) - before:
        client_of(engine).api.remove_container(container, force=True)
    remove_shared_code(engine, ledger_of(engine.host).shared_code)
    assert shared_images(engine) == []


def shared_images(engine) -> list[str]:
    """The names of those of this test."""
    return [name for image in _images(engine) for name in image["RepoTags"]]


def _images(engine) -> list[dict[str, object]]:
    label = f"{labels_and_tags.LABEL_SHARED_CODE}={owner_id()}"
    return client_of(engine).api.images(filters={"label": label})


def runs_on(engine, run) -> list[str]:
    """The names of the image of a run's container, which is kept."""
    container = client_of(engine).api.inspect_container(run.container_id)
    return client_of(engine).api.inspect_image(container["Image"])["RepoTags"]


def shares(engine, run) -> bool:
    return runs_on(engine, run) == shared_images(engine)


def test_equal_runs_see_the_same_whether_it_was_sent_or_shared(script, engine):
    folder = script(SEES, parameters="{x: {default: 1}}", command="python main.py  # {x}")
    equal = [
        container_backend.run(folder, parameters={"x": str(x)}, backend_config=KEPT)
        for x in range(3)
    ]
    assert [shares(engine, run) for run in equal] == [False, True, True]
    seen = {output_of(run) for run in equal}
    assert len(seen) == 1
    assert "/mlflow/projects/code/main.py" in seen.pop()


@pytest.mark.slow
def test_what_is_logged_of_each_is_its_own(script, engine):
    folder = script("pass", parameters="{x: {default: 1}}", command="python main.py  # {x}")
    kept = {**KEPT, "detach": True}
    for x in range(3):
        run = container_backend.run(folder, parameters={"x": str(x)}, backend_config=kept)
        assert run.wait()
        record = Path(
            mlflow.artifacts.download_artifacts(run_id=run.run_id, artifact_path="record")
        )
        assert json.loads((record / "run.json").read_text())["parameters"] == {"x": str(x)}
        assert (record / "code.tar.gz").stat().st_size > 0
        tags = mlflow.get_run(run.run_id).data.tags
        assert tags[labels_and_tags.TAG_IMAGE].startswith("container-backend/python")
    assert shares(engine, run)


def test_changed_code_is_sent(script, engine):
    for text in ("one", "one", "two"):
        folder = script(f"print('{text}')")
        run = container_backend.run(folder, backend_config=KEPT)
        assert output_of(run) == f"{text}\n"
    assert not shares(engine, run)


def test_a_project_with_folders_is_sent_each_time(script, engine):
    """A folder out of an image cannot be renamed."""
    folder = script("import os; os.rename('data', 'old')")
    Path(folder, "data").mkdir()
    Path(folder, "data", "x").touch()
    for _ in range(3):
        container_backend.run(folder)
    assert shared_images(engine) == []


@pytest.mark.parametrize(
    "args",
    [
        {"tmpfs": "/mlflow/home"},
        {"mount": "type=tmpfs,target=/mlflow/projects/code/cache"},
        {"volume": "/tmp:/mlflow/projects/code/host"},
    ],
    ids=lambda args: next(iter(args)),
)
def test_what_is_mounted_over_code_is_not_hidden_by_it(script, engine, args):
    folder = script("print(len(open('main.py').read()) > 0)")
    for _ in range(3):
        run = container_backend.run(folder, docker_args=args, backend_config=KEPT)
        assert output_of(run) == "True\n"
    assert shared_images(engine) == []


def test_an_image_with_a_volume_where_the_code_goes(project, engine):
    container = client_of(engine).api.create_container(BASE, ["true"])["Id"]
    name = f"with-volume:{os.getpid()}"
    client_of(engine).api.commit(
        container, *name.split(":"), changes="VOLUME /mlflow/projects/code/data"
    )
    client_of(engine).api.remove_container(container)
    folder = project(
        f"docker_env: {{image: '{name}'}}\nentry_points: {{main: {{command: cat MLproject}}}}\n"
    )
    for _ in range(3):
        run = container_backend.run(folder, backend_config=KEPT)
        assert "docker_env" in output_of(run)
        assert runs_on(engine, run) == [name]
        client_of(engine).api.remove_container(run.container_id, v=True)
    remove_images(engine, name)


@pytest.mark.slow
def test_another_client_removes_the_image(script, engine):
    folder = script("print('here')")
    for _ in range(2):
        container_backend.run(folder)
    for name in shared_images(engine):
        remove_images(engine, name)
    run = container_backend.run(folder, backend_config=KEPT)
    assert output_of(run) == "here\n"
    assert shared_images(engine) == []
    container_backend.run(folder)
    assert len(shared_images(engine)) == 1


@pytest.mark.slow
def test_many_at_once_make_one_image(script, engine):
    folder = script("print('here')")
    container_backend.run(folder)
    made = set()

    def run(_: int) -> str:
        ended = container_backend.run(folder, backend_config=KEPT)
        made.update(image["Id"] for image in _images(engine))
        return output_of(ended)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(24))) == {"here\n"}
    assert len(made) == 1


def test_no_secret_is_in_the_image(script, engine):
    folder = script("pass")
    secret = {"env": "MY_TOKEN=s3cret-value-of-a-run"}
    for _ in range(2):  # a container that is kept keeps its image
        container_backend.run(folder, docker_args=secret, backend_config=KEPT)
    (name,) = shared_images(engine)
    found = everything(engine, name)
    assert b"s3cret-value-of-a-run" not in found
    assert not any(run.info.run_id.encode() in found for run in runs())


@pytest.mark.slow
def test_the_supervisor_removes_it_when_there_is_nothing_left(script, engine, workplace):
    folder = script("import os, time; time.sleep(600 if 'WAITS' in os.environ else 0)")
    container_backend.run(folder)
    run = container_backend.run(
        folder, docker_args={"env": "WAITS=1"}, backend_config={"detach": True}
    )
    assert len(shared_images(engine)) == 1
    run.cancel(grace=0)
    wait_until(lambda: not supervisors(workplace), 40)
    assert shared_images(engine) == []
    assert list((ledger_of(engine.host).folder / "code").iterdir()) == []


def test_an_image_that_a_container_needs_stays(script, engine):
    folder = script("pass")
    for _ in range(2):
        run = container_backend.run(folder, backend_config=KEPT)
    remove_shared_code(engine, ledger_of(engine.host).shared_code)
    assert shares(engine, run)
    client_of(engine).api.remove_container(run.container_id)
    remove_shared_code(engine, ledger_of(engine.host).shared_code)
    assert shared_images(engine) == []


def test_one_that_was_used_a_moment_ago_stays(script, engine):
    folder = script("pass")
    for _ in range(2):
        container_backend.run(folder)
    remove_shared_code(engine, ledger_of(engine.host).shared_code, unused_for=60)
    assert len(shared_images(engine)) == 1
    (file,) = [
        file
        for file in (ledger_of(engine.host).folder / "code").iterdir()
        if file.suffix != ".lock"
    ]
    os.utime(file, (0, 0))
    remove_shared_code(engine, ledger_of(engine.host).shared_code, unused_for=60)
    assert shared_images(engine) == []


@pytest.mark.slow
def test_its_containers_count_as_those_of_the_environment(script, engine):
    folder = script("pass")

    def containers() -> int:
        wanted = runs()[0].data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
        return next(image.containers for image in list_images(engine) if image.hash == wanted)

    container_backend.run(folder)
    before = containers()
    run = container_backend.run(folder, backend_config=KEPT)
    assert shares(engine, run)
    assert containers() == before + 1


@pytest.mark.usefixtures("fresh")
@pytest.mark.slow
def test_it_does_not_keep_the_environment(project, engine):
    """One of its own: of another there may be containers."""
    folder = with_steps(project("entry_points: {main: {command: 'true'}}\n"), "final", "RUN :")
    for _ in range(2):
        container_backend.run(folder)
    assert len(shared_images(engine)) == 1
    wanted = runs()[0].data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
    (image,) = (each for each in list_images(engine) if each.hash == wanted)
    assert remove_image(engine, image) is None
    assert shared_images(engine) == []
    with pytest.raises(ImageNotFound):
        client_of(engine).api.inspect_image(image.id)


def test_a_run_that_ends_badly_ends_the_same(script, engine):
    folder = script("import sys; print('last words'); sys.exit(3)")
    for _ in range(3):
        with pytest.raises(container_backend.RunFailed, match="exit code 3") as caught:
            container_backend.run(folder)
        assert caught.value.last_lines == ("last words",)
        assert status_of(caught.value.run_id) == "FAILED"
    assert len(shared_images(engine)) == 1
    assert not any(containers_of(engine, run.info.run_id) for run in runs())


def test_the_name_of_the_image_may_be_given_to_another(script, engine):
    """Every user of the engine can do so."""
    folder = script("print('mine')")
    for _ in range(2):
        container_backend.run(folder)
    (name,) = shared_images(engine)
    client_of(engine).images.get(BASE).tag(name)
    try:
        run = container_backend.run(folder, backend_config=KEPT)
        assert output_of(run) == "mine\n"
    finally:
        remove_images(engine, name)
