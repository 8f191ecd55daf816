"""Packages of the project itself: one editable, one not."""

import fixture_editable
import fixture_lib
import six

assert six.PY3
assert fixture_editable.__file__.startswith("/mlflow/projects/code/editable/")
assert fixture_lib.__file__.startswith("/mlflow/environment/"), fixture_lib.__file__
