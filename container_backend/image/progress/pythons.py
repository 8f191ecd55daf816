"""Failures of a build that another Python would mend, explained in a few lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.environment import PythonChoice

# Lines of templates/why_no_wheel.py and templates/check_python.py.
_NO_WHEEL: Final = re.compile(r"container-backend: no wheel: (.+?): ([\d. ]+)$")
_WORKS: Final = re.compile(r"container-backend: works with Python (3\.\d+)$")
_OTHER: Final = re.compile(
    r"container-backend: Python (\S+) is wanted, but the base image has Python (\S+)\.$"
)
# As OLDEST of templates/why_no_wheel.py.
_OLDEST: Final = "3.8"
_BASE: Final = (
    'name an image with Python {0} in the backend config: "base_image": {{"{0}": "IMAGE"}}'
)


def explain_python(
    output: Sequence[str], choice: PythonChoice, base: str
) -> tuple[str, str] | None:
    """Message and remedy of a failed build; None if its cause is not its Python.

    Args:
        output: Lines of the failed step.
        base: The reference of the base image.
    """
    lines = [line.strip() for line in output]
    for line in lines:
        if match := _OTHER.match(line):
            return _other_python(match[1], match[2], choice, base)
    missing = [match for line in lines if (match := _NO_WHEEL.match(line))]
    if not missing:
        return None
    minor = ".".join(choice.version.split(".")[:2])
    listed = [f"    {match[1]}: wheels for {ranges(match[2].split())}" for match in missing]
    message = "\n".join([f"There are no wheels for Python {minor} of:", *listed, choice.reason])
    works = next((match[1] for line in lines if (match := _WORKS.match(line))), None)
    if works is None:
        return message, _without_a_python([match[2].split() for match in missing])
    return message, f"{choice.other(works)}, or choose other versions of the packages."


def _without_a_python(pythons: Sequence[Sequence[str]]) -> str:
    common = set(pythons[0]).intersection(*pythons)
    if not common:
        return "No Python has wheels for all of them: choose other versions."
    newest = max(common, key=lambda version: int(version.partition(".")[2]))
    why = (
        f"is too old to install packages for (Python {_OLDEST} is the oldest)"
        if int(newest.partition(".")[2]) < int(_OLDEST.partition(".")[2])
        else "does not go with the other requirements"
    )
    return f"Python {newest}, which has them all, {why}: choose other versions."


def _other_python(wanted: str, found: str, choice: PythonChoice, base: str) -> tuple[str, str]:
    message = f"The base image '{base}' has Python {found}, and not {wanted}. {choice.reason}"
    minor, minor_found = (".".join(version.split(".")[:2]) for version in (wanted, found))
    if minor == minor_found:
        loosely = 'set `"python_match": "minor"` in the backend config, if any Python {0} will do'
        return message, f"Either {loosely.format(minor)}; or {_BASE.format(wanted)}."
    return message, f"{choice.other(minor_found)}; or {_BASE.format(wanted)}."


def ranges(versions: Sequence[str]) -> str:
    """``Python 3.6 to 3.9 and 3.11``."""
    minors = sorted(int(version.partition(".")[2]) for version in versions)
    runs: list[list[int]] = []
    for minor in minors:
        if runs and runs[-1][-1] == minor - 1:
            runs[-1].append(minor)
        else:
            runs.append([minor])
    parts = [f"3.{run[0]}" + (f" to 3.{run[-1]}" if len(run) > 1 else "") for run in runs]
    return "Python " + " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
