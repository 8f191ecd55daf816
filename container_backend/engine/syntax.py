"""The docker command's syntax of sizes."""

from __future__ import annotations

from container_backend.engine.sdk import DockerException, parse_bytes


def parse_size(text: str) -> int:
    """``512m`` → bytes; raises ValueError for an invalid size."""
    try:
        return int(parse_bytes(text))
    except DockerException as error:
        raise ValueError(str(error)) from error
