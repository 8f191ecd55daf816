"""A run, from the command that a user types to the status in the store."""

from __future__ import annotations

import json
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import ExecutionException

import container_backend
from container_backend import labels_and_tags
from container_backend.store import ServedStore
from tests.support.client import client_of
from tests.support.commands import command, run_command, run_process
from tests.support.on_engine import (
    BASE,
    all_containers,
    containers_of,
    environment_images,
)
from tests.support.projects import with_steps
from tests.support.runs import (
    UNTIL_TOLD,
    WAITED_OR_DETACHED,
    let_end,
    only_run,
    output_of,
    runs,
)
from tests.support.waiting import wait_until

SLOW = """
    import signal, sys, time
    def stop(*_):
        print("stopping", flush=True)
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    print("started", flush=True)
    time.sleep(600)
"""
# The same, deaf to SIGTERM.
DEAF = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("started", flush=True)
    time.sleep(600)
"""


def test_a_run_finishes_and_its_output_is_shown(script, engine, capfd):
    run = container_backend.run(
        script("import os, sys; print('out'); print('err', file=sys.stderr); print(os.getcwd())"),
        run_name="my name",
        experiment_name="ünïcode experiment",
    )
    captured = capfd.readouterr()
    assert captured.out == "out\n/mlflow/projects/code\n"
    assert "err\n" in captured.err
    assert run.wait()
    assert run.get_status() == "FINISHED"
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "my name"
    assert found.info.end_time >= found.info.start_time
    assert containers_of(engine, run.run_id) == []


def test_all_output_arrives_to_the_last_byte(script, capfd):
    """Much of it, fast, and at once before the end, without a newline."""
    container_backend.run(
        script("import sys; sys.stdout.write('0123456789' * 500_000 + 'end'); sys.stdout.flush()")
    )
    assert capfd.readouterr().out == "0123456789" * 500_000 + "end"


def test_the_output_of_a_program_that_ends_at_once_is_not_lost(project, capfd):
    folder = project("entry_points: {main: {command: 'echo hello'}}\n")
    for _ in range(10):
        container_backend.run(folder)
    assert capfd.readouterr().out == "hello\n" * 10


def test_what_a_program_printed_before_it_was_killed_is_not_lost(script, capfd):
    """Python would keep it to itself until there is more of it."""
    program = "import os, signal; print('last words'); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(script(program))
    assert capfd.readouterr().out == "last words\n"


def test_a_run_says_where_it_ran(script, engine):
    run = container_backend.run(script("pass"))
    tags = mlflow.get_run(run.run_id).data.tags
    image = client_of(engine).images.get(tags[labels_and_tags.TAG_IMAGE])
    assert tags[labels_and_tags.TAG_CONTAINER_ID] == run.container_id
    assert tags[labels_and_tags.TAG_IMAGE_DIGEST] == image.id
    assert (
        tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
        == image.labels[labels_and_tags.LABEL_ENVIRONMENT_HASH]
    )
    assert tags[labels_and_tags.TAG_EXIT_CODE] == "0"
    assert tags["mlflow.project.backend"] == "docker"
    assert tags["mlflow.project.env"] == "docker"
    assert tags["mlflow.project.entryPoint"] == "main"
    assert tags["mlflow.source.type"] == "PROJECT"
    assert tags["mlflow.source.name"].endswith("my project")
    assert tags["mlflow.docker.image.uri"] == tags[labels_and_tags.TAG_IMAGE]


def test_the_image_is_on_record_before_the_program_starts(script, engine):
    """And the container has the run's id, by which other processes find it."""
    folder = script("pass", command="true")
    seen = {}
    original = client_of(engine).api.__class__.start

    def start(api, container_id):
        seen.update(mlflow.get_run(only_run().info.run_id).data.tags)
        seen["status"] = only_run().info.status
        seen["containers"] = [each.id for each in containers_of(engine, only_run().info.run_id)]
        return original(api, container_id)

    with pytest.MonkeyPatch.context() as patch:  # a look from the side, the engine is the real one
        patch.setattr(client_of(engine).api.__class__, "start", start)
        run = container_backend.run(folder)
    tags = mlflow.get_run(run.run_id).data.tags
    for tag in (
        labels_and_tags.TAG_IMAGE,
        labels_and_tags.TAG_CODE_DIGEST,
        "mlflow.docker.image.id",
    ):
        assert seen[tag] == tags[tag]
    assert (seen["containers"], seen["status"]) == ([run.container_id], "RUNNING")
    assert tags[labels_and_tags.TAG_CONTAINER_ID] == run.container_id


@pytest.mark.parametrize("detach", WAITED_OR_DETACHED)
def test_the_container_of_a_run_that_goes_on_is_on_record(script, engine, detach):
    config = {"detach": detach}
    folder = script(f"import os, time\n{UNTIL_TOLD}")
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(container_backend.run, folder, backend_config=config)
        tags = wait_until(
            lambda: [
                each.data.tags
                for each in runs()
                if labels_and_tags.TAG_CONTAINER_ID in each.data.tags
            ]
        )
        (container,) = containers_of(engine, only_run().info.run_id)
        assert tags[0][labels_and_tags.TAG_CONTAINER_ID] == container.id
        let_end(engine, only_run().info.run_id)
        assert run.result().wait()


def test_a_run_asks_its_store_for_no_more_than_it_needs(script, monkeypatch):
    """In a process that has run one before: each request takes 10 ms of the machine."""
    folder, asked = script("pass", command="true"), []
    container_backend.run(folder)
    original = ServedStore._ask_once

    def ask(store, what, *rest):
        asked.append(what.partition("?")[0])
        return original(store, what, *rest)

    monkeypatch.setattr(ServedStore, "_ask_once", ask)
    container_backend.run(folder)
    asked = [each for each in asked if each != "experiments/get"]  # once in some seconds
    assert asked == ["runs/create", "runs/get", "runs/log-batch", "runs/update"]


def test_a_run_is_scheduled_while_its_image_is_built(project, engine, base):
    """And runs afterwards."""
    mlproject = "entry_points: {main: {command: 'until test -e /tmp/end; do sleep 0.1; done'}}\n"
    step = f"RUN sleep 2 && : {uuid.uuid4()}"  # an image that no earlier test made
    folder = with_steps(project(mlproject), "final", step)
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(
            container_backend.run(folder, backend_config={"base_image": base})
        )
    )
    thread.start()
    wait_until(lambda: [run.info.status for run in runs()] == ["SCHEDULED"])
    wait_until(lambda: only_run().info.status == "RUNNING")
    (container,) = containers_of(engine, only_run().info.run_id)
    wait_until(lambda: client_of(engine).containers.get(container.id).status == "running")
    container.exec_run(["touch", "/tmp/end"])
    thread.join()
    assert ended[0].get_status() == only_run().info.status == "FINISHED"


@pytest.mark.parametrize(
    ("program", "code", "reason"),
    [
        ("import sys; sys.exit(3)", "3", "the program ended with exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "139", "ended by SIGSEGV"),
    ],
)
def test_a_program_that_fails(script, engine, program, code, reason):
    with pytest.raises(container_backend.RunFailed, match=reason):
        container_backend.run(script(program))
    found = only_run()
    assert found.info.status == "FAILED"
    assert reason in found.data.tags[labels_and_tags.TAG_REASON]
    assert found.data.tags[labels_and_tags.TAG_EXIT_CODE] == code
    assert containers_of(engine, found.info.run_id) == []


def test_a_command_that_does_not_exist(project):
    folder = project("entry_points: {main: {command: no-such-program --x}}\n")
    with pytest.raises(container_backend.RunFailed, match="command not found") as caught:
        container_backend.run(folder)
    assert "the image has no program 'no-such-program'" in str(caught.value)
    assert only_run().data.tags[labels_and_tags.TAG_EXIT_CODE] == "127"


def test_out_of_memory_is_said(script):
    with pytest.raises(container_backend.RunFailed, match="out of memory"):
        container_backend.run(
            script("x = bytearray(400_000_000); print(len(x))"),
            docker_args={"memory": "64m", "memory-swap": "64m"},
        )
    assert only_run().data.tags[labels_and_tags.TAG_OUT_OF_MEMORY] == "true"


@pytest.mark.parametrize(
    "value",
    [
        'it\'s "quoted" \\ back',
        "$(touch {marker}) `touch {marker}` ; touch {marker} & | > {marker}",
        "two\nlines\ttab",
        "grün 数据 🐳",
        "",
        "-P x=1 {brace}",
    ],
)
def test_values_reach_the_program_as_written_and_no_shell(script, tmp_path, capfd, value):
    marker = tmp_path / "was-here"
    value = value.replace("{marker}", str(marker))
    container_backend.run(
        script(
            "import json, sys; print(json.dumps(sys.argv[1:]))",
            parameters="{v: string}",
            command="python main.py {v}",
        ),
        parameters={"v": value, "other": value},
    )
    assert json.loads(capfd.readouterr().out) == [value, "--other", value]
    assert not marker.exists()
    assert only_run().data.params == {"v": value, "other": value}


def test_nothing_of_a_command_runs_outside_of_the_container(project, tmp_path, capfd):
    marker = tmp_path / "was-here"
    folder = project(
        f"entry_points: {{main: {{command: 'true && touch {marker} ; mkdir -p {tmp_path} && "
        f"touch {marker} && ls {marker} | cat'}}}}\n"
    )
    container_backend.run(folder)
    assert capfd.readouterr().out.strip() == str(marker)
    assert not marker.exists()


def test_the_second_run_builds_nothing_and_neither_does_changed_code(script, engine):
    container_backend.run(script("print(1)"))
    images = environment_images(engine)
    run = container_backend.run(script("print(2)"))
    assert environment_images(engine) == images
    assert run.get_status() == "FINISHED"


def test_dockerignore_keeps_files_out_of_the_container(project, capfd):
    folder = project(
        "entry_points: {main: {command: 'ls -A'}}\n", a__txt="", b__log="", __dockerignore="*.log\n"
    )
    container_backend.run(folder)
    assert capfd.readouterr().out.split() == [".dockerignore", "MLproject", "a.txt"]


def test_the_program_has_a_home_and_a_name_and_may_write(script, capfd):
    container_backend.run(
        script(
            "import getpass, os, pathlib\n"
            "pathlib.Path('x').touch(); pathlib.Path.home().joinpath('y').touch()\n"
            "print(bool(getpass.getuser()), os.getpid() != 1)"
        )
    )
    assert capfd.readouterr().out == "True True\n"


def test_cancel_lets_the_program_stop_and_the_run_is_killed(script, engine):
    run = container_backend.run(script(SLOW), synchronous=False)
    wait_until(lambda: "started" in output_of(run))
    assert run.get_status() == "RUNNING"
    assert only_run().info.status == "RUNNING"
    run.cancel()
    assert output_of(run) == "started\nstopping\n"
    assert run.get_status() == "KILLED"
    assert not run.wait()
    assert only_run().info.status == "KILLED"
    # The status is written before the container is removed.
    wait_until(lambda: containers_of(engine, run.run_id) == [])


def test_cancel_kills_a_program_that_does_not_stop(script):
    run = container_backend.run(script(DEAF), synchronous=False, backend_config={"grace": 0.5})
    wait_until(lambda: "started" in output_of(run))
    run.cancel()
    assert only_run().info.status == "KILLED"
    assert only_run().data.tags[labels_and_tags.TAG_EXIT_CODE] == "137"


def test_cancelling_a_run_that_has_ended_changes_nothing(script):
    run = container_backend.run(script("pass"))
    run.cancel()
    assert run.get_status() == only_run().info.status == "FINISHED"


def test_cancelled_from_many_threads(script):
    run = container_backend.run(script(SLOW), synchronous=False)
    wait_until(lambda: "started" in output_of(run))
    threads = [threading.Thread(target=run.cancel) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert only_run().info.status == "KILLED"


def test_a_container_removed_from_outside(script, engine):
    run = container_backend.run(script(SLOW), synchronous=False)
    wait_until(lambda: "started" in output_of(run))
    client_of(engine).api.remove_container(run.container_id, force=True)
    assert not run.wait()
    found = only_run()
    assert found.info.status == "FAILED"
    assert found.data.tags[labels_and_tags.TAG_REASON]


@pytest.mark.parametrize(
    ("program", "number"),
    [
        ("container-backend", signal.SIGTERM),
        pytest.param("mlflow", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("container-backend", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("mlflow", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_command_leaves_nothing_running(script, engine, program, number):
    arguments = ["run", script(SLOW), *(["--backend", "docker"] if program == "mlflow" else [])]
    with command(program, *arguments) as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert out == "stopping\n"
    assert "Traceback" not in err
    found = only_run()
    assert found.info.status == "KILLED"
    assert containers_of(engine, found.info.run_id) == []


def test_a_second_interrupt_grants_no_grace(script, engine):
    config = '{"grace": 300}'
    with command("container-backend", "run", script(DEAF), "-c", config) as process:
        assert process.stdout.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "interrupted" in process.stderr.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert only_run().info.status == "KILLED"
    assert containers_of(engine, only_run().info.run_id) == []


@pytest.mark.slow
def test_an_asynchronous_run_outlives_its_process(script, engine, workplace):
    folder = script(f"import os, time\n{UNTIL_TOLD}\nprint('done')")
    (workplace / "driver.py").write_text(
        "import sys, mlflow.projects\n"
        "run = mlflow.projects.run(sys.argv[1], backend='docker', synchronous=False)\n"
        "print(run.get_status(), flush=True)\n"
    )
    done = run_command("python", "driver.py", folder)
    assert (done.returncode, done.stdout) == (0, "RUNNING\n"), done.stderr
    run = container_backend.attach(only_run().info.run_id)
    let_end(engine, run.run_id)
    assert run.wait()
    assert output_of(run) == "done\n"


def test_mlflow_run_blocks_streams_and_exits_with_the_run(script):
    words = ("mlflow", "run", script("print('hello')"), "--backend", "docker")
    for run in (run_process, run_command):  # in the process of the tests, it does the same
        done = run(*words)
        assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    assert [found.info.status for found in runs()] == ["FINISHED"] * 2


def test_mlflow_run_fails_with_the_run(script):
    done = run_command(
        "mlflow", "run", script("raise SystemExit(4)"), "--backend", "docker", "--run-name", "n"
    )
    assert done.returncode == 1
    assert "the program ended with exit code 4" in done.stderr
    assert "Traceback" not in done.stderr
    assert only_run().info.status == "FAILED"


def test_the_python_interface_of_mlflow(script, capfd):
    run = mlflow.projects.run(script("print('hello')"), backend="docker", run_name="n")
    assert run.get_status() == "FINISHED"
    assert only_run().info.run_name == "n"
    with pytest.raises(ExecutionException, match="exit code 5"):
        mlflow.projects.run(script("raise SystemExit(5)"), backend="docker")
    assert capfd.readouterr().out == "hello\n"


def test_the_configuration_of_the_caller_is_not_kept(script):
    config = {"grace": 3}
    mlflow.projects.run(script("pass"), backend="docker", backend_config=config)
    container_backend.run(script("pass"), backend_config={"grace": 3})
    assert config["grace"] == 3


def test_steps_are_children_of_the_active_run(script):
    with mlflow.start_run() as parent:
        run = mlflow.projects.run(script("pass"), backend="docker")
    assert mlflow.get_run(run.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_docker_args_reach_the_container(script, tmp_path):
    (tmp_path / "shared").mkdir()
    done = run_command(
        "container-backend", "run",
        script(
            "import os, pathlib, socket\n"
            "pathlib.Path('/shared/x').write_text(os.environ['A'] + os.environ['B'])\n"
            "print(socket.gethostname(), os.getuid())"
        ),
        "-A", "e=A=1 ;'", "-A", "e=B=2", "-A", f"v={tmp_path / 'shared'}:/shared",
        "-A", "hostname=me", "-A", "user=0",
    )  # fmt: skip
    assert done.stdout == "me 0\n", done.stderr
    assert (tmp_path / "shared" / "x").read_text() == "1 ;'2"


def test_a_path_parameter_is_there_in_the_container_but_cannot_be_written(script, tmp_path, capfd):
    (tmp_path / "my data.csv").write_text("1,2\n")
    folder = script(
        "import sys\nprint(open(sys.argv[1]).read(), end='')\n"
        "try: open(sys.argv[1], 'a')\nexcept OSError as e: print(type(e).__name__)",
        parameters="{data: path}",
        command="python main.py {data}",
    )
    container_backend.run(folder, parameters={"data": str(tmp_path / "my data.csv")})
    assert capfd.readouterr().out.startswith("1,2\n")


@pytest.mark.usefixtures("no_store")
def test_a_dry_run_says_everything_and_touches_nothing(script, engine, workplace):
    folder = script("pass")
    images, containers = environment_images(engine), all_containers(engine)
    done = run_command(
        "container-backend", "run", folder, "--dry-run", "--json", "-A", "e=K_TOKEN=s3"
    )
    told = json.loads(done.stdout)
    assert told["dockerfile"].startswith(f"FROM {BASE}")
    assert told["image"].endswith(told["environment_hash"][:12])
    assert "python main.py" in told["container"]
    assert "s3" not in told["container"].replace("sha256", "")
    assert list((workplace / "store").iterdir()) == []
    assert (environment_images(engine), all_containers(engine)) == (images, containers)
    text = run_command("container-backend", "run", folder, "--dry-run").stdout
    assert told["environment_hash"] in text
    assert told["dockerfile"].strip() in text


def test_other_environment_managers_are_mlflows(script, workplace):
    done = run_process(
        "container-backend",
        "run",
        script("import os; print(os.getcwd())"),
        "--env-manager",
        "local",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("my project")
    assert "mlflow.project.backend" in only_run().data.tags
    assert labels_and_tags.TAG_CONTAINER_ID not in only_run().data.tags


WRONG = {
    "no such project": (["/no/such/project"], "There is no project at '/no/such/project'"),
    "no such entry point": (["{project}", "-e", "trian"], "there is no entry point 'trian'"),
    "a missing parameter": (["{project}"], "no value for the parameter 'a'"),
    "an unknown key": (["{project}", "-P", "a=1", "-c", '{"bsae_image": "x"}'], "'bsae_image'"),
    "an unknown docker argument": (["{project}", "-P", "a=1", "-A", "memroy=1g"], "'memory'"),
    "an experiment that is not there": (
        ["{project}", "-P", "a=1", "--experiment-id", "4711"], "no experiment with the id '4711'",
    ),
    "a base image that is not there": (
        ["{project}", "-P", "a=1", "-c", '{"base_image": "127.0.0.1:1/none:1"}'], "127.0.0.1:1/none:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_costs_nothing(project, engine, case):
    folder = project("entry_points: {main: {command: 'x {a}', parameters: {a: int}}}\n")
    arguments, message = WRONG[case]
    containers = all_containers(engine)
    done = run_command(
        "container-backend", "run", *(a.replace("{project}", folder) for a in arguments)
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert runs() == []
    assert all_containers(engine) == containers


@pytest.mark.parametrize("program", ["container-backend", "mlflow"])
def test_no_engine_is_one_message_and_no_run(script, program, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    extra = ["--backend", "docker"] if program == "mlflow" else []
    done = run_command(program, "run", script("pass"), *extra)
    assert done.returncode == (3 if program == "container-backend" else 1)
    assert "No Docker engine answers at tcp://127.0.0.1:1: Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert runs() == []


def test_a_link_is_sent_as_a_link_and_not_followed(script, capfd):
    folder = script("import os; print(os.readlink('link'))")
    Path(folder, "link").symlink_to("main.py")
    container_backend.run(folder)
    assert capfd.readouterr().out == "main.py\n"


def test_a_link_out_of_the_project_is_refused_before_there_is_a_run(script):
    folder = script("pass")
    Path(folder, "link").symlink_to("/etc/hostname")
    with pytest.raises(container_backend.InvalidProject, match="points out of it"):
        container_backend.run(folder)
    assert runs() == []


def test_a_value_that_no_program_can_be_handed_is_refused_before_there_is_a_run(script):
    folder = script("pass", "{small: string, big: string}", "python main.py {small} {big}")
    with pytest.raises(
        container_backend.InvalidProject, match="parameter 'big', the longest"
    ) as raised:
        container_backend.run(folder, parameters={"small": "x", "big": "y" * 140_000})
    assert "yyy" not in str(raised.value)
    assert runs() == []


def test_a_container_that_cannot_be_started(script, engine):
    with pytest.raises(container_backend.ContainerError, match="could not be"):
        container_backend.run(script("pass"), docker_args={"runtime": "no-such-runtime"})
    found = only_run()
    assert found.info.status == "FAILED"
    assert "no-such-runtime" in found.data.tags[labels_and_tags.TAG_REASON]
    assert containers_of(engine, found.info.run_id) == []
