"""The supervisor as a process of its own, which is small."""

from __future__ import annotations

import sys

from container_backend import lean


def run_supervisor(url: str) -> None:
    """Be the supervisor of the engine at an address: that of the environment."""
    if not url.startswith("ssh://"):
        lean.leave_out_ssh()
    from container_backend.supervisor import main

    main()


if __name__ == "__main__":
    run_supervisor(sys.argv[1])
