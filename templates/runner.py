"""The entry point of project images. What takes time is in modules whose bytecode is compiled."""

import os
import signal
import sys
from pathlib import Path


def _leave(number: int, _frame: object) -> None:
    """Until there is a program that a signal is for: a first process would not even notice one."""
    os._exit(128 + number)


for _signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    signal.signal(_signal, _leave)

_FOLDER = Path(__file__).parent
sys.path.insert(0, str(_FOLDER))

from container_backend.share.runner.main import main  # noqa: E402 found by the line above

sys.exit(main(sys.argv[1:], _FOLDER))
