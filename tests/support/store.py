"""An empty tracking store, made once for each version of MLflow and copied: to make one takes seconds."""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
import tempfile
import threading
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

from tests.support.projects import ROOT

_making = threading.Lock()


def copy_empty_store(file: Path, artifacts: str) -> None:
    """Have an empty store in a file, in place of the one that is there: processes may have it open.

    Args:
        file: The database; its folder exists.
        artifacts: Where the default experiment keeps its artifacts.
    """
    with _making:  # threads that ask at once share the one that is made
        empty = _empty_store()
    with (
        contextlib.closing(sqlite3.connect(empty)) as source,
        contextlib.closing(sqlite3.connect(file, timeout=60)) as connection,
    ):
        source.backup(connection)
        with connection:
            connection.execute("UPDATE experiments SET artifact_location = ?", [artifacts])


def new_store(folder: Path) -> str:
    """The address of an empty store of its own in a folder, with artifacts beside it."""
    copy_empty_store(folder / "mlflow.db", f"{folder}/mlruns/0")
    return f"sqlite:///{folder}/mlflow.db"


def files_left(folder: Path) -> set[str]:
    """The files of a default store and of its artifacts, without the ids of runs and models in them."""
    found = set()
    for file in folder.rglob("*"):
        if file.is_file():
            name = re.sub(r"m-[0-9a-f]{32}", "MODEL", str(file.relative_to(folder)))
            found.add(re.sub(r"[0-9a-f]{32}", "RUN", name))
    return found


@functools.cache
def _empty_store() -> Path:
    kept = ROOT / ".pytest_cache" / f"empty-store-{mlflow.__version__}.db"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
            Path(folder, "mlflow.db").replace(kept)  # workers may make it at the same time
    return kept
