"""The owner of runs: a user on a machine, whose supervisor finishes runs whose client is gone."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from container_backend.labels_and_tags import ENV_OWNER, ENV_OWNER_KEY
from container_backend.machine.locks import make_private, state_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_logger = logging.getLogger(__package__)


def owner_id(environ: Mapping[str, str] = os.environ) -> str:
    """The id of this user on this machine, generated once; in a container, that of the host's user.

    The id labels containers, because several users and machines may share an engine.
    """
    return environ.get(ENV_OWNER) or _made_once("owner", lambda: uuid.uuid4().hex, environ)


def owner_key(environ: Mapping[str, str] = os.environ) -> str:
    """The key of this user's signatures, generated once; in a container as :func:`owner_id`.

    Empty if it cannot be stored, as on a full disk: then other processes could not check it.
    """
    made = environ.get(ENV_OWNER_KEY) or _made_once("key", secrets.token_hex, environ)
    return made if environ.get(ENV_OWNER_KEY) or _is_stored("key", environ) else ""


def sign(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """A signature that only processes of this user can make, in hex; empty without a key."""
    key = owner_key(environ)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest() if key else ""


def is_signature(text: str, signature: str, environ: Mapping[str, str] = os.environ) -> bool:
    """True for a signature of this user; without a key, for none."""
    return hmac.compare_digest(sign(text, environ).encode(), signature.encode())


def _is_stored(name: str, environ: Mapping[str, str]) -> bool:
    return (state_folder(environ) / name).is_file()


def _made_once(name: str, make: Callable[[], str], environ: Mapping[str, str]) -> str:
    """A word in a file of the state folder; a new one at each call if it cannot be stored."""
    file = state_folder(environ) / name
    try:
        return _made_in(file, make)
    except OSError as error:
        _logger.debug("The file %s cannot be stored: %s", file, error)
        return make()


def _made_in(file: Path, make: Callable[[], str]) -> str:
    """The word in a private file, the same for all processes: the first one has made it.

    Raises:
        OSError: The word cannot be stored.
    """
    with suppress(OSError):
        if found := file.read_text(encoding="ascii").strip():
            return found
    made = make()
    make_private(file.parent)
    whole = file.with_name(f"{file.name}.{uuid.uuid4().hex}")
    write_whole(whole, made)
    try:
        os.link(whole, file)  # fails if another process was first
    except FileExistsError:
        return file.read_text(encoding="ascii").strip()
    finally:
        whole.unlink()
    return made
