"""Where packages come from, and with which logins."""

from __future__ import annotations

import netrc
import sys

import pytest

from container_backend.environment.access import netrc_file, python_settings, with_netrc
from container_backend.environment.declared import Line
from container_backend.environment.indexes import (
    Indexes,
    Login,
    machine_indexes,
    project_indexes,
    split_credentials,
)
from container_backend.environment.requirements import Requirements
from container_backend.errors import InvalidConfig, InvalidEnvironment


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("https://index.test/simple", "https://index.test/simple", None),
        ("https://a:b@index.test:8/s", "https://index.test:8/s", Login("index.test", "a", "b")),
        ("https://tok%40n@index.test/", "https://index.test/", Login("index.test", "tok@n", "")),
        ("git+ssh://git@host.test/a.git", "git+ssh://git@host.test/a.git", None),
        ("git+https://t@host.test/a", "git+https://host.test/a", Login("host.test", "t", "")),
    ],
)
def test_credentials_are_split_from_addresses(url, address, login):
    assert split_credentials(url) == (address, login)


def test_settings_of_pip(tmp_path):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://u:p@one.test/simple\nfind-links = /opt/wheels\n"
        "extra-index-url =\n    https://two.test/simple\n    file:///opt/simple\n"
        "[install]\ntrusted-host = two.test\n"
    )
    found = machine_indexes({"PIP_CONFIG_FILE": str(config)}, tmp_path)
    assert found == Indexes(
        default="https://one.test/simple",
        extra=("https://two.test/simple",),
        find_links=(),
        trusted_hosts=("two.test",),
        logins=(Login("one.test", "u", "p"),),
    )


def test_variables_come_before_files_and_uv_before_pip(tmp_path):
    environ = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": "https://pip.test"}
    assert machine_indexes(environ, tmp_path).default == "https://pip.test"
    environ["UV_DEFAULT_INDEX"] = "https://uv.test"
    assert machine_indexes(environ, tmp_path).default == "https://uv.test"


def test_indexes_of_uv_have_names_and_logins_by_name(tmp_path):
    """As uv documents them: concepts/indexes, "Providing credentials directly"."""
    environ = {
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_DEFAULT_INDEX": "main=https://me:pw@one.test/simple",
        "UV_INDEX": "my-own.index=https://two.test/a?b=c https://three.test/simple?x=y",
        "UV_INDEX_MY_OWN_INDEX_USERNAME": "me",
        "UV_INDEX_MY_OWN_INDEX_PASSWORD": "p@ss",
    }
    found = machine_indexes(environ, tmp_path)
    assert found == Indexes(
        default="https://one.test/simple",
        extra=("https://two.test/a?b=c", "https://three.test/simple?x=y"),
        logins=(Login("one.test", "me", "pw"), Login("two.test", "me", "p@ss")),
    )
    config = tmp_path / ".config/uv/uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[[index]]\nname = "own"\nurl = "https://four.test"\n')
    environ = {"PIP_CONFIG_FILE": "/dev/null", "UV_INDEX_OWN_PASSWORD": "token"}
    found = machine_indexes(environ, tmp_path)
    assert (found.extra, found.logins) == (
        ("https://four.test",),
        (Login("four.test", "", "token"),),
    )


def test_settings_of_uv(tmp_path):
    config = tmp_path / "uv.toml"
    config.write_text(
        '[[index]]\nname = "a"\nurl = "https://a.test"\n[[index]]\nurl = "https://b.test"\n'
        "default = true\n"
    )
    environ = {"PIP_CONFIG_FILE": "/dev/null", "UV_CONFIG_FILE": str(config)}
    found = machine_indexes(environ, tmp_path)
    assert (found.default, found.extra) == ("https://b.test", ("https://a.test",))


@pytest.mark.parametrize("variable", ["PIP_CONFIG_FILE", "UV_CONFIG_FILE"])
def test_settings_that_cannot_be_read(tmp_path, variable):
    file = tmp_path / "settings"
    file.write_text("[[[\nx")
    with pytest.raises(InvalidConfig, match=str(file)):
        machine_indexes({variable: str(file)}, tmp_path)


def test_netrc_gives_the_logins_of_these_hosts_and_no_others(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("machine one.test login a password b\nmachine bank.test login c password d\n")
    file.chmod(0o600)
    found = with_netrc(Indexes(), {"one.test"}, {"NETRC": str(file)})
    assert found.logins == (Login("one.test", "a", "b"),)


def test_a_login_that_was_given_comes_before_netrc(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("machine one.test login a password b\n")
    given = Indexes(default="https://one.test", logins=(Login("one.test", "x", "y"),))
    assert with_netrc(given, given.hosts(), {"NETRC": str(file)}).logins == given.logins


@pytest.mark.skipif(sys.version_info < (3, 11), reason="netrc of Python 3.10 knows no escapes")
def test_any_password_survives_the_netrc_file(tmp_path):
    file = tmp_path / "netrc"
    password = 'a "b" \\c #d'
    file.write_bytes(netrc_file([Login("one.test", "me", password)]))
    assert netrc.netrc(str(file)).hosts["one.test"] == ("me", "", password)


def test_a_project_does_not_turn_off_the_certificates_of_an_index_of_the_machine():
    machine = Indexes(default="https://mine.test/simple")
    own = Requirements(trusted_hosts=["mine.test", "Mine.test:443", "other.test"])
    assert project_indexes(machine, own).trusted_hosts == ("other.test",)


@pytest.mark.parametrize("host", ["*", "https://mine.test", "mine.test/", "pypi.org"])
def test_no_spelling_of_a_trusted_host_turns_off_other_certificates(host):
    own = Requirements(trusted_hosts=[host])
    assert project_indexes(Indexes(default="https://mine.test/simple"), own).trusted_hosts == ()


@pytest.mark.parametrize("kind", ["index", "requirement"])
def test_no_login_of_the_machine_is_sent_as_plain_text(kind, tmp_path):
    machine = Indexes(extra=("https://mine.test/simple",))
    address = "http://mine.test/simple"
    own = Requirements(extra_index_urls=[address])
    if kind == "requirement":
        own = Requirements(requirements=[Line(f"six @ {address}/six.whl", tmp_path, 1)])
    with pytest.raises(InvalidEnvironment, match="would be sent as plain text"):
        project_indexes(machine, own)
    assert project_indexes(Indexes(extra=(address,)), own)


def test_a_mirror_of_pythons_is_told_without_its_login():
    environ = {
        "UV_PYTHON_INSTALL_MIRROR": "https://me:s3cret@mirror.test/pythons",
        "UV_PYTHON_DOWNLOADS_JSON_URL": "file:///opt/pythons.json",
    }
    assert python_settings(environ) == 'python-install-mirror = "https://mirror.test/pythons"\n'
    assert python_settings({}) == ""
