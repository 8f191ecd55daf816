"""Sizes as the docker command reads them."""

from __future__ import annotations

import pytest

from container_backend.engine.syntax import parse_size


@pytest.mark.parametrize(
    ("text", "size"), [("512m", 512 * 2**20), ("1gb", 2**30), ("7", 7), ("1.5k", 1536)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "12x", "m"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="memory"):
        parse_size(text)
