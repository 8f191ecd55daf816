"""What of a record is taken over, and what the user types over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlflow.tracking import MlflowClient

from container_backend.errors import InvalidConfig
from container_backend.project.snapshot import RecordedCode
from container_backend.rerun.past_run import PastRun
from container_backend.rerun.rerun import Again, _allowed
from container_backend.runs.record import Recorded
from container_backend.store import MlflowStore
from container_backend.store.artifacts import RUN

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def past(tmp_path_factory) -> Callable[..., PastRun]:
    """A run in a store, with a record of its own making."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = MlflowClient(uri)
    experiment = client.create_experiment(
        "records", artifact_location=(folder / "artifacts").as_uri()
    )
    store = MlflowStore(uri)
    run = store.create_run(experiment, {})

    def write(docker_args: dict[str, Any], config: dict[str, Any] | None = None) -> PastRun:
        record = Recorded(
            source="x", entry_point="main", parameters={}, docker_args=docker_args,
            config=config or {}, code=RecordedCode(),
        )  # fmt: skip
        client.log_text(run.run_id, record.as_json(), RUN)
        return PastRun(store, run)

    return write


@pytest.mark.parametrize("name", ["volume", "v", "-v", "--volume"])
def test_an_argument_reaches_into_the_machine_however_it_is_spelt(past, name):
    with pytest.raises(InvalidConfig, match="docker argument 'volume'"):
        _allowed(past({name: "/:/host"}), Again())


def test_settings_of_a_record_hold_no_docker_arguments(past):
    with pytest.raises(InvalidConfig, match="'docker_args' in the backend config"):
        _allowed(past({}, {"docker_args": {"volume": "/:/host"}}), Again())


def test_what_is_typed_anew_takes_the_place_of_the_record(past):
    recorded = {"env": ["A", "B=1", "C=2"], "v": "/old:/x", "memory": "1g"}
    typed = {"e": ["A", "C=3"], "volume": "/new:/x"}
    for again in (Again(docker_args=typed), Again(config={"docker_args": typed})):
        assert _allowed(past(recorded), again)[1] == {
            "env": ["B=1", "A", "C=3"], "volume": "/new:/x", "memory": "1g",
        }  # fmt: skip
    assert _allowed(past(recorded), Again(trust=True))[1]["env"] == ["A", "B=1", "C=2"]


@pytest.mark.parametrize("name", ["source", "repository", "commit", "subdirectory", "digest"])
def test_the_place_of_the_code_counts_if_this_user_has_written_it(name):
    """A program can write any record of its run, and name a private repository of the user."""
    code = RecordedCode(digest="1", commit="2", repository="/3", subdirectory="4")
    record = Recorded(
        source="x", entry_point="main", parameters={}, docker_args={}, config={}, code=code
    )
    assert not record.is_signed("run")
    signed = record.with_signature("run")
    assert signed.is_signed("run")
    assert not signed.is_signed("another run")
    if name == "source":
        other = signed.model_copy(update={"source": "evil"})
    else:
        other = signed.model_copy(update={"code": code.model_copy(update={name: "evil"})})
    assert not other.is_signed("run")
