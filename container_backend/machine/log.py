"""Log lines on a console, in the form of MLflow's own, so that both read as one tool.

MLflow's function for it is not used: importing it imports all of MLflow.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Final

from container_backend.masking import without_credentials

# mlflow.utils.logging_utils.LOGGING_LINE_FORMAT and LOGGING_DATETIME_FORMAT.
_LINE: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TIME: Final = "%Y/%m/%d %H:%M:%S"


class _StandardError:
    """Whatever ``sys.stderr`` is when something is written."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class MaskedFormatter(logging.Formatter):
    """Whatever is logged, at whatever level, has no credentials in its addresses."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


def is_shown(logger: logging.Logger) -> bool:
    """Whether information goes to the console in our form, and nowhere of the application's own."""
    package = logging.getLogger("container_backend")
    ours = [handler for handler in package.handlers if _is_ours(handler)]
    return bool(ours) and len(ours) == len(package.handlers) and logger.isEnabledFor(logging.INFO)


def _is_ours(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, _StandardError)


def configure_logging() -> None:
    """Log to the console, unless the application has set up logging for this package itself."""
    logger = logging.getLogger("container_backend")
    if logger.handlers:
        return
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(MaskedFormatter(_LINE, _TIME))
    logger.addHandler(handler)
    logger.setLevel((os.environ.get("MLFLOW_LOGGING_LEVEL") or "INFO").upper())
    logger.propagate = False
