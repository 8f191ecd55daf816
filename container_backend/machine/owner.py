"""The owner of runs: a user on a machine, whose supervisor finishes runs whose client is gone."""

from __future__ import annotations

import logging
import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from container_backend.labels_and_tags import ENV_OWNER
from container_backend.machine.locks import make_private, state_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

_logger = logging.getLogger(__package__)


def owner_id(environ: Mapping[str, str] = os.environ) -> str:
    """The id of this user on this machine, generated once; in a container, that of the host's user.

    The id labels containers, because several users and machines may share an engine.
    """
    if inherited := environ.get(ENV_OWNER):
        return inherited
    file = state_folder(environ) / "owner"
    with suppress(OSError):
        if found := file.read_text(encoding="ascii").strip():
            return found
    made = uuid.uuid4().hex
    try:
        make_private(file.parent)
        whole = file.with_name(f"{file.name}.{made}")
        write_whole(whole, made)
        try:
            os.link(whole, file)  # fails if another process was first
        finally:
            whole.unlink()
    except FileExistsError:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        _logger.debug("The id of the owner cannot be stored: %s", error)
    return made
