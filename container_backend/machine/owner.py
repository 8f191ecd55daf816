"""Who finishes a run whose client is gone: the supervisor of the user who started it."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine.locks import make_private, open_private, state_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__package__)
_FILE = "owner"


def owner_id(environ: Mapping[str, str] = os.environ) -> str:
    """A name for this user on this machine, made once; that of the host's user in a container.

    It is a label of containers: several users, or machines, may share an engine.
    """
    if inherited := environ.get(ENV_OWNER):
        return inherited
    file = state_folder(environ) / _FILE
    with suppress(OSError):
        if found := file.read_text(encoding="ascii").strip():
            return found
    made = uuid.uuid4().hex
    try:
        make_private(file.parent)
        whole = file.with_name(f"{_FILE}.{made}")
        with open_private(whole, "xb") as opened:
            opened.write(made.encode())
        try:
            os.link(whole, file)  # fails where another process was first
        finally:
            whole.unlink()
    except FileExistsError:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        _logger.debug("No owner on record: %s", error)
    return made
