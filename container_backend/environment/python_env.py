"""``python_env.yaml`` → an environment.

The keys are MLflow's: https://mlflow.org/docs/latest/ml/projects/#virtualenv-environments
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import yaml

from container_backend.environment.declared import (
    PYTHON_VERSION,
    Declared,
    Line,
    is_list_of_texts,
    refuse_unknown_keys,
)
from container_backend.errors import InvalidEnvironment
from container_backend.machine import load_mapping

if TYPE_CHECKING:
    from pathlib import Path

_KEYS: Final = ("python", "build_dependencies", "dependencies")


def read_python_env(file: Path, _root: Path) -> Declared:
    """Read a ``python_env.yaml``."""
    content, node = load_mapping(file, InvalidEnvironment, texts_only=True)
    refuse_unknown_keys(file, content, _KEYS)
    numbers = line_numbers(node)
    lines: list[Line] = []
    for key in ("build_dependencies", "dependencies"):
        items = content.get(key) or []
        if not is_list_of_texts(items):
            raise InvalidEnvironment(f"{file}, key '{key}': a list of requirements is needed.")
        lines += [
            Line(item, file, number)
            for item, number in zip(items, numbers.get(key, []), strict=True)
        ]
    python = content.get("python") or None
    if python is not None and (not isinstance(python, str) or not PYTHON_VERSION.fullmatch(python)):
        raise InvalidEnvironment(
            f"{file}, key 'python': '{python}' is not a Python version.",
            remedy="Write one like '3.11' or '3.11.7'.",
        )
    return Declared(tuple(lines), python, str(file))


def line_numbers(node: yaml.MappingNode | None) -> dict[str, list[int]]:
    """Key → the line number of each item of its list."""
    if node is None:
        return {}
    return {
        str(key.value): [item.start_mark.line + 1 for item in value.value]
        for key, value in node.value
        if isinstance(value, yaml.SequenceNode)
    }
