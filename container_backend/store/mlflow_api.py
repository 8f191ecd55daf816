"""All undocumented parts of MLflow that this package uses.

The tests of this module run with the oldest and the newest MLflow (scripts/test-matrix). MLflow 3.1
to 3.17 have the same parts in the same places, except where a comment says otherwise.
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
    """The artifact repository at an address.

    ``TrackingServiceClient._get_artifact_repo`` would read the whole run to find the address.

    Raises:
        Exception: An error of the artifact store.
    """
    address = add_databricks_profile_info_to_artifact_uri(artifact_uri, tracking_uri)
    # MLflow 3.1 lacks the parameter, and takes the tracking store of the environment.
    if "tracking_uri" in inspect.signature(get_artifact_repository).parameters:
        return get_artifact_repository(address, tracking_uri=tracking_uri)
    return get_artifact_repository(address)


def check_parameter_name(name: str) -> None:
    """Check a name as MLflow does.

    Raises:
        MlflowException: The message names the allowed characters.
    """
    _validate_param_name(name)


def default_experiment_id() -> str:
    """From ``mlflow.set_experiment``, ``MLFLOW_EXPERIMENT_ID`` or ``MLFLOW_EXPERIMENT_NAME``."""
    return str(_get_experiment_id())


def is_missing(error: MlflowException) -> bool:
    """True if the store has no such run or experiment."""
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def user_name() -> str:
    """The name of the user in MLflow.

    Raises:
        KeyError: The user has no name, as in many pods; Python 3.13 and later raise OSError.
    """
    return str(_get_user())
