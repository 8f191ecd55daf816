"""``python -m container_backend``: the command ``container-backend`` without its script."""

from __future__ import annotations

from container_backend.cli import run_program

if __name__ == "__main__":
    run_program()
