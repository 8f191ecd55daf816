"""Secrets are left out of what a program writes, wherever its output is cut."""

from __future__ import annotations

import io
import itertools
import logging
import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from container_backend.errors import TrackingUnreachable
from container_backend.machine.log import MaskedFormatter
from container_backend.masking import MASK, Masker, is_secret, secrets_in, without_credentials

# Few letters, so that secrets overlap, repeat and begin like one another.
letters = st.text("ab*", min_size=4, max_size=8).map(str.encode)
# Of letters alone, or of digits: masked where they are whole.
plain = (
    st.text("ab", min_size=1, max_size=4) | st.text("12", min_size=1, max_size=4)
).map(str.encode)  # fmt: skip
outputs = st.text("ab12*._ \nm;[\x1b%\\3D", max_size=60).map(str.encode)


def masked(secrets, pieces):
    masker = Masker(secrets)
    return b"".join(map(masker.mask, pieces)) + masker.rest()


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.sets(letters | plain, max_size=3), outputs, st.lists(st.integers(0, 100), max_size=20))
@example({b"aaaa"}, b"aaaaaaa", [1, 2, 3, 4, 5, 6])
@example({b"abab", b"ababab"}, b"abababab", [3, 5])
@example({b"aaaabbbb", b"bbbbaaaa"}, b"aaaabbbbaaaa", [4, 8])
@example({b"12"}, b"0.12 12.5 12. 12", [2, 4, 5, 6, 7, 12, 13, 16])
def test_where_the_output_is_cut_makes_no_difference(secrets, output, places):
    assert masked(secrets, cut(output, places)) == masked(secrets, [output])


@given(st.sets(st.from_regex(rb"\A[ab]{2,4}1[ab]{2,4}\Z"), min_size=1, max_size=3), outputs)
def test_no_secret_is_left(secrets, output):
    found = masked(secrets, cut(output, range(len(output))))
    assert not any(secret in found for secret in secrets)


@given(st.sets(plain, min_size=1, max_size=3), outputs)
def test_no_plain_secret_is_left_where_it_is_whole(secrets, output):
    found = masked(secrets, cut(output, range(len(output))))
    assert not secrets.intersection(re.split(rb"[ \n*]+", found))


@pytest.mark.parametrize(
    ("secret", "output", "shown"),
    [
        (b"1024", b"loss 0.1024, step 10240, v1024 1024.5", None),
        (b"20261130", b"on 20261130. And x=20261130", b"on ***. And x=***"),
        (b"loss", b"loss lossless my_loss loss.", b"*** lossless my_*** ***."),
        (b"hunter", b"\x1b[32mhunter\x1b[0m \x1b[1;31mhunter", b"\x1b[32m***\x1b[0m \x1b[1;31m***"),
        (b"hunter", b"'\\nhunter' u%3Dhunter mhunter", b"'\\n***' u%3D*** mhunter"),
        (b"loss", "löss lossé".encode(), None),
        (b"s3cret", b"as3cret0", b"a***0"),
        (b"correcthorsebattery", b"xcorrecthorsebatteryx", b"x***x"),
    ],
)
def test_words_and_numbers_are_masked_where_they_are_whole(secret, output, shown):
    assert masked({secret}, [output]) == (output if shown is None else shown)


def test_the_rest_of_the_output_is_as_it_was():
    assert masked({b"s3cret"}, [b"a s3c", b"ret, a s3c", b"."]) == b"a " + MASK + b", a s3c."


def test_only_what_may_become_a_secret_is_held_back():
    masker = Masker({b"s3cret"})
    assert masker.mask(b"password: ") == b"password: "
    assert masker.mask(b"a s3cr") == b"a "
    assert masker.mask(b"eation\n") == b"s3creation\n"
    assert masker.rest() == b""


def test_without_secrets_everything_passes_at_once():
    assert Masker([]).mask(b"\xff\x00anything") == b"\xff\x00anything"


@pytest.mark.parametrize(
    "name",
    [
        "MY_TOKEN", "aws_secret_access_key", "Db_Password", "AWS_ACCESS_KEY_ID", "apiKey", "x-api-key",
        "DBPASSWORD", "OPENAI_APIKEY", "GITHUB_TOKEN_2", "TOKEN", "SSH_PRIVATE_KEY", "SECRETS",
        "AZURE_STORAGE_CONNECTION_STRING", "X-Amz-Credential", "PASSPHRASE", "OPENAI_API_KEYS", "PASSWORDS",
        "MASTERKEY", "AZURE_PRIMARY_KEY", "SWARM_JOIN_TOKEN", "GROUP_TOKEN", "passWord", "DB_PASS", "MYSQL_PWD",
        "GH_PAT", "CONNECTIONSTRING", "SECRET_URL",
    ],
)  # fmt: skip
def test_the_name_of_a_variable_says_that_it_is_secret(name):
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYWORDS", "PRIMARY_KEY_COLUMN", "SORT_KEY", "PWD", "PASS",
        "PAD_TOKEN", "MONKEY", "KEYBOARD", "TOKEN_LIMIT", "max-token", "SECRETARY", "PASSWORD_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE", "numTokens", "keyPath", "",
    ],
)  # fmt: skip
def test_the_name_of_a_variable_that_is_about_words_and_data(name):
    assert not is_secret(name)


def test_a_short_number_is_no_secret_in_a_log():
    environment = {"A_TOKEN": "1024", "B_TOKEN": "0.1", "C_TOKEN": "20261130", "D_TOKEN": "a1024"}
    assert secrets_in(environment) == {b"20261130", b"a1024"}
    # Where a variable alone is shown, it is masked whatever it is.
    assert secrets_in({"A_TOKEN": "1024"}, shortest=1) == {b"1024"}


def test_secrets_of_a_container():
    environment = {
        "API_KEY": "k3y-k3y",
        "PATH": "/usr/bin",
        "SHORT_TOKEN": "abc",
        "URL": "http://me:p%40ssword@example.test/x",
        "ODD": "http://[me:secret@x",
    }
    assert secrets_in(environment) == {b"k3y-k3y", b"p%40ssword", b"p@ssword", b"secret"}


ADDRESSES = {
    "http://me:pw@host:5000/x": "http://host:5000/x",
    "https://token@host/x.git": "https://host/x.git",
    "http://me:p@ss@host/x": "http://host/x",
    "https://me:p%2Fw@host?a=b": "https://host?a=b",
    "mysql+pymysql://me:p/w@host/db": "mysql+pymysql://host/db",
    "postgresql://host/db?user=me&password=pw&x=1": "postgresql://host/db?user=me&password=***&x=1",
    "https://host/x?sig=abc#part": "https://host/x?sig=***#part",
    "git+ssh://git@host/x": "git+ssh://git@host/x",
    "ssh://git:pw@host/x": "ssh://git@host/x",
    "HTTP://ME:PW@HOST": "HTTP://HOST",
    "twice http://a:b@c, https://d:e@f": "twice http://c, https://f",
    "name=https://me:pw@host/simple": "name=https://host/simple",
}
AS_THEY_ARE = (
    "http://host:5000/a@b", "http://[::1]:5000/a:b@c", "sqlite:////tmp/a:b@c.db", "file:///a:b@c",
    "docker://salary:1.0@sha256:ff", "docker://host:5000/team/salary:1.0@sha256:ff",
    "http://host/?page=2&x=y", "git@host:me/x.git", "s3://bucket/a:b@c", "",
)  # fmt: skip


@pytest.mark.parametrize(("address", "shown"), ADDRESSES.items())
def test_an_address_is_shown_without_its_credentials(address, shown):
    assert without_credentials(address) == shown
    assert without_credentials(shown) == shown
    assert str(TrackingUnreachable(f"'{address}'", remedy=address)) == f"'{shown}'\n{shown}"


@pytest.mark.parametrize("text", AS_THEY_ARE)
def test_what_has_no_credentials_stays_as_it_is(text):
    assert without_credentials(text) == text


def test_what_is_logged_has_none_at_any_level():
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    handler.setFormatter(MaskedFormatter("%(message)s"))
    try:
        raise ValueError("http://me:pa55word@host")
    except ValueError:
        record = logging.LogRecord(
            "x", logging.DEBUG, "", 0, "%s", ("db://me:s3cret@host",), sys.exc_info()
        )
        handler.handle(record)
    assert "db://host" in said.getvalue()
    assert "pa55word" not in said.getvalue()
    assert "s3cret" not in said.getvalue()
