"""The Dockerfile of a project image."""

from __future__ import annotations

import pytest

from container_backend.errors import InvalidEnvironment
from container_backend.share.project_image import _dockerfile


@pytest.mark.parametrize("user", ["x\nRUN id", "a b", "$(id)", "x\\"])
def test_the_user_of_an_image_brings_along_no_step(user):
    with pytest.raises(InvalidEnvironment, match="is no name of a user"):
        _dockerfile("base", "/python", {"Config": {"User": user}})


@pytest.mark.parametrize("user", ["me", "1000:1000", "me:users"])
def test_the_user_of_an_image_is_kept(user):
    assert f"USER {user}\n" in _dockerfile("base", "/python", {"Config": {"User": user}})
