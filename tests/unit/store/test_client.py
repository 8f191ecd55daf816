"""A tracking store that does not answer."""

from __future__ import annotations

import pytest

from container_backend.errors import TrackingUnreachable
from container_backend.store import MlflowStore, open_with_mlflow


@pytest.mark.parametrize("scheme", ["sqlite:///", "file://"])
def test_a_store_that_is_not_on_this_machine_is_not_made(tmp_path, scheme):
    uri = f"{scheme}{tmp_path}/other/mlflow.db"
    with pytest.raises(TrackingUnreachable, match=r"other/mlflow\.db' is not on this machine"):
        open_with_mlflow(uri)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_an_error_of_ours_without_the_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    store = MlflowStore("http://me:pa55@127.0.0.1:1")
    with pytest.raises(TrackingUnreachable) as caught:
        store.find_run("0" * 32)
    assert "The tracking store 'http://127.0.0.1:1' cannot be used" in str(caught.value)
    assert "pa55" not in str(caught.value)
    with pytest.raises(TrackingUnreachable, match="'nonsense://x' cannot be used"):
        MlflowStore("nonsense://x")
