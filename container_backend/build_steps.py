"""The steps of a build in words, for people who do not read Dockerfiles. Pure."""

from __future__ import annotations

import re
import textwrap
from typing import Final

_NAME: Final = r"(?:docker\.io/)?(?:library/)?([^\s@]+)"
# Steps that are the engine's, not BuildKit's.
PULLING: Final = "pulling the image"
PUSHING: Final = "pushing the image"
_STEPS: Final[tuple[tuple[str, str | None], ...]] = (
    (r"/build/system\.sh", "installing the system packages"),
    (r"/build/conda\.sh (\S+)", "installing the conda packages"),
    (r"/build/prepare\.sh (\S+)", "checking for Python {0}"),
    (r"/build/installer\.sh", "fetching the installer"),
    (r"/build/resolve\.sh", "resolving the requirements"),
    (r"/build/install\.sh \S+ /lock/pylock\.(\S+)\.toml", "installing the {0} packages"),
    (rf"load metadata for {_NAME}", "looking up {0}"),
    (rf"\] FROM {_NAME}", "getting {0}"),
    (r"^exporting to image", "writing the image"),
    (rf"^({PULLING}|{PUSHING})$", "{0}"),
    # Done at once, and nobody's business.
    (r"\] WORKDIR /mlflow/|\] USER ", None),
)
# A step of somebody's own template.
_INSTRUCTION: Final = re.compile(r"^\[(?!internal|auth)[^\]]+\] (.+)$", re.DOTALL)
_MOUNT: Final = re.compile(r"--mount=\S+ ")
_BASE: Final = re.compile(r"\] FROM ")
_LAYER: Final = re.compile(r"/build/install\.sh \S+ /lock/pylock\.(\S+)\.toml")
_LONGEST: Final = 60


def describe_step(name: str) -> str | None:
    """What a step does, in words; None for one that nobody needs to know of.

    Args:
        name: As BuildKit calls it: ``[stage 2/5] RUN …``.
    """
    for pattern, words in _STEPS:
        if match := re.search(pattern, name):
            return words and words.format(*match.groups())
    instruction = instruction_of(name)
    return instruction and textwrap.shorten(instruction, _LONGEST, placeholder=" …")


def instruction_of(name: str) -> str | None:
    """The instruction of a step of somebody's own template; None for any other step."""
    if any(re.search(pattern, name) for pattern, _ in _STEPS):
        return None
    match = _INSTRUCTION.match(name)
    return " ".join(_MOUNT.sub("", match[1]).split()) if match else None


def is_base(name: str) -> bool:
    """Whether a step gets a base image."""
    return _BASE.search(name) is not None


def layer_of(name: str) -> str | None:
    """The layer of packages that a step installs; None for any other step."""
    match = _LAYER.search(name)
    return match[1] if match else None
