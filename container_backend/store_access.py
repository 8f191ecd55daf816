"""How to reach the store of a run from this machine, as whoever started it did."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from container_backend.tracking import ACCESS_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRACKING_URI = "MLFLOW_TRACKING_URI"


def store_address(tracking_uri: str, environment: Mapping[str, str]) -> str:
    """A run's tracking address with the user and password that its container was given.

    Args:
        tracking_uri: As in the container's label, without them.
        environment: The container's.
    """
    user = urlsplit(environment.get(_TRACKING_URI, "")).netloc.rpartition("@")[0]
    parts = urlsplit(tracking_uri)
    if not user or not parts.netloc:
        return tracking_uri
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc}"))


def store_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container with which MLflow's client logs in."""
    return {name: environment[name] for name in ACCESS_VARIABLES if environment.get(name)}
