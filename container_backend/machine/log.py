"""Log lines on a console, in the form of MLflow's log lines.

MLflow's own function is not used, because its import takes seconds.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

from container_backend.machine.text import harmless
from container_backend.masking import without_credentials

# mlflow.utils.logging_utils.LOGGING_LINE_FORMAT and LOGGING_DATETIME_FORMAT.
_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TIME: Final = "%Y/%m/%d %H:%M:%S"


class _StandardError:
    """The ``sys.stderr`` at the time of each write."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class MaskedFormatter(logging.Formatter):
    """Removes credentials from addresses in log lines, and what would move the cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(without_credentials(super().format(record)), kept="\n\t")


def is_shown(logger: logging.Logger) -> bool:
    """True if INFO lines go to this package's handler and to no handler of the application."""
    package = logging.getLogger("container_backend")
    ours = [handler for handler in package.handlers if _is_ours(handler)]
    return bool(ours) and len(ours) == len(package.handlers) and logger.isEnabledFor(logging.INFO)


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, _StandardError)


def configure_logging() -> None:
    """Log to the console, unless the application has a handler for this package."""
    logger = logging.getLogger("container_backend")
    if logger.handlers:
        return
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(MaskedFormatter(_LINE, _TIME))
    logger.addHandler(handler)
    logger.setLevel((os.environ.get("MLFLOW_LOGGING_LEVEL") or "INFO").upper())
    logger.propagate = False
