"""``python -m container_backend``: the command where its script is not on the path."""

from __future__ import annotations

from container_backend.cli import run_program

if __name__ == "__main__":
    run_program()
