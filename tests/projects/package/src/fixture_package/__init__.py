"""Installed as editable: this very file is imported, where it is in the run."""

import six


def main() -> None:
    assert six.PY3
    assert __file__ == "/mlflow/projects/code/src/fixture_package/__init__.py", __file__
