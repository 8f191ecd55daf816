"""The output of a run among its artifacts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.tracking import MlflowClient

from container_backend.errors import InvalidInput, TrackingUnreachable
from container_backend.store import MlflowStore
from container_backend.store.artifacts import _start_of_last, kept_output
from tests.support.store import new_store


@pytest.fixture
def client(tmp_path) -> MlflowClient:
    return MlflowClient(new_store(tmp_path))


@pytest.fixture
def run_id(client, tmp_path) -> str:
    experiment = client.create_experiment("mine", (tmp_path / "artifacts").as_uri())
    return client.create_run(experiment).info.run_id


def read(client, run_id, **options) -> bytes:
    return b"".join(kept_output(MlflowStore(client.tracking_uri), run_id, **options))


def test_all_of_it_or_its_last_lines(client, run_id, tmp_path):
    text = "one\ntwo\nthree, without newline"
    client.log_text(run_id, text, "logs/container.log")
    assert read(client, run_id) == text.encode()
    assert read(client, run_id, tail=2) == b"two\nthree, without newline"
    assert read(client, run_id, tail=0) == b""
    assert read(client, run_id, tail=9) == text.encode()


def test_it_has_no_times(client, run_id):
    with pytest.raises(InvalidInput, match="its kept output has no times"):
        read(client, run_id, since=1.0)


def test_a_run_without_says_so(client, run_id):
    with pytest.raises(TrackingUnreachable, match=f"run '{run_id}' has no logs/container.log"):
        read(client, run_id)


@given(st.text("ab\n", max_size=40).map(str.encode), st.integers(0, 8))
def test_the_last_lines_of_any_file_are_found(tmp_path_factory, data, lines):
    file = tmp_path_factory.getbasetemp() / "log"
    file.write_bytes(data)
    found = data[_start_of_last(file, lines) :]
    whole = data.splitlines(keepends=True)
    assert found == b"".join(whole[len(whole) - min(lines, len(whole)) :])
