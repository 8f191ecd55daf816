"""The entry point of project images. What takes time is in modules whose bytecode is compiled."""

import sys
from pathlib import Path

_FOLDER = Path(__file__).parent
sys.path.insert(0, str(_FOLDER))

from container_backend.runner.main import main  # noqa: E402 found by the line above

sys.exit(main(sys.argv[1:], _FOLDER))
