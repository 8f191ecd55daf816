"""Reads a project's YAML files; refuses files that would exhaust memory or time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from container_backend.errors import InvalidInput

# A megabyte takes the parser seconds, and no person writes such a file.
_MOST_BYTES: Final = 512 * 1024
# The limit of nodes after expansion of aliases (`*name`).
_MOST_NODES: Final = 100_000
_MOST_DEPTH: Final = 64
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


def read_text(file: Path, error: type[InvalidInput], most_bytes: int = _MOST_BYTES) -> str:
    """Read a UTF-8 file; raises ``error`` if the file is too big, not UTF-8, or cannot be read."""
    try:
        size = file.stat().st_size
        if size > most_bytes:
            raise error(f"{file}: {size:,} bytes are too many; at most {most_bytes:,} are read.")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(f"{file}: not UTF-8 text.") from problem
    except OSError as problem:
        raise error(f"{file}: cannot be read: {problem.strerror}.") from problem


def kind_of(value: object) -> str:
    """The kind of a YAML value, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return f"'{value}'"


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
