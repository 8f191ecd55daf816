"""Secrets are left out of what a program writes, wherever its output is cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from container_backend.masking import MASK, Masker, is_secret, secrets_in

# Few letters, so that secrets overlap, repeat and begin like one another.
letters = st.text("ab*", min_size=4, max_size=8).map(str.encode)
outputs = st.text("ab*\n", max_size=60).map(str.encode)


def masked(secrets, pieces):
    masker = Masker(secrets)
    return b"".join(map(masker.mask, pieces)) + masker.rest()


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.sets(letters, max_size=3), outputs, st.lists(st.integers(0, 100), max_size=20))
@example({b"aaaa"}, b"aaaaaaa", [1, 2, 3, 4, 5, 6])
@example({b"abab", b"ababab"}, b"abababab", [3, 5])
@example({b"aaaabbbb", b"bbbbaaaa"}, b"aaaabbbbaaaa", [4, 8])
def test_where_the_output_is_cut_makes_no_difference(secrets, output, places):
    assert masked(secrets, cut(output, places)) == masked(secrets, [output])


@given(st.sets(letters.filter(lambda s: b"*" not in s), min_size=1, max_size=3), outputs)
def test_no_secret_is_left(secrets, output):
    found = masked(secrets, cut(output, range(len(output))))
    assert not any(secret in found for secret in secrets)


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


@pytest.mark.parametrize("name", ["MY_TOKEN", "aws_secret_access_key", "Db_Password"])
def test_the_name_of_a_variable_says_that_it_is_secret(name):
    assert is_secret(name)


def test_secrets_of_a_container():
    environment = {
        "API_KEY": "k3y-k3y",
        "PATH": "/usr/bin",
        "SHORT_TOKEN": "abc",
        "URL": "http://me:p%40ssword@example.test/x",
        "ODD": "http://[me:secret@x",
    }
    assert secrets_in(environment) == {b"k3y-k3y", b"p%40ssword", b"p@ssword"}
