"""A tool that only conda has, and a package of the Python index in the same environment."""

import sys

import six

assert sys.prefix == "/mlflow/environment", sys.prefix
assert six.__file__.startswith("/mlflow/environment/lib/python3.11/site-packages/"), six.__file__
