"""Two runs side by side. Pure, except for `facts_of`."""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.environment import read_lock
from container_backend.errors import NotRepeatable
from container_backend.image import SBOM, packages_in
from container_backend.machine import table
from container_backend.store import FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from container_backend.rerun.past_run import PastRun

SAME: Final = "same"
# Another image of the same environment with the same packages.
BUILT_AGAIN: Final = "built again"
DIFFERS: Final = "differs"
# Neither run has a value.
UNKNOWN: Final = "not known"
_NONE: Final = "-"
_SHOWN_CHARACTERS: Final = 40
_DIGEST_CHARACTERS: Final = 19


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run that a comparison covers.

    Attributes:
        image: The digest of the image, or the id.
        environment: The environment hash; empty for an image that was not built here.
        base: The digest of the base image.
        packages: Name → version; None if they are unknown.
        code: The digest of the code.
        metrics: Name → last value, without metrics of the system.
    """

    run_id: str
    status: str
    entry_point: str = ""
    image: str = ""
    environment: str = ""
    base: str = ""
    packages: Mapping[str, str] | None = None
    code: str = ""
    commit: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line of a comparison.

    Attributes:
        what: The kind of fact.
        name: Name of a package, parameter or metric; empty in a line about all of a kind.
        verdict: ``same``, ``built again``, ``differs`` or ``not known``.
        relative_difference: For two values of a metric, see :func:`relative_difference`.
    """

    what: str
    name: str
    left: str
    right: str
    verdict: str
    relative_difference: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side; ``left`` and ``right`` are run ids."""

    left: str
    right: str
    lines: tuple[Line, ...]

    @property
    def is_same(self) -> bool:
        return all(line.verdict != DIFFERS for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        return {
            "runs": [self.left, self.right],
            "same": self.is_same,
            "lines": [asdict(line) for line in self.lines],
        }

    def as_text(self) -> str:
        rows = [
            (
                f"  {line.name}" if line.name else line.what,
                _shown(line.left),
                _shown(line.right),
                _verdict(line),
            )
            for line in self.lines
        ]
        return table(("", self.left[:12], self.right[:12], ""), rows)


def compare(left: RunFacts, right: RunFacts) -> Comparison:
    packages = _packages(left.packages, right.packages)
    lines = [
        _line("status", left.status, right.status),
        _image(left, right, packages[0].verdict),
        _line("base image", left.base, right.base),
        *packages,
        _code(left, right),
        _line("entry point", left.entry_point, right.entry_point),
        *_values("parameters", left.parameters, right.parameters),
        *_values("metrics", left.metrics, right.metrics, show_same=True),
    ]
    return Comparison(left.run_id, right.run_id, tuple(lines))


def relative_difference(left: float, right: float) -> float | None:
    """The difference divided by the larger absolute value; None if one number is not finite."""
    if left == right or (math.isnan(left) and math.isnan(right)):
        return 0.0
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    return abs(left - right) / max(abs(left), abs(right))


def _line(what: str, left: str, right: str, name: str = "") -> Line:
    verdict = (SAME if left else UNKNOWN) if left == right else DIFFERS
    return Line(what, name, left or _NONE, right or _NONE, verdict)


def _image(left: RunFacts, right: RunFacts, packages: str) -> Line:
    """A rebuilt image has another digest, because its times differ."""
    found = _line("image", left.image, right.image)
    again = left.environment and left.environment == right.environment and packages != DIFFERS
    if found.verdict == DIFFERS and again:
        return Line("image", "", found.left, found.right, BUILT_AGAIN)
    return found


def _code(left: RunFacts, right: RunFacts) -> Line:
    if left.code or right.code:
        return _line("code", left.code, right.code)
    return _line("code", left.commit, right.commit)


def _packages(left: Mapping[str, str] | None, right: Mapping[str, str] | None) -> list[Line]:
    if left is None and right is None:
        return [Line("packages", "", _NONE, _NONE, UNKNOWN)]
    return _values("packages", left or {}, right or {})


def _values(
    what: str,
    left: Mapping[str, str | float],
    right: Mapping[str, str | float],
    *,
    show_same: bool = False,
) -> list[Line]:
    """A line with the counts, then a line for each name that differs, or for each name."""
    lines = [
        _value(what, name, left.get(name), right.get(name)) for name in sorted({*left, *right})
    ]
    differ = [each for each in lines if each.verdict == DIFFERS]
    verdict = DIFFERS if differ else SAME
    head = Line(what, "", str(len(left)), str(len(right)), verdict)
    return [head, *(lines if show_same else differ)]


def _value(what: str, name: str, left: str | float | None, right: str | float | None) -> Line:
    difference = None
    if isinstance(left, float) and isinstance(right, float):
        difference = relative_difference(left, right)
    verdict = SAME if left == right or difference == 0.0 else DIFFERS
    return Line(what, name, _or_none(left), _or_none(right), verdict, difference)


def _or_none(value: object) -> str:
    return _NONE if value is None else str(value)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    if text.startswith("sha256:"):
        return text[:_DIGEST_CHARACTERS]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _verdict(line: Line) -> str:
    if not line.relative_difference:
        return line.verdict
    return f"{line.verdict} by {line.relative_difference:.2g}"


_logger = logging.getLogger(__package__)
_OF_THE_SYSTEM: Final = "system/"


def facts_of(past: PastRun) -> RunFacts:
    """The facts of a run; a fact that the run lacks is empty.

    Raises:
        TrackingUnreachable: The artifact store does not answer.
    """
    tags, run = past.tags, past.run
    try:
        environment = past.recorded.environment
        entry_point = past.recorded.entry_point
    except NotRepeatable:  # a run of an older version
        environment, entry_point = None, tags.get(labels_and_tags.MLFLOW_ENTRY_POINT, "")
    return RunFacts(
        run_id=past.run_id,
        status=run.status,
        entry_point=entry_point,
        image=tags.get(labels_and_tags.TAG_IMAGE_DIGEST, ""),
        environment=tags.get(labels_and_tags.TAG_ENVIRONMENT_HASH, ""),
        base=environment.base.digest
        if environment
        else tags.get(labels_and_tags.TAG_BASE_DIGEST, ""),
        packages=_packages_in(past),
        code=tags.get(labels_and_tags.TAG_CODE_DIGEST, ""),
        commit=tags.get(labels_and_tags.MLFLOW_GIT_COMMIT, ""),
        parameters=run.parameters,
        metrics={
            name: value
            for name, value in run.metrics.items()
            if not name.startswith(_OF_THE_SYSTEM)
        },
    )


def _packages_in(past: PastRun) -> dict[str, str] | None:
    """Packages of the bill of materials, with conda's and Debian's; without it, those of the lock."""
    bill = past.read(f"{FOLDER}/{SBOM}")
    if bill is not None:
        try:
            return packages_in(bill.decode())
        except (ValueError, LookupError, TypeError, AttributeError):
            _logger.warning("The bill of materials of run (ID '%s') cannot be read", past.run_id)
    return None if past.lock is None else _packages_of(past.lock)


def _packages_of(lock: str) -> dict[str, str]:
    """The packages of a lock: name → version or address."""
    found = {}
    for package in read_lock(lock).packages:
        name, exact, version = package.partition("==")
        if not exact:
            name, _, version = package.partition(" @ ")
        found[name.strip()] = version.strip() or "local"
    return found
