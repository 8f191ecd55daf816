"""What MLflow takes if nothing is said: the store, the experiment, the user's name.

A process that has imported MLflow asks it, because a program can set these. Another process follows the
rules here, which saves the import: seconds. `tests/unit/store/test_defaults.py` compares them with MLflow.
"""

from __future__ import annotations

import getpass
import os
import posixpath
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from container_backend.container import absolute_uri
from container_backend.errors import InvalidProject

if TYPE_CHECKING:
    from collections.abc import Mapping

# Since 3.7 the default store is a database, unless there is a store in ./mlruns
# (mlflow.tracking._tracking_service.utils). What versions after the last do is not known.
_DATABASE_SINCE: Final = (3, 7)
_KNOWN_UNTIL: Final = (3, 17)
_DEFAULT_EXPERIMENT: Final = "0"
# What chooses another default experiment: plugins, and the notebooks of Databricks.
_CHOOSERS: Final = "mlflow.default_experiment_provider"
_DATABRICKS: Final = "DATABRICKS_RUNTIME_VERSION"
_EXPERIMENT_VARIABLES: Final = ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
# mlflow.utils.validation, for systems other than Windows.
_PARAMETER: Final = re.compile(r"^[/\w.\- :]*$")


@cache
def mlflow_version() -> str:
    """The version of MLflow that is installed."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return version("mlflow-skinny")


def default_address() -> str:
    """The absolute address of the store that MLflow uses in this process."""
    if "mlflow" not in sys.modules:
        if given := os.environ.get("MLFLOW_TRACKING_URI"):
            return absolute_uri(given)
        if (found := _unset_address()) is not None:
            return found
    import mlflow

    return absolute_uri(mlflow.get_tracking_uri())


def _unset_address() -> str | None:
    """The address if none is set; None if only MLflow knows."""
    folder = str(Path.cwd())
    installed = tuple(map(int, mlflow_version().split(".")[:2]))
    if installed > _KNOWN_UNTIL or quote(folder) != folder:
        return None
    found = Path("mlruns").glob("*/meta.yaml")
    if installed < _DATABASE_SINCE or any(each.parent.name.isdigit() for each in found):
        return f"file://{folder}/mlruns"
    return f"sqlite:///{folder}/mlflow.db"


def default_experiment() -> tuple[str | None, str | None]:
    """Id and name of the experiment that MLflow logs to in this process; it need not exist.

    The id is that of ``mlflow.set_experiment``; else both are those of the variables, which have to name the
    same one; else the id is what plugins choose, or 0.
    """
    if "mlflow" in sys.modules:
        from container_backend.store.client.mlflow_api import active_experiment_id

        if active := active_experiment_id():
            return active, None
    given, name = map(os.environ.get, _EXPERIMENT_VARIABLES)
    if given or name:
        return given or None, name or None
    if not _has_choosers() and not os.environ.get(_DATABRICKS):
        return _DEFAULT_EXPERIMENT, None
    from container_backend.store.client.mlflow_api import chosen_experiment_id

    return chosen_experiment_id(), None


@cache
def _has_choosers() -> bool:
    return bool(entry_points(group=_CHOOSERS))


def active_run_id() -> str | None:
    """The run that is active in this thread, if any."""
    if "mlflow" not in sys.modules:
        return None
    import mlflow

    active = mlflow.active_run()
    return None if active is None else str(active.info.run_id)


def user_name() -> str:
    """The user's name in MLflow; the number of a user without a name, as in many pods."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Check that MLflow can log the names of parameters.

    Raises:
        InvalidProject: MLflow refuses a name.
    """
    for name in parameters:
        where = f"The parameter '{name}' cannot be logged: "
        if not _PARAMETER.match(name):
            raise InvalidProject(
                f"{where}a name has only letters, digits, underscores, dashes, periods, spaces, "
                "colons and slashes."
            )
        plain = posixpath.normpath(name)
        if plain != name or plain == "." or plain.startswith(("..", "/")):
            raise InvalidProject(f"{where}a name with slashes is a relative path, as 'a/b' is.")
