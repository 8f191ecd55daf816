"""What this package uses of MLflow beside its documented interface: all of it, and nowhere else.

The tests of this module run with the oldest and the newest MLflow (scripts/test-matrix). Where a
function is, is the same from MLflow 3.1 to 3.17, unless it is said here.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from mlflow.projects.submitted_run import SubmittedRun
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.context.default_context import _get_user
from mlflow.tracking.fluent import _get_experiment_id
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri
from mlflow.utils.validation import _validate_param_name
from mlflow.version import VERSION as MLFLOW_VERSION

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = ["MLFLOW_VERSION", "SubmittedRun"]


def artifact_repository(artifact_uri: str, tracking_uri: str) -> ArtifactRepository:
    """As ``TrackingServiceClient._get_artifact_repo``, which reads the whole run for its address.

    Raises:
        Exception: Of each artifact store's own kind.
    """
    address = add_databricks_profile_info_to_artifact_uri(artifact_uri, tracking_uri)
    # MLflow 3.1 has no such parameter: its repositories ask the store of the environment.
    if "tracking_uri" in inspect.signature(get_artifact_repository).parameters:
        return get_artifact_repository(address, tracking_uri=tracking_uri)
    return get_artifact_repository(address)


def check_parameter_name(name: str) -> None:
    """Raise what MLflow raises for a name that it does not log.

    Raises:
        MlflowException: The message says which characters are allowed.
    """
    _validate_param_name(name)


def default_experiment_id() -> str:
    """Of ``mlflow.set_experiment``, ``MLFLOW_EXPERIMENT_ID`` or ``MLFLOW_EXPERIMENT_NAME``."""
    return str(_get_experiment_id())


def is_missing(error: MlflowException) -> bool:
    """True if a store says that it has no such run or experiment."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def user_name() -> str:
    """The name that MLflow gives a run's user.

    Raises:
        KeyError: The user has none, as in many pods; Python 3.13 and later raise OSError.
    """
    return str(_get_user())
