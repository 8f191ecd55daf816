"""The version of this package, from its metadata."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mlflow-container-backend")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
