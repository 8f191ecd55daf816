"""Grants: a token is right while its run goes on."""

from __future__ import annotations

import os
import uuid

import pytest

from container_backend.engine import find_host
from container_backend.runs.tracking.grants import Grant
from container_backend.runs.tracking.grants.grant import Grants
from container_backend.runs.tracking.serving.forward import Forwarding, read
from container_backend.runs.tracking.serving.forward import note as note_forwarding


@pytest.fixture
def note(tmp_path):
    file = tmp_path / "run.json"
    file.write_text("{}")
    return file


@pytest.fixture
def grant(note) -> Grant:
    return Grant(uuid.uuid4().hex, str(note), "r1", "7", is_own=True, handed=("m-1",))


@pytest.fixture
def grants(tmp_path) -> Grants:
    return Grants(tmp_path / "grants")


def test_a_token_has_its_grant_also_in_another_process(grants, grant, tmp_path):
    token = grants.give(grant)
    found = Grants(tmp_path / "grants").find(token)
    assert (found.run_id, found.is_own, found.handed) == ("r1", True, ("m-1",))
    assert token not in (tmp_path / "grants").joinpath(f"{grant.submission}.json").read_text()


@pytest.mark.parametrize("wrong", ["", ".", "x", "../../x.y", "{submission}", "{submission}.x"])
def test_another_token_has_none(grants, grant, wrong):
    grants.give(grant)
    assert grants.find(wrong.format(submission=grant.submission)) is None


def test_a_token_ends_with_its_grant(grants, grant):
    token = grants.give(grant)
    grants.end(grant.submission)
    assert grants.find(token) is None
    grants.end(grant.submission)  # of another process that finishes the run


def test_a_token_ends_with_the_run(grants, grant, note):
    token = grants.give(grant)
    note.unlink()
    assert grants.find(token) is None
    assert list(grants.valid()) == []


def test_a_new_token_ends_the_one_before(grants, grant):
    first = grants.give(grant)
    second = grants.give(grant)
    assert grants.find(first) is None
    assert grants.find(second) is not None


def test_what_is_left_of_runs_that_were_finished_is_removed(grants, grant, note, tmp_path):
    grants.give(grant)
    grants.beside(grant.submission, ".journal").write_text("x")
    grants.tidy()
    assert len(list((tmp_path / "grants").iterdir())) == 2
    note.unlink()
    grants.tidy()  # new files may be of a grant that is being written
    assert len(list((tmp_path / "grants").iterdir())) == 2
    for file in (tmp_path / "grants").iterdir():
        os.utime(file, (1, 1))
    grants.tidy()
    assert list((tmp_path / "grants").iterdir()) == []


def test_what_cannot_be_read_is_no_grant(grants, grant, tmp_path):
    token = grants.give(grant)
    (tmp_path / "grants" / f"{grant.submission}.json").write_text("{")
    assert grants.find(token) is None


def test_a_container_whose_certificates_are_gone_is_left_out(grants, grant, tmp_path, caplog):
    grants.give(grant)
    pems = {name: tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")}
    for file in pems.values():
        file.touch()
    host = find_host(
        {
            "DOCKER_HOST": "tcp://127.0.0.1:1",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(tmp_path),
        }
    )
    note_forwarding(grants, grant.submission, Forwarding(host, "c1"))
    assert read(grants, grant.submission).host.url == host.url
    pems["key.pem"].unlink()
    assert read(grants, grant.submission) is None
    assert "certificates of the Docker engine" in caplog.text
