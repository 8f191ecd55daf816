"""What a project that is another person's may ask of this machine."""

from __future__ import annotations

import pytest

from container_backend.errors import InvalidProject
from container_backend.privileges import Permissions, check_variables, check_volumes

OWN = Permissions(trusted=True)
FETCHED = Permissions(trusted=False)
REPEATED = Permissions(trusted=False, is_repeated=True)
WHERE = "MLproject, key 'docker_env'"


@pytest.mark.parametrize(
    ("permissions", "remedy"), [(FETCHED, '{"trust_project": true}'), (REPEATED, "--trust")]
)
def test_folders_and_variables_are_refused_with_what_would_allow_them(permissions, remedy):
    with pytest.raises(InvalidProject) as caught:
        check_volumes(WHERE, ["/home:/home", "./data:/data:ro"], permissions)
    assert "key 'volumes'" in str(caught.value)
    assert "wants to see /home, ./data of this machine" in str(caught.value)
    assert remedy in str(caught.value)
    with pytest.raises(InvalidProject) as caught:
        check_variables(WHERE, ["A_TOKEN", "SET=1", "DB_PASS"], (), permissions)
    assert "key 'environment'" in str(caught.value)
    assert "the values of A_TOKEN, DB_PASS of your environment" in str(caught.value)
    assert "-A env=A_TOKEN=… -A env=DB_PASS=…" in str(caught.value)
    assert remedy in str(caught.value)


def test_pairs_and_what_the_user_gives_anyway_are_not_asked_for():
    check_variables(WHERE, ["SET=1", "EMPTY=", "TYPED"], {"TYPED": "x"}, FETCHED)
    check_volumes(WHERE, [], FETCHED)


def test_a_project_of_the_users_own_may_ask_for_everything():
    check_volumes(WHERE, ["/home:/home"], OWN)
    check_variables(WHERE, ["A_TOKEN"], (), OWN)
