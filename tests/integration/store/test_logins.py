"""The client of an artifact store finds its login in the container, however the user is logged in."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import pytest

import container_backend
from container_backend.container.store_access import ACCESS_VARIABLES
from tests.hostile.ways import WAYS
from tests.support.processes import kill_supervisors

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKS = """
    import boto3, os
    session = boto3.Session()
    found = session.get_credentials()
    print(found.access_key, found.secret_key, found.method, session.region_name)
"""
LISTS = """
    import os
    for name, value in sorted(os.environ.items()):
        path = value.removeprefix("FILE:")
        if path.endswith((".json", ".pem", "krb5cc", "credentials", "config", "token")):
            print(name, open(path).read() if os.path.exists(path) else "missing")
"""


@pytest.fixture
def home(tmp_path, monkeypatch, own_state, workplace) -> Iterator[Path]:
    """A home of the user, in that of root if that is the user; no login is set.

    This machine lacks the clients: the artifacts of runs stay with a supervisor of the test's own.
    """
    for name in ACCESS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    place = "/root" if os.access("/root", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place) as folder:
        monkeypatch.setenv("HOME", folder)
        yield Path(folder)
    kill_supervisors(workplace)


def write(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def far(scheme: str) -> str:
    """The experiment of a store that is not served."""
    mlflow.create_experiment("far", artifact_location=f"{scheme}://bucket/far")
    return "far"


def test_the_client_of_s3_finds_the_login_of_a_profile(home, project, capfd, monkeypatch):
    profiles = {"default": "k1", "work": "k2"}
    lines = [
        f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = of-{name}\n"
        for name, key in profiles.items()
    ]
    write(home / ".aws" / "credentials", "".join(lines))
    write(home / ".aws" / "config", "[default]\nregion = eu-1\n[profile work]\nregion = eu-2\n")
    folder = project(
        "entry_points: {main: {command: python main.py}}",
        main__py=ASKS,
        requirements__txt="boto3\n",
    )
    container_backend.run(folder, experiment_name=far("s3"))
    assert capfd.readouterr().out == "k1 of-default shared-credentials-file eu-1\n"
    monkeypatch.setenv("AWS_PROFILE", "work")
    container_backend.run(folder, experiment_name="far")
    assert capfd.readouterr().out == "k2 of-work shared-credentials-file eu-2\n"
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k3")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "third")
    container_backend.run(folder, experiment_name="far")
    assert capfd.readouterr().out == "k3 third env eu-1\n"


def test_files_that_a_client_logs_in_with_are_in_the_container(home, script, capfd, monkeypatch):
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{write(home / 'krb5cc', 'ticket')}")
    container_backend.run(script(LISTS), experiment_name=far("hdfs"))
    assert "KRB5CCNAME ticket\n" in capfd.readouterr().out


@pytest.mark.parametrize("way", ["zip", "git"])
def test_a_fetched_project_gets_no_file_with_a_login(way, home, tmp_path, capfd):
    key = write(
        home / ".config" / "gcloud" / "application_default_credentials.json", json.dumps("mine")
    )
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "MLproject").write_text(
        f"entry_points: {{main: {{command: 'env; cat {key} || true'}}}}"
    )
    far("gs")
    with WAYS[way](tmp_path / "project") as uri:
        container_backend.run(uri, experiment_name="far")
    out = capfd.readouterr().out
    assert "mine" not in out
    assert "GOOGLE_APPLICATION_CREDENTIALS" not in out
    # The control: a project of the user gets it.
    container_backend.run(str(tmp_path / "project"), experiment_name="far")
    out = capfd.readouterr().out
    assert f"GOOGLE_APPLICATION_CREDENTIALS={key}\n" in out
    assert '"mine"' in out
