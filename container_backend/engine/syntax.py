"""The docker command's syntax of sizes and of ``.dockerignore`` patterns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docker.errors import DockerException
from docker.utils import parse_bytes
from docker.utils.build import PatternMatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def parse_size(text: str) -> int:
    """``512m`` → bytes; raises ValueError for an invalid size."""
    try:
        return int(parse_bytes(text))
    except DockerException as error:
        raise ValueError(str(error)) from error


def not_ignored(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Relative paths of files, links and folders that no pattern excludes.

    https://docs.docker.com/build/concepts/context/#dockerignore-files
    """
    yield from PatternMatcher(patterns).walk(str(folder))
