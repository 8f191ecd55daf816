"""No environment file: an interpreter, and nothing installed."""

from importlib.metadata import distributions

assert not list(distributions())
