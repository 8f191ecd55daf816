"""Where packages come from, and with which logins."""

from __future__ import annotations

import netrc
import sys

import pytest

from container_backend.environment.indexes import (
    Indexes,
    Login,
    machine_indexes,
    netrc_file,
    split_credentials,
    with_netrc,
)
from container_backend.errors import InvalidConfig


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
    found = with_netrc(Indexes(default="https://one.test/simple"), {"NETRC": str(file)})
    assert found.logins == (Login("one.test", "a", "b"),)


def test_a_login_that_was_given_comes_before_netrc(tmp_path):
    file = tmp_path / "netrc"
    file.write_text("machine one.test login a password b\n")
    given = Indexes(default="https://one.test", logins=(Login("one.test", "x", "y"),))
    assert with_netrc(given, {"NETRC": str(file)}).logins == given.logins


@pytest.mark.skipif(sys.version_info < (3, 11), reason="netrc of Python 3.10 knows no escapes")
def test_any_password_survives_the_netrc_file(tmp_path):
    file = tmp_path / "netrc"
    password = 'a "b" \\c #d'
    file.write_bytes(netrc_file([Login("one.test", "me", password)]))
    assert netrc.netrc(str(file)).hosts["one.test"] == ("me", "", password)
