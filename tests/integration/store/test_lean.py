"""MLflow without the libraries for data, in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.store import new_store

# MLflow imports the plugins for stores while it is imported itself.
PLUGIN = """
import pandas
def store(store_uri, artifact_uri):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    return SqlAlchemyStore("sqlite://" + store_uri.partition(":")[2], "artifacts")
"""
PROGRAM = """
import sys
from container_backend.store import import_mlflow_lean
import_mlflow_lean()
import mlflow
client = mlflow.MlflowClient({uri!r}, registry_uri={registry!r})
run = client.create_run("0")
client.set_terminated(run.info.run_id)
print(client.get_run(run.info.run_id).info.status)
print(sorted({{"numpy", "pandas", "scipy"}} & set(sys.modules)))
print([each for each in sys.meta_path if "lean" in type(each).__module__])
import pandas
print(pandas.DataFrame({{"a": [1]}}).shape)
"""


@pytest.mark.parametrize(
    ("scheme", "imported"),
    [
        # MLflow's types need numpy.
        pytest.param("sqlite://", ["numpy"], marks=pytest.mark.slow),
        ("counted:", ["numpy", "pandas"]),
    ],
)
def test_mlflow_does_not_import_them_but_a_plugin_does(tmp_path, scheme, imported):
    (tmp_path / "counted.py").write_text(PLUGIN)
    metadata = tmp_path / "counted-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: counted\nVersion: 1\n")
    if scheme == "counted:":
        (metadata / "entry_points.txt").write_text("[mlflow.tracking_store]\ncounted=counted:store")
    registry = new_store(tmp_path)
    uri = scheme + registry.removeprefix("sqlite://")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(uri=uri, registry=registry)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"FINISHED\n{imported}\n[]\n(1, 1)\n", done.stderr


def test_a_package_with_constructors_of_datasets_is_not_warned_of(tmp_path):
    (tmp_path / "plug.py").write_text(
        "import mlflow.data.pandas_dataset\ndef from_plug(source=None): ...\n"
    )
    metadata = tmp_path / "plug-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[mlflow.dataset_constructor]\nfrom_plug=plug:from_plug"
    )
    program = (
        "from container_backend.store import import_mlflow_lean as lean; lean(); import mlflow.data"
    )
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "dataset constructor" not in done.stderr
