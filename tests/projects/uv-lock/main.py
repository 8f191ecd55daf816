"""What the lock says, without the groups for development."""

from importlib.metadata import distributions

found = {distribution.metadata["Name"].lower() for distribution in distributions()}
assert found == {"six", "tabulate"}, found
