"""Packages of conda, taken from the Python index."""

from importlib.metadata import distributions

found = {
    distribution.metadata["Name"].lower(): distribution.version for distribution in distributions()
}
assert set(found) == {"pip", "six", "tabulate"}, found
assert found["tabulate"].startswith("0.9")
