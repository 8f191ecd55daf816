"""The steps of a build in words, for people who do not read Dockerfiles."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from container_backend.buildkit import StepEvent

_logger = logging.getLogger(__name__)

_WORTH_SAYING_SECONDS = 0.1
_STEPS: tuple[tuple[str, str], ...] = (
    (r"/build/system\.sh", "installing the system packages"),
    (r"/build/conda\.sh (\S+)", "installing the conda packages"),
    (r"/build/prepare\.sh (\S+)", "checking for Python {0}"),
    (r"/build/installer\.sh", "fetching the installer"),
    (r"/build/resolve\.sh", "resolving the requirements"),
    (r"/build/install\.sh \S+ /lock/pylock\.(\S+)\.toml", "installing the {0} packages"),
    (r"\] FROM (\S+)", "getting {0}"),
    (r"^exporting to image", "writing the image"),
)


def describe_step(name: str) -> str | None:
    """What a step does, in words; None for one that nobody needs to know of."""
    for pattern, words in _STEPS:
        if match := re.search(pattern, name):
            return words.format(*match.groups())
    return None


def log_steps() -> Callable[[StepEvent], None]:
    """A function that logs a line for each step that matters, when it is done."""

    def log(event: StepEvent) -> None:
        words = describe_step(event.step)
        if words is None:
            return
        if event.kind == "completed" and (event.seconds or 0) >= _WORTH_SAYING_SECONDS:
            _logger.info("    %s: %.1f s", words, event.seconds or 0.0)
        elif event.kind == "cached":
            _logger.info("    %s: cached", words)
        elif event.kind == "failed":
            _logger.info("    %s: failed", words)

    return log
