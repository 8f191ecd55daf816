"""What the docker command reads, read in its way: sizes, and patterns of ``.dockerignore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from docker.errors import DockerException
from docker.utils import parse_bytes
from docker.utils.build import PatternMatcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def parse_size(text: str) -> int:
    """``512m`` → bytes.

    Raises:
        ValueError: It is no size.
    """
    try:
        return int(parse_bytes(text))
    except DockerException as error:
        raise ValueError(str(error)) from error


def not_ignored(folder: Path, patterns: Sequence[str]) -> Iterator[str]:
    """Paths in a folder that patterns do not exclude, relative to it: files, links and folders.

    https://docs.docker.com/build/concepts/context/#dockerignore-files

    Raises:
        OSError: A folder cannot be read.
    """
    yield from PatternMatcher(patterns).walk(str(folder))
