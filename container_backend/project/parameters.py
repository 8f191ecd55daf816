"""Parameters of an entry point: their types, and the values that callers give.

Part of project images: see :mod:`container_backend.project.entry_points`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# https://mlflow.org/docs/latest/ml/projects/#parameters, and those that people write anyway.
_TYPES: Final = {
    "string": "string",
    "str": "string",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "path": "path",
    "uri": "uri",
}
TYPES: Final = tuple(_TYPES)
_BOOLS: Final = {
    "true": "True", "1": "True", "yes": "True",
    "false": "False", "0": "False", "no": "False",
}  # fmt: skip
# How what is said of a path ends that names nothing.
NOT_THERE: Final = "which is not there"
# As `mlflow.data.is_uri`: a scheme, and something after it.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/{1,3}\S")
# Schemes have no case: https://www.rfc-editor.org/rfc/rfc3986#section-3.1
_FILE_SCHEME: Final = re.compile(r"file:", re.IGNORECASE)


@dataclass(frozen=True)
class Parameter:
    """A declared parameter. Without a default a value is required, as in MLflow.

    Attributes:
        name: As in the command's ``{name}``.
        type: As declared; one that is not known is treated as ``string``.
        default: As text, or None.
        description: For people.
    """

    name: str
    type: str = "string"
    default: str | None = None
    description: str = ""

    @property
    def kind(self) -> str:
        """``string``, ``int``, ``float``, ``bool``, ``path`` or ``uri``."""
        return _TYPES.get(self.type, "string")

    @property
    def is_known_type(self) -> bool:
        """Whether the type is one that is checked."""
        return self.type in _TYPES

    def read(self, text: str) -> str:
        """A value in the form that the program is handed.

        Whole numbers lose leading zeros and signs that say nothing; truth values become ``True``
        or ``False``; everything else stays as it is.

        Raises:
            ValueError: It is none of this type. The message is the second half of a sentence.
        """
        return _READERS[self.kind](text)


def read_pairs(given: Iterable[str]) -> dict[str, str]:
    """``name=value``, each name once.

    Raises:
        ValueError: One is not so written, or given twice.
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
    """Whether a value of type ``path`` is to be downloaded: an address, and no ``file://``."""
    return _URI.match(text) is not None and not _FILE_SCHEME.match(text)


def local_path(text: str, folder: Path | None = None) -> Path:
    """The absolute path of a local file or folder, by path or by ``file://`` address.

    Args:
        text: Path or address.
        folder: What it is relative to; the current folder by default.
    """
    path = Path(re.sub(r"^file:(//)?(?=/)", "", text, flags=re.IGNORECASE)).expanduser()
    return path.absolute() if folder is None else folder / path


def _int(text: str) -> str:
    try:
        return str(int(text))
    except ValueError:
        raise ValueError("needs a whole number") from None


def _float(text: str) -> str:
    try:
        float(text)
    except ValueError:
        raise ValueError("needs a number") from None
    return text.strip()


def _bool(text: str) -> str:
    try:
        return _BOOLS[text.strip().lower()]
    except KeyError:
        raise ValueError("needs true or false") from None


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
        raise ValueError(f"names '{path}', {NOT_THERE}")
    return str(path)


def _string(text: str) -> str:
    return text


_READERS: Final = {
    "string": _string, "int": _int, "float": _float, "bool": _bool, "path": _path, "uri": _uri,
}  # fmt: skip
