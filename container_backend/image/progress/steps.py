"""The steps of a build in plain words, and the progress of installations. Pure."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field
from typing import Final

_NAME: Final = r"(?:docker\.io/)?(?:library/)?([^\s@]+)"
_LAYER: Final = r"/build/install\.sh \S+ (\S+)"
_WHEELS: Final = r"/build/wheels\.sh"
# Steps of the engine, not of BuildKit.
PULLING: Final = "pulling the image"
PUSHING: Final = "pushing the image"
_STEPS: Final[tuple[tuple[str, str | None], ...]] = (
    (r"/build/system\.sh", "installing the system packages"),
    (r"/build/libraries\.sh", "installing missing libraries"),
    (r"/build/conda\.sh (\S+)", "installing the conda packages"),
    (r"/build/prepare\.sh (\S+)", "checking for Python {0}"),
    (r"/build/python\.sh (\S+)", "fetching Python {0}"),
    (r"/build/installer\.sh", "fetching the installer"),
    (r"/build/resolve\.sh", "resolving the requirements"),
    (_WHEELS, "building packages without a wheel"),
    (_LAYER, "installing the {0} packages"),
    (rf"load metadata for {_NAME}", "looking up {0}"),
    (rf"\] FROM {_NAME}", "getting {0}"),
    (r"^exporting to image", "writing the image"),
    (rf"^({PULLING}|{PUSHING})$", "{0}"),
    # These steps take no time.
    (r"\] WORKDIR /mlflow/|\] USER ", None),
)
# A step of a user's own template.
_INSTRUCTION: Final = re.compile(r"^\[(?!internal|auth)[^\]]+\] (.+)$", re.DOTALL)
_MOUNT: Final = re.compile(r"--mount=\S+ ")
_LONGEST: Final = 60


def describe_step(name: str) -> str | None:
    """A step in words; None for a step that is not shown.

    Args:
        name: BuildKit's name: ``[stage 2/5] RUN …``.
    """
    for pattern, words in _STEPS:
        if match := re.search(pattern, name):
            return words and words.format(*match.groups())
    instruction = instruction_of(name)
    return instruction and textwrap.shorten(instruction, _LONGEST, placeholder=" …")


def instruction_of(name: str) -> str | None:
    """The instruction of a step of a user's own template; None for any other step."""
    if any(re.search(pattern, name) for pattern, _ in _STEPS):
        return None
    match = _INSTRUCTION.match(name)
    return " ".join(_MOUNT.sub("", match[1]).split()) if match else None


def is_base(name: str) -> bool:
    """True for a step that pulls a base image."""
    return "] FROM " in name


def is_of_wheels(name: str) -> bool:
    """True for the step that builds packages without a wheel; mostly, there are none."""
    return re.search(_WHEELS, name) is not None


def layer_of(name: str) -> str | None:
    """The layer of packages that a step installs; None for any other step."""
    match = re.search(_LAYER, name)
    return match[1] if match else None


_MEGABYTE: Final = 1_000_000
_UNITS: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# A line of templates/count_packages.py, without megabytes if the index does not tell sizes.
_ALL: Final = re.compile(r"^(\d+) packages?(?:, ([\d.]+) MB)?$")
# uv prints this for packages of a megabyte or more only.
_DOWNLOADING: Final = re.compile(r"^Downloading (\S+) \(([\d.]+)(\w+)\)$")
_DOWNLOADED: Final = re.compile(r"^Downloaded (\S+)$")
_DOING: Final = re.compile(r"^(Building \S+|compiling$)")
_UNPACKING: Final = re.compile(r"^Prepared \d+ packages?")
_OVER: Final = re.compile(r"^compiled \d+ ")


@dataclass
class Installation:
    """The progress of an installation, by its output so far.

    Attributes:
        count: Number of packages.
        size: Bytes of all packages; 0 if unknown.
        sizes: Name → bytes of packages whose download has begun.
        done: Names of downloaded packages.
    """

    count: int = 0
    size: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def add(self, line: str) -> str:
        """Take in a line of output, and return the progress: ``2 of 3 packages, 50 of 62 MB``."""
        if match := _ALL.match(line):
            self.count, self.size = int(match[1]), int(float(match[2] or 0) * _MEGABYTE)
        elif match := _DOWNLOADING.match(line):
            self.sizes[match[1]] = int(float(match[2]) * _UNITS.get(match[3], 1))
        elif match := _DOWNLOADED.match(line):
            self.done.add(match[1])
        elif match := _DOING.match(line):
            return f"{self._all()}, {match[1].lower()}"
        elif _UNPACKING.match(line):
            return f"{self._all()}, unpacking"
        elif _OVER.match(line):
            return self._all()
        return self._so_far() if self.done else self._all()

    def _all(self) -> str:
        return count_of(self.count) + (f", {size_of(self.size)}" if self.size else "")

    def _so_far(self) -> str:
        """The progress as far as uv tells; without bytes if uv tells of less than half of them."""
        count = count_of(self.count)
        if len(self.sizes) >= self.count:
            count = f"{min(len(self.done), self.count)} of {count}"
        if not self.size:
            return count
        if 2 * sum(self.sizes.values()) < self.size:
            return f"{count}, {size_of(self.size)}"
        current = min(self.size, sum(self.sizes.get(name, 0) for name in self.done))
        return f"{count}, {size_of(current, self.size)} of {size_of(self.size)}"


def count_of(count: int) -> str:
    """``1 package``, ``2 packages``."""
    return f"{count} package{'s' * (count != 1)}"


def size_of(size: int, scale: int | None = None) -> str:
    """Bytes in megabytes: ``62 MB``, ``0.3 MB``.

    Args:
        scale: The total, in bytes, if ``of TOTAL MB`` follows: then the unit is left out.
    """
    digits = 1 if (scale or size) < 10 * _MEGABYTE else 0
    return f"{size / _MEGABYTE:.{digits}f}{'' if scale is not None else ' MB'}"
