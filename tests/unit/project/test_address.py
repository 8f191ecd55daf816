"""Addresses of projects mean what they mean to MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.exceptions import ExecutionException
from mlflow.projects import utils
from mlflow.tracking._tracking_service.utils import _get_git_url_if_present

from container_backend.errors import InvalidProject
from container_backend.project.address import parse_address
from container_backend.project.git.checkout import source_name
from tests.hostile_git import make_repository

ADDRESSES = [
    ".", "a/b", "/a b/c", "~/project", "a.zip", "/a/b.zip#sub", ".zip", "a.zip.txt", "a#", "#a",
    "a#b#c", "'/quoted'#sub", "file:///a/b", "file:///a/b.zip#c/d", "file://host/a", "file://a",
    "file://", "file:/a", "FILE:///a", "file:///a;b?c", "https://host/p.git#sub",
    "https://host/p.zip", "git@host:user/p.git", "ssh://host/p", "s3://bucket/p.zip#sub",
]  # fmt: skip


@pytest.mark.parametrize("uri", ADDRESSES)
def test_an_address_is_taken_apart_as_by_mlflow(uri):
    found = parse_address(uri)
    location, subdirectory = utils._parse_subdirectory(uri)
    assert (found.location, found.subdirectory) == (location, subdirectory)
    assert found.path == Path(utils._parse_file_uri(location))
    assert found.is_zip is (utils._is_zip_uri(location) is not None)


@pytest.mark.parametrize("uri", ["a#.", "a#../b", "https://host/p.git#v1.0"])
def test_a_subdirectory_that_mlflow_refuses(uri):
    with pytest.raises(ExecutionException):
        utils._parse_subdirectory(uri)
    with pytest.raises(InvalidProject, match=r"contains a '\.'"):
        parse_address(uri)


@pytest.mark.parametrize("uri", ["repository", "repository/part", "alone", "link", "a.zip",
                                 "missing", "repository#part", "https://host/p.git"])  # fmt: skip
def test_the_name_of_a_source_is_that_of_mlflow(tmp_path, monkeypatch, uri):
    make_repository(tmp_path / "repository")
    (tmp_path / "repository" / "part").mkdir()
    (tmp_path / "alone").mkdir()
    (tmp_path / "link").symlink_to("alone")
    (tmp_path / "a.zip").touch()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    uri = uri if uri.startswith("https:") else f"../{uri}"
    expanded = utils._expand_uri(uri)
    theirs = _get_git_url_if_present(expanded) if utils._is_local_uri(uri) else expanded
    assert source_name(uri) == theirs
    if Path(uri).exists():
        absolute = Path(uri).absolute()
        assert source_name(absolute.as_uri()) == source_name(str(absolute))
