"""What the last words of a program mean; the words are MLflow's own."""

from __future__ import annotations

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from container_backend import labels_and_tags
from container_backend.container.described import RunContainer
from container_backend.engine import EngineHost
from container_backend.runs.ending.output_hints import explain
from tests.support.store import new_store

CONTAINER = RunContainer("id", "name", {labels_and_tags.LABEL_EXPERIMENT: "mine"}, {}, {}, "true")


def explained(text: str, container: RunContainer = CONTAINER) -> str | None:
    nowhere = EngineHost("unix:///never/asked.sock")
    return explain(text.encode(), nowhere, container)


@pytest.fixture
def clash(tmp_path, monkeypatch) -> str:
    """What MLflow says where a program calls ``mlflow.set_experiment`` in a run of another one."""
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    # MLflow sets it; afterwards it is what it was.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    mlflow.set_tracking_uri(new_store(tmp_path))
    try:
        run = mlflow.MlflowClient().create_run(mlflow.create_experiment("mine"))
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")  # MLflow never unsets it
        mlflow.set_experiment("another")
        with pytest.raises(MlflowException) as caught:
            mlflow.start_run()
        return str(caught.value)
    finally:
        mlflow.set_tracking_uri(None)


def test_the_clash_of_set_experiment_with_the_run_is_explained(clash):
    said = explained(f"Traceback …\nmlflow.exceptions.MlflowException: {clash}\n")
    assert "the program calls mlflow.set_experiment, but its run is in 'mine' already" in said
    assert "--experiment-name" in said


@pytest.mark.parametrize(
    "text",
    [
        "Detected out-of-date database schema (found version a, but expected b).",
        "alembic.util.exc.CommandError: Can't locate revision identified by 'a'",
    ],
)
def test_a_database_of_another_version_is_explained(text):
    said = explained(text)
    assert said.startswith("the MLflow of the image cannot read the tracking database")
    assert f"mlflow=={mlflow.__version__}" in said


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("OSError: libgomp.so.1: cannot open shared object file: No such file", ", libgomp1,"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file", ", libgl1,"),
        (
            "OSError: cannot load library 'libsndfile.so': libsndfile.so: cannot open shared object "
            "file: No such file",
            ", libsndfile1,",
        ),
        (
            "dot: error while loading shared libraries: libcairo.so.2: cannot open shared object file: "
            "No such file",
            ", libcairo2,",
        ),
        ("ImportError: failed to find libmagic.  Check your installation", ", libmagic1,"),
        ("ImportError: Unable to find zbar shared library", ", libzbar0,"),
        ('OSError: no library called "cairo-2" was found', ", libcairo2,"),
        (
            "ImportError: libfoo.so.7: cannot open shared object file: No such file",
            "its Debian package ",
        ),
    ],
)
def test_a_shared_library_that_is_missing_is_explained(text, package):
    said = explained(f"Traceback (most recent call last):\n{text} or directory\n")
    assert said.startswith("the image lacks the shared library lib")
    assert package in said
    assert "apt.txt" in said


IMPORT = """Traceback (most recent call last):
  File "/mlflow/projects/code/train.py", line 1, in <module>
    import mlflow
  File "/mlflow/environment/lib/python3.11/site-packages/mlflow/__init__.py", line 45, in <module>
    from mlflow import pipelines
  File "/mlflow/environment/lib/python3.11/site-packages/{}", line 7, in <module>
    from somewhere import something
{}
"""


@pytest.mark.parametrize(
    "error",
    [
        "ImportError: cannot import name 'FallbackAsyncAdaptedQueuePool' from 'sqlalchemy.pool' (x.py)",
        "AttributeError: module 'numpy' has no attribute 'object'.",
        "ModuleNotFoundError: No module named 'pkg_resources'",
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility.",
    ],
)
@pytest.mark.parametrize("file", ["mlflow/store/db/utils.py", "pandas/__init__.py"])
def test_an_old_mlflow_with_newer_packages_is_explained(file, error):
    said = explained(IMPORT.format(file, error))
    assert f"does not work with a newer version of another package ({error})" in said
    assert "exclude_newer" in said


def test_any_package_that_is_too_old_for_another_is_explained():
    said = explained(
        'Traceback (most recent call last):\n  File "/mlflow/projects/code/a.py", line 1, in <module>\n'
        "    import seaborn\n"
        '  File "/mlflow/environment/lib/python3.9/site-packages/seaborn/__init__.py", line 2, in <module>\n'
        "    from .rcmod import *\n"
        "AttributeError: module 'numpy' has no attribute 'float'.\nnp.float was a deprecated alias\n"
    )
    assert said.startswith(
        "seaborn of the image does not work with a newer version of another package"
    )
    own = 'Traceback …\n  File "/mlflow/projects/code/a.py", line 1, in <module>\n    import b\n'
    assert explained(f"{own}ImportError: cannot import name 'x' from 'b' (b.py)\n") is None
    assert "setuptools<82" in explained(
        f"{own}ModuleNotFoundError: No module named 'pkg_resources'\n"
    )


def test_a_package_that_the_project_forgot_is_not_mlflows_fault():
    error = "ModuleNotFoundError: No module named 'sklearn'"
    said = explained(IMPORT.format("mlflow/sklearn/__init__.py", error))
    assert said.startswith(
        "No module named 'sklearn', which neither its environment nor its project has"
    )


RUN = "6f181dcddf764e35bdcd15cf293d3744"


@pytest.mark.parametrize(
    ("text", "own", "is_explained"),
    [
        (f"mlflow.exceptions.MlflowException: Run with id={RUN} not found", "http://x:1", True),
        (f"mlflow.exceptions.MlflowException: Run '{RUN}' not found", "http://x:1", True),
        (f"Run with id={RUN.swapcase()} not found", "http://x:1", False),
        ("The filesystem tracking backend (e.g., './mlruns') is in maintenance", "http://x:1", True),
        ("API request to http://localhost:5000/api/2.0/mlflow/runs/get failed with exception "
         "HTTPConnectionPool(host='localhost', port=5000): … Connection refused", "http://x:1", True),
        ("API request to http://localhost:5000/api/2.0/mlflow/runs/get failed with exception "
         "HTTPConnectionPool(host='localhost', port=5000): … Connection refused",
         "http://localhost:5000", False),
    ],
)  # fmt: skip
def test_a_program_that_names_another_store_is_explained(text, own, is_explained):
    labels = {labels_and_tags.LABEL_RUN_ID: RUN}
    said = explained(
        text, RunContainer("id", "name", labels, {}, {"MLFLOW_TRACKING_URI": own}, "true")
    )
    assert (said is not None) is is_explained
    assert said is None or "names a tracking store that does not have its run" in said


@pytest.mark.parametrize(
    "text",
    [
        "bash: line 1: Rscript: command not found\n",
        "sh: 1: Rscript: not found",
        "first\nbash: line 3: Rscript: command not found\nlast\n",
    ],
)
def test_a_program_that_the_image_lacks_is_named(text):
    assert explained(text).startswith("the image has no program 'Rscript'. Put its Debian package")


@pytest.mark.parametrize("text", ["", "ValueError: no", "experiment ID does not match"])
def test_other_words_have_to_do(text):
    assert explained(text) is None
