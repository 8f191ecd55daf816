"""Builds that another build, or a removal, disturbs."""

from __future__ import annotations

import pytest

from container_backend.errors import NotThere
from container_backend.image.build import _in_rounds
from container_backend.image.buildkit import BuildFailed


@pytest.mark.parametrize(
    "error",
    [
        NotThere("No such image: sha256:…"),
        BuildFailed("unrecognized image ID"),
        BuildFailed("no active sessions"),
        BuildFailed("no active session for jnnyk2: context deadline exceeded"),
    ],
    ids=str,
)
def test_a_disturbed_build_begins_again(error):
    errors = [error] * 9

    def work() -> str:
        if errors:
            raise errors.pop()
        return "built"

    assert _in_rounds(work) == "built"


def test_a_build_that_fails_by_itself_does_not_begin_again():
    rounds = []

    def work() -> None:
        rounds.append(1)
        raise BuildFailed("exit code: 1")

    with pytest.raises(BuildFailed, match="exit code"):
        _in_rounds(work)
    assert len(rounds) == 1
