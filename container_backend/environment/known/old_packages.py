"""What old versions of packages need of others, and do not say: the later versions came afterwards.

Each row was measured: the last version that fails with the newest release of the other package, and the first that
does not, on Python 3.11 in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.requirements import Requirement
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packaging.specifiers import SpecifierSet

# Which versions a range may allow.
_LATER_MAJORS: Final = 6
_LATER_MINORS: Final = 60
_LATEST_PATCH: Final = 99
_FAR: Final = "9999"


@dataclass(frozen=True)
class _Need:
    """A requirement that versions of a package below ``first_good`` have."""

    package: str
    first_good: str
    requirement: str


# The strictest first: for each of the other packages, the first row counts.
_NEEDS: Final = (
    # 1.27.0 fails: "module 'numpy' has no attribute", "cannot import name 'service' from 'google.protobuf'",
    # "cannot import name '_BindParamClause'". 1.28.0 declares them.
    _Need("mlflow", "1.28.0", "numpy<1.24"),
    _Need("mlflow", "1.28.0", "protobuf<4"),
    _Need("mlflow", "1.28.0", "sqlalchemy<2"),
    # 2.15.1 fails; pkg_resources was left out of setuptools 82.
    _Need("mlflow", "2.16.0", "setuptools<82"),
    # 3.8.1 fails: "cannot import name 'FallbackAsyncAdaptedQueuePool'", a pool that SQLAlchemy 2.1 lacks.
    _Need("mlflow", "3.9.0", "sqlalchemy<2.1"),
)


def unsaid_needs(wanted: Mapping[str, SpecifierSet]) -> dict[str, list[str]]:
    """Requirement that is old → requirements to add, ``mlflow==2.19.0`` → ``sqlalchemy<2.1``.

    What the project says itself counts: nothing is added for a package whose newest version it does not allow, or
    of which it asks for a newer one.

    Args:
        wanted: Canonical name → the versions that the project allows.
    """
    found: dict[str, list[str]] = {}
    named = set()
    for need in _NEEDS:
        specifier = wanted.get(need.package)
        if specifier is None or not _is_below(specifier, Version(need.first_good)):
            continue
        other = Requirement(need.requirement)
        if other.name in named or not _leaves_open(wanted.get(other.name), other.specifier):
            continue
        named.add(other.name)
        found.setdefault(f"{need.package}{specifier}", []).append(need.requirement)
    return found


def _is_below(specifier: SpecifierSet, limit: Version) -> bool:
    """True if no version from the limit on is allowed."""
    exact = [each.version for each in specifier if each.operator in {"==", "==="}]
    if exact and "*" not in exact[0]:
        return Version(exact[0]) < limit
    later = (
        Version(f"{limit.major + major}.{minor}.{patch}")
        for major in range(_LATER_MAJORS)
        for minor in range(_LATER_MINORS)
        for patch in (0, _LATEST_PATCH)
    )
    # A range may allow no others than these: `==3.11.1.*`, as conda's `mlflow=3.11.1` is, or `>3.11.1,<3.11.5`.
    edges = [Version(each.version.removesuffix(".*")) for each in specifier]
    after = [Version(f"{edge.major}.{edge.minor}.{edge.micro + 1}") for edge in edges]
    return not any(
        specifier.contains(version, prereleases=True)
        for version in (*edges, *after, *later)
        if version >= limit
    )


def _leaves_open(said: SpecifierSet | None, needed: SpecifierSet) -> bool:
    """True if the newest version is allowed, and none that is too new is asked for."""
    if said is None:
        return True
    least = [each.version for each in said if each.operator in {">=", ">"}]
    return said.contains(_FAR) and all(needed.contains(each, prereleases=True) for each in least)
