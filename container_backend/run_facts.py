"""A run of before → what is compared of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mlflow.utils import mlflow_tags

from container_backend import names
from container_backend.comparison import RunFacts
from container_backend.environment_record import FOLDER
from container_backend.errors import NotRepeatable
from container_backend.lock import read_lock
from container_backend.sbom import SBOM, packages_in

if TYPE_CHECKING:
    from container_backend.past_run import PastRun

_logger = logging.getLogger(__name__)

_OF_THE_SYSTEM: Final = "system/"


def facts_of(past: PastRun) -> RunFacts:
    """What is compared of a run. What it does not say is not known.

    Raises:
        TrackingUnreachable: The artifact store does not answer.
    """
    tags, data = past.tags, past.run.data
    try:
        environment = past.recorded.environment
        entry_point = past.recorded.entry_point
    except NotRepeatable:  # an older one
        environment, entry_point = None, tags.get(mlflow_tags.MLFLOW_PROJECT_ENTRY_POINT, "")
    return RunFacts(
        run_id=past.run_id,
        status=str(past.run.info.status),
        entry_point=entry_point,
        image=tags.get(names.TAG_IMAGE_DIGEST, ""),
        environment=tags.get(names.TAG_ENVIRONMENT_HASH, ""),
        base=environment.base.digest if environment else tags.get(names.TAG_BASE_DIGEST, ""),
        packages=_packages(past),
        code=tags.get(names.TAG_CODE_DIGEST, ""),
        commit=tags.get(mlflow_tags.MLFLOW_GIT_COMMIT, ""),
        parameters=dict(data.params),
        metrics={
            name: value
            for name, value in data.metrics.items()
            if not name.startswith(_OF_THE_SYSTEM)
        },
    )


def _packages(past: PastRun) -> dict[str, str] | None:
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
