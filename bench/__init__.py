"""Measurements against peers, in the same run on the same machine: ``python -m bench``."""
