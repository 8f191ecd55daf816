"""Two runs side by side: what is the same, and what is not. Pure."""

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
    from collections.abc import Callable, Mapping

    from container_backend.rerun.past_run import PastRun

SAME: Final = "same"
# Not the same image, but of the same environment and packages.
BUILT_AGAIN: Final = "built again"
DIFFERS: Final = "differs"
# Neither run says.
UNKNOWN: Final = "not known"
_NONE: Final = "-"
_SHOWN_CHARACTERS: Final = 40
_DIGEST_CHARACTERS: Final = 19


@dataclass(frozen=True)
class RunFacts:
    """What is compared of a run.

    Attributes:
        run_id: Its id.
        status: How it ended.
        entry_point: Of the project.
        image: The digest of its image, or its id.
        environment: The environment hash; empty for an image that was not built here.
        base: The digest of what the image was built on.
        packages: Name → version; None where they are not known.
        code: The digest of its code.
        commit: Of its code.
        parameters: Name → value.
        metrics: Name → last value, those of the system left out.
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
        what: Is compared.
        name: Of a package, parameter or metric; empty for all of them.
        left: Of the first run.
        right: Of the second.
        verdict: ``same``, ``built again``, ``differs`` or ``not known``.
        relative_difference: Of a metric: the difference by the larger one; None where one is
            missing or not a number.
    """

    what: str
    name: str
    left: str
    right: str
    verdict: str
    relative_difference: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        left: The id of the first.
        right: The id of the second.
        lines: What is compared.
    """

    left: str
    right: str
    lines: tuple[Line, ...]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return all(line.verdict != DIFFERS for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "runs": [self.left, self.right],
            "same": self.is_same,
            "lines": [asdict(line) for line in self.lines],
        }

    def as_text(self) -> str:
        """A table."""
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
    """Compare two runs."""
    packages = _packages(left.packages, right.packages)
    lines = [
        _line("status", left.status, right.status),
        _image(left, right, packages[0].verdict),
        _line("base image", left.base, right.base),
        *packages,
        _code(left, right),
        _line("entry point", left.entry_point, right.entry_point),
        *_values("parameters", left.parameters, right.parameters, _text),
        *_values("metrics", left.metrics, right.metrics, _metric, show_same=True),
    ]
    return Comparison(left.run_id, right.run_id, tuple(lines))


def relative_difference(left: float, right: float) -> float | None:
    """The difference of two numbers by the larger of them; None where one is no number."""
    if left == right or (math.isnan(left) and math.isnan(right)):
        return 0.0
    if not (math.isfinite(left) and math.isfinite(right)):
        return None
    return abs(left - right) / max(abs(left), abs(right))


def _line(what: str, left: str, right: str, name: str = "") -> Line:
    verdict = (SAME if left else UNKNOWN) if left == right else DIFFERS
    return Line(what, name, left or _NONE, right or _NONE, verdict)


def _image(left: RunFacts, right: RunFacts, packages: str) -> Line:
    """An image that was built again has another digest: its times are others."""
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
    return _values("packages", left or {}, right or {}, _text)


def _values(
    what: str,
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    line: Callable[[str, str, Any, Any], Line],
    *,
    show_same: bool = False,
) -> list[Line]:
    """A line for all of them, and one for each that is to be seen."""
    lines = [line(what, name, left.get(name), right.get(name)) for name in sorted({*left, *right})]
    differ = [each for each in lines if each.verdict == DIFFERS]
    verdict = DIFFERS if differ else SAME
    head = Line(what, "", str(len(left)), str(len(right)), verdict)
    return [head, *(lines if show_same else differ)]


def _text(what: str, name: str, left: str | None, right: str | None) -> Line:
    verdict = SAME if left == right else DIFFERS
    return Line(what, name, _or_none(left), _or_none(right), verdict)


def _metric(what: str, name: str, left: float | None, right: float | None) -> Line:
    if left is None or right is None:
        return Line(what, name, _or_none(left), _or_none(right), DIFFERS)
    difference = relative_difference(left, right)
    verdict = SAME if difference == 0.0 else DIFFERS
    return Line(what, name, repr(left), repr(right), verdict, difference)


def _or_none(value: object) -> str:
    return _NONE if value is None else str(value)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    if text.startswith("sha256:"):
        return text[:_DIGEST_CHARACTERS]
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _verdict(line: Line) -> str:
    if line.verdict != DIFFERS or not line.relative_difference:
        return line.verdict
    return f"{line.verdict} by {line.relative_difference:.2g}"


_logger = logging.getLogger(__package__)
_OF_THE_SYSTEM: Final = "system/"


def facts_of(past: PastRun) -> RunFacts:
    """What is compared of a run. What it does not say is not known.

    Raises:
        TrackingUnreachable: The artifact store does not answer.
    """
    tags, run = past.tags, past.run
    try:
        environment = past.recorded.environment
        entry_point = past.recorded.entry_point
    except NotRepeatable:  # an older one
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
    """Those of the bill of materials, which has conda's and Debian's, too; else of the lock."""
    bill = past.read(f"{FOLDER}/{SBOM}")
    if bill is not None:
        try:
            return packages_in(bill.decode())
        except (ValueError, LookupError, TypeError, AttributeError):
            _logger.warning("The bill of materials of run (ID '%s') cannot be read", past.run_id)
    lock = past.lock()
    return None if lock is None else packages_of(lock)


def packages_of(lock: str) -> dict[str, str]:
    """Name → version, or address, of what a lock names."""
    found = {}
    for package in read_lock(lock).packages:
        name, exact, version = package.partition("==")
        if not exact:
            name, _, version = package.partition(" @ ")
        found[name.strip()] = version.strip() or "local"
    return found
