"""Parameters of an entry point, their types and values.

Part of project images: see :mod:`container_backend.project.entry_points`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_BOOLS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "1", "0"})
# The end of every message about a missing path.
MISSING: Final = "which does not exist"
HTTP: Final = ("http://", "https://")
# As `mlflow.data.is_uri`: a scheme, and at least one character.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,3}\S")
# Schemes ignore case: https://www.rfc-editor.org/rfc/rfc3986#section-3.1
_FILE_SCHEME: Final = re.compile(r"file:", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """A declared parameter.

    Attributes:
        type: The declared type; an unknown one is treated as ``string``.
        default: The default as text; None if a value is required.
        is_public: A default that is an address is downloaded from a public server only.
        folder: A default that is a relative path is of this folder; default: the current folder.
    """

    name: str
    type: str = "string"
    default: str | None = None
    description: str = ""
    is_public: bool = False
    folder: Path | None = None

    @property
    def located_default(self) -> str:
        """The default, with the absolute path of a file of :attr:`folder`."""
        default = self.default or ""
        if self.folder is None or self.type != "path" or not default or is_address(default):
            return default
        # The real path: engines take ``link/..`` for the folder of the link.
        return os.path.realpath(local_path(default, self.folder))

    def read(self, text: str) -> str:
        """Check a value; return what the program gets.

        A path becomes absolute. Any other value stays as it was typed, as in MLflow: a program may
        read ``007``, and ``0`` for a truth value.

        Raises:
            ValueError: The value has another type. The message is the second half of a sentence.
        """
        return _READERS.get(self.type, str)(text)


def read_pairs(given: Iterable[str]) -> dict[str, str]:
    """Read texts of the form ``name=value``.

    Raises:
        ValueError: A text has another form, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"'{text}': write it as name=value.")
        if name in pairs:
            raise ValueError(f"'{name}' is given twice.")
        pairs[name] = value
    return pairs


def is_address(text: str) -> bool:
    """True if a value of type ``path`` must be downloaded: an address other than ``file://``."""
    return _URI.match(text) is not None and not _FILE_SCHEME.match(text)


def without_file_scheme(text: str) -> str:
    """The path in a ``file://`` address; another text is returned unchanged."""
    return re.sub(r"^file:(//)?(?=/)", "", text, flags=re.IGNORECASE)


def local_path(text: str, folder: Path | None = None) -> Path:
    """The absolute path of a local file or folder.

    Args:
        text: A path or a ``file://`` address.
        folder: The folder of a relative path; default: the current folder.
    """
    path = Path(without_file_scheme(text)).expanduser()
    return path.absolute() if folder is None else folder / path


def _int(text: str) -> str:
    try:
        int(text)
    except ValueError:
        raise ValueError("needs a whole number") from None
    return text


def _float(text: str) -> str:
    try:
        float(text)
    except ValueError:
        raise ValueError("needs a number") from None
    return text


def _bool(text: str) -> str:
    if text.strip().lower() not in _BOOLS:
        raise ValueError("needs true or false")
    return text


def _uri(text: str) -> str:
    if not _URI.match(text):
        raise ValueError("needs an address (scheme://…)")
    return text


def _path(text: str) -> str:
    if not text:
        raise ValueError("needs a path")
    if is_address(text):
        return text
    path = local_path(text)
    if not path.exists():
        raise ValueError(f"names '{path}', {MISSING}")
    # In the container, the folder before a `..` may be missing; and engines take it by its name alone.
    return os.path.realpath(path) if ".." in path.parts else str(path)


# https://mlflow.org/docs/latest/ml/projects/#parameters, and what projects write instead.
_READERS: Final[Mapping[str, Callable[[str], str]]] = {
    "string": str, "str": str, "text": str, "int": _int, "integer": _int, "float": _float,
    "double": _float, "number": _float, "bool": _bool, "boolean": _bool, "path": _path, "uri": _uri,
}  # fmt: skip
TYPES: Final = tuple(_READERS)
