"""What is found of a login on this machine goes to the program whose store it is for."""

from __future__ import annotations

import json
import os

import pytest

from container_backend.container.logins import STORES
from container_backend.container.store_access import direct_access, served_access
from container_backend.engine import EngineHost
from container_backend.engine.facts import facts_of

HERE = facts_of(EngineHost("unix:///var/run/docker.sock"), {"ApiVersion": "1.41"}, {})
SERVER = "https://x.test"


@pytest.fixture
def home(tmp_path):
    """A home with a login for each store."""
    for name in (
        ".aws/config",
        ".aws/credentials",
        ".config/gcloud/application_default_credentials.json",
        "token",
        "ticket",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def access(scheme: str, home, **environ: str):
    return direct_access(SERVER, f"{scheme}://place/1", HERE, {"HOME": str(home), **environ})


@pytest.mark.parametrize("scheme", ["s3", "r2", "b2"])
def test_the_default_files_of_aws_are_for_its_stores(scheme, home):
    found = access(scheme, home)
    files = (home / ".aws" / "credentials", home / ".aws" / "config")
    assert found.files == files
    assert found.environment == {
        "AWS_SHARED_CREDENTIALS_FILE": str(files[0]),
        "AWS_CONFIG_FILE": str(files[1]),
    }


def test_the_default_file_of_google_is_for_its_stores(home):
    found = access("gs", home, GOOGLE_CLOUD_PROJECT="p")
    file = home / ".config" / "gcloud" / "application_default_credentials.json"
    assert found.files == (file,)
    assert found.environment == {
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "GOOGLE_CLOUD_PROJECT": "p",
    }


@pytest.mark.parametrize("scheme", ["mlflow-artifacts", "sftp", "wasbs", "file", ""])
def test_no_default_file_goes_to_another_store(scheme, home):
    assert access(scheme, home).files == ()
    assert access(scheme, home).environment == {}
    assert served_access("h", 1, "t", None, {"HOME": str(home)}).files == ()


def test_keys_in_variables_leave_the_file_of_keys_where_it_is(home):
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert access("s3", home, **keys).files == (home / ".aws" / "config",)
    # A profile is looked for in both files.
    assert len(access("s3", home, **keys, AWS_PROFILE="work").files) == 2


@pytest.mark.parametrize(
    ("scheme", "name"),
    [(scheme, name) for scheme, store in STORES.items() for name in store.files],
)
def test_a_file_that_a_variable_names_is_there_at_its_own_path(scheme, name, home):
    file = home / "token"
    for value in (str(file), "~/token"):
        found = access(scheme, home, **{name: value})
        assert found.environment[name] == str(file)
        assert file in found.files
    gone = access(scheme, home, **{name: str(home / "gone")})
    assert gone.environment[name] == str(home / "gone")
    assert home / "gone" not in gone.files


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        (scheme, name)
        for scheme, store in STORES.items()
        for name in (*store.variables, *store.settings)
    ],
)
def test_a_variable_of_a_store_is_passed_to_its_programs_alone(scheme, name, home):
    assert access(scheme, home, **{name: "value"}).environment[name] == "value"
    others = {other for other, store in STORES.items() if store is not STORES[scheme]}
    for other in (*others, "mlflow-artifacts"):
        assert name not in access(other, home, **{name: "value"}).environment


@pytest.mark.parametrize("prefix", ["", "FILE:", "DIR:"])
def test_a_ticket_of_kerberos_is_copied_whatever_its_cache_is_called(prefix, home):
    found = access("hdfs", home, KRB5CCNAME=f"{prefix}{home / 'ticket'}")
    assert home / "ticket" in found.files
    assert found.environment["KRB5CCNAME"] == f"{prefix}{home / 'ticket'}"


def test_a_ticket_that_is_no_file_is_said(home, caplog):
    found = access("hdfs", home, KRB5CCNAME="KEYRING:persistent:1000")
    assert "KRB5CCNAME" not in found.environment
    assert "kinit -c FILE:/tmp/ticket" in caplog.text


def test_the_files_that_a_login_names_are_copied_too(home):
    (home / ".aws" / "config").write_text(
        f"[profile x]\nca_bundle = ~/ticket\nweb_identity_token_file={home / 'token'}\ns3 =\n  a = b\n"
    )
    assert {home / "ticket", home / "token"} < {*access("s3", home).files}
    key = home / ".config" / "gcloud" / "application_default_credentials.json"
    key.write_text(json.dumps({"credential_source": {"file": str(home / "token")}}))
    assert access("gs", home).files == (key, home / "token")


@pytest.mark.parametrize("text", ["[profile", "\udcff", "a = b", "[", '{"credential_source": 1}'])
def test_a_file_that_cannot_be_read_is_for_the_client_to_complain_of(text, home):
    for file in (".aws/config", ".config/gcloud/application_default_credentials.json"):
        (home / file).write_bytes(os.fsencode(text))
    assert home / ".aws" / "config" in access("s3", home).files
    assert len(access("gs", home).files) == 1


@pytest.mark.parametrize("key", ["sso_session", "credential_process"])
def test_a_profile_whose_login_comes_from_a_program_is_said(key, home, caplog):
    (home / ".aws" / "config").write_text(
        f"[profile work]\n{key} = x\n[profile other]\n{key} = x\n"
    )
    access("s3", home)
    access("s3", home, AWS_PROFILE="work", AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s")
    assert not caplog.records
    access("s3", home, AWS_PROFILE="work")
    assert "aws configure export-credentials --profile work" in caplog.text
