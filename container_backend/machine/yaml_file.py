"""Reads a project's YAML files; refuses files that would exhaust memory or time."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from container_backend.machine.text import shortened

if TYPE_CHECKING:
    from container_backend.errors import InvalidInput

# A megabyte takes the parser seconds, and no person writes such a file.
_MOST_BYTES: Final = 512 * 1024
# The limit of nodes after expansion of aliases (`*name`).
_MOST_NODES: Final = 100_000
_MOST_DEPTH: Final = 64
# Of a value in a message, in characters.
_MOST_SHOWN: Final = 60
# The longer marks first: that of UTF-32 begins as that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_CODING: Final = re.compile(rb"coding[:=]\s*([-\w.]+)")
# Of texts; Python knows others, which take their time, or make other things of a file.
_ENCODINGS: Final = re.compile(
    r"utf-?8|latin-?1|iso-?8859-?\d+|cp125\d|windows-125\d|shift-jis|euc-(jp|kr)|gbk?|gb2312|gb18030|big5|koi8-[ru]"
)
# Both loaders build plain values only; the loaders in C are ten times as fast.
_SAFE_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BASE_LOADER: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def load_mapping(
    file: Path, error: type[InvalidInput], *, texts_only: bool = False
) -> tuple[dict[str, Any], yaml.MappingNode | None]:
    """Read a file that contains a mapping; an empty file is an empty mapping.

    Args:
        error: Raised with the file, the line and the reason.
        texts_only: Read every scalar as text: ``3.10`` is a version, not the number 3.1.

    Returns:
        The content, and its YAML node, which has the line numbers.
    """
    text = read_text(file, error)
    try:
        if _depth(text) > _MOST_DEPTH:
            raise error(f"{file}: nested too deeply.")
        loader = (_BASE_LOADER if texts_only else _SAFE_LOADER)(text)
        node = loader.get_single_node()
        if node is not None and _expanded_size(node, {}, set()) > _MOST_NODES:
            raise error(
                f"{file}: its aliases (*name) repeat or contain themselves without end.",
                remedy="Replace the aliases with their values.",
            )
        content = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as problem:
        raise error(f"{file}: not YAML: {_describe(problem)}.") from problem
    if content in (None, ""):
        return {}, None
    if not isinstance(content, dict):
        raise error(f"{file}: a mapping (key: value) is needed, not {kind_of(content)}.")
    return content, node if isinstance(node, yaml.MappingNode) else None


def read_text(
    file: Path,
    error: type[InvalidInput],
    most_bytes: int = _MOST_BYTES,
    *,
    by_comment: bool = False,
) -> str:
    """Read a file of text, with the line ends of this machine.

    A byte order mark says the encoding, as in what PowerShell's ``>`` writes; else the text is UTF-8.
    These are pip's rules, and conda's.
    https://pip.pypa.io/en/stable/reference/requirements-file-format/#encoding

    Args:
        by_comment: A line like ``# coding: latin-1`` says the encoding, too, as for pip.

    Raises:
        InvalidInput: As ``error``: the file is too big, in another encoding, or cannot be read.
    """
    try:
        size = file.stat().st_size
        if size > most_bytes:
            raise error(f"{file}: {size:,} bytes are too many; at most {most_bytes:,} are read.")
        data = file.read_bytes()
    except OSError as problem:
        raise error(f"{file}: cannot be read: {problem.strerror}.") from problem
    encoding = _encoding_of(data, by_comment=by_comment)
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeError as problem:
        raise error(f"{file}: not {encoding.upper()} text.") from problem
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding_of(data: bytes, *, by_comment: bool) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    for line in data.split(b"\n", 2)[:2] if by_comment else ():
        if line.startswith(b"#") and (found := _CODING.search(line)):
            named = found[1].decode("ascii").lower().replace("_", "-")
            return named if _ENCODINGS.fullmatch(named) else "utf-8"
    return "utf-8"


def named_path(text: str, folder: Path, error: type[InvalidInput], where: str) -> Path:
    """The place that a text of a project names, with links resolved; nothing may be there.

    Args:
        where: File and key or line, for the message.

    Raises:
        InvalidInput: As ``error``: no file can have this name.
    """
    try:
        path = Path(os.path.realpath(folder / text))
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as problem:  # too long, a loop of links, a NUL character
        raise error(f"{where}: '{shortened(text)}' is not the name of a file.") from problem
    return path


def kind_of(value: object) -> str:
    """The kind of a YAML value, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = str(value)
    return f"'{text}'" if len(text) <= _MOST_SHOWN else f"'{text[:_MOST_SHOWN]}…'"


def _depth(text: str) -> int:
    """The nesting of lists and mappings, measured without recursion."""
    deepest = depth = 0
    for event in yaml.parse(text, Loader=_SAFE_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            deepest = max(deepest, depth)
            if deepest > _MOST_DEPTH:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return deepest


def _describe(error: yaml.YAMLError) -> str:
    """A YAML error in one line: ``line 3, column 7: mapping values are not allowed here``."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


def _expanded_size(node: yaml.Node, known: dict[int, int], above: set[int]) -> int:
    """The number of nodes after expansion of aliases."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in above:
        return _MOST_NODES + 1  # an alias that contains itself
    if id(node) not in known:
        is_mapping = isinstance(node, yaml.MappingNode)
        inside = [part for pair in node.value for part in pair] if is_mapping else node.value
        below = above | {id(node)}
        known[id(node)] = 1 + sum(_expanded_size(part, known, below) for part in inside)
    return known[id(node)]
