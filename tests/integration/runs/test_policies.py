"""What is tried again, what is kept, and how a program is asked to stop."""

from __future__ import annotations

import logging
from functools import partial

import pytest

import container_backend
from container_backend import labels_and_tags
from container_backend.runs.ending import course
from tests.support.on_engine import containers_of
from tests.support.runs import WAITED_OR_DETACHED, kept_log, only_run, output_of, runs
from tests.support.waiting import wait_until

# Fails as often as it is told to: the container, and what is written in it, stays the same.
FAILS = """
    import pathlib, sys
    tries = pathlib.Path("tries")
    count = len(tries.read_text()) + 1 if tries.exists() else 1
    tries.write_text("x" * count)
    print("try", count, flush=True)
    sys.exit(0 if count > int(sys.argv[1]) else 7)
"""


def fails(script, times: int) -> str:
    return script(FAILS, command=f"python main.py {times}")


def test_a_programs_own_failure_is_not_tried_again(script):
    with pytest.raises(container_backend.RunFailed, match="exit code 7"):
        container_backend.run(fails(script, 1), backend_config={"retries": 3})
    tags = only_run().data.tags
    assert labels_and_tags.TAG_ATTEMPTS not in tags
    assert kept_log(only_run().info.run_id) == "try 1\n"


@pytest.mark.parametrize("detach", WAITED_OR_DETACHED)
def test_a_programs_own_failure_is_tried_again_where_that_is_asked_for(script, engine, detach):
    run = container_backend.run(
        fails(script, 2),
        backend_config={"retries": 2, "retry_program": True, "detach": detach},
    )
    assert run.wait()
    found = only_run()
    assert found.info.status == "FINISHED"
    assert found.data.tags[labels_and_tags.TAG_ATTEMPTS] == "3"
    assert "| attempts | 3 |" in found.data.tags["mlflow.note.content"]
    assert kept_log(run.run_id) == "try 1\ntry 2\ntry 3\n"
    wait_until(lambda: containers_of(engine, run.run_id) == [])


def test_a_run_that_is_waited_for_is_not_ended_between_two_attempts(script, monkeypatch):
    """Pauses get longer than one who waits has patience with a supervisor."""
    monkeypatch.setattr(course, "BYSTANDER_SECONDS", 0.1)
    run = container_backend.run(
        fails(script, 2), backend_config={"retries": 2, "retry_program": True, "detach": True}
    )
    assert run.wait()
    assert kept_log(run.run_id) == "try 1\ntry 2\ntry 3\n"


def test_the_last_attempt_is_the_end(script, capfd):
    with pytest.raises(container_backend.RunFailed, match="exit code 7") as caught:
        container_backend.run(
            fails(script, 9), backend_config={"retries": 1, "retry_program": True}
        )
    assert only_run().data.tags[labels_and_tags.TAG_ATTEMPTS] == "2"
    assert caught.value.last_lines == ("try 1", "try 2")
    assert capfd.readouterr().out == "try 1\ntry 2\n"


def test_an_image_that_cannot_be_pulled_is_asked_for_again(project, caplog):
    folder = project(
        "docker_env: {image: '127.0.0.1:1/none:1'}\nentry_points: {main: {command: x}}\n"
    )
    caplog.set_level(logging.WARNING)
    with pytest.raises(container_backend.ImageUnavailable, match=r"127\.0\.0\.1:1/none:1"):
        container_backend.run(folder, backend_config={"retries": 2})
    assert "Trying again in 1 s" in caplog.text
    assert "Trying again in 2 s" in caplog.text
    assert {run.info.status for run in runs()} <= {"FAILED"}


@pytest.mark.parametrize(
    ("keep", "finished", "failed"),
    [("never", False, False), ("on-failure", False, True), ("always", True, True)],
)
def test_the_container_of_a_run_that_has_ended_is_kept_as_it_says(
    script, engine, keep, finished, failed
):
    good = container_backend.run(script("print('good')"), backend_config={"keep": keep})
    with pytest.raises(container_backend.RunFailed):
        container_backend.run(script("raise SystemExit(3)"), backend_config={"keep": keep})
    (bad,) = [run.info.run_id for run in runs() if run.info.run_id != good.run_id]
    kept = {good.run_id: finished, bad: failed}
    try:
        for run_id, is_there in kept.items():
            found = [each.name for each in containers_of(engine, run_id)]
            assert found == ([f"mlflow-run-{run_id}.kept"] if is_there else [])
        # A run whose container is kept is not finished once more.
        assert good.wait()
        assert good.get_status() == "FINISHED"
    finally:
        for run_id in kept:
            for each in containers_of(engine, run_id):
                each.remove(force=True)


STOPS = """
    import signal, sys, time
    def stop(number, _):
        print(signal.Signals(number).name, flush=True)
        if sys.argv[1] == "stops":
            sys.exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, stop)
    print("started", flush=True)
    while True:
        time.sleep(60)
"""


@pytest.mark.slow
def test_a_program_is_stopped_by_its_signal_and_has_its_grace(script, engine):
    config = {"stop_signal": "SIGUSR1", "grace": 2, "detach": True}
    folders = {how: f"exec python main.py {how}" for how in ("stops", "goes-on")}
    for how, command in folders.items():
        run = container_backend.run(script(STOPS, command=command), backend_config=config)
        wait_until(lambda run=run: "started" in output_of(run))
        (container,) = containers_of(engine, run.run_id)
        assert container.attrs["Config"]["StopSignal"] == "SIGUSR1"
        assert container.attrs["Config"]["StopTimeout"] == 2
        run.cancel()
        assert kept_log(run.run_id) == "started\nSIGUSR1\n"
        (found,) = [each for each in runs() if each.info.run_id == run.run_id]
        assert found.info.status == "KILLED"
        assert found.data.tags[labels_and_tags.TAG_EXIT_CODE] == ("0" if how == "stops" else "137")


# Takes away what its own container mounts: no further start of it succeeds.
TAKES_AWAY = """
    import pathlib, sys
    with open("/outer/starts", "a") as starts:
        starts.write("x")
    pathlib.Path("/outer/inner").rename("/outer/taken")
    sys.exit(7)
"""


@pytest.mark.parametrize("detach", WAITED_OR_DETACHED)
def test_a_start_that_fails_is_an_attempt_and_is_tried_again(script, tmp_path, detach):
    outer = tmp_path / "outer"
    (outer / "inner").mkdir(parents=True)
    for folder in (outer, outer / "inner"):
        folder.chmod(0o777)
    run_of = partial(
        container_backend.run,
        script(TAKES_AWAY),
        docker_args={
            "volume": f"{outer}:/outer",
            "mount": f"type=bind,source={outer}/inner,target=/inner",
        },
        backend_config={"retries": 2, "retry_program": True, "detach": detach},
    )
    if detach:
        assert not run_of().wait()
    else:
        with pytest.raises(container_backend.RunFailed):
            run_of()
    tags = only_run().data.tags
    assert (outer / "starts").read_text() == "x"
    assert tags[labels_and_tags.TAG_ATTEMPTS] == "3"
    # What is known of the program is how its one attempt ended.
    assert tags[labels_and_tags.TAG_CAUSE] == "program"
    assert tags[labels_and_tags.TAG_EXIT_CODE] == "7"
