"""``docker_env`` of an MLproject file → a ready image.

https://mlflow.org/docs/latest/ml/projects/#docker-container-environments
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from container_backend.config import is_image_reference
from container_backend.environment.declared import DockerEnvironment, warn_of_unknown_keys
from container_backend.errors import InvalidEnvironment
from container_backend.machine import kind_of

_KEYS: Final = ("image", "volumes", "environment")
_EXAMPLE: Final = "Write 'docker_env: {image: NAME}', with the name of an image."
_VARIABLE: Final = re.compile(r"[^=\0]+")
# MLflow's own backend leaves volumes to a shell in the project's folder.
_HERE: Final = re.compile(r"(\$\(pwd\)|`pwd`|\$PWD|\$\{PWD\})(?=[/:])")


def read_docker_env(where: str, value: object) -> DockerEnvironment:
    """Read the value of the key ``docker_env``; ``where`` is file and key, for messages."""
    if not isinstance(value, Mapping):
        about = (
            "A Dockerfile is not built: build it yourself and name the image. "
            if "dockerfile" in str(value).lower()
            else ""
        )
        raise InvalidEnvironment(
            f"{where}: a mapping with 'image' is needed, not {kind_of(value)}.",
            remedy=about + _EXAMPLE,
        )
    warn_of_unknown_keys(where, value, _KEYS)
    image = value.get("image")
    if not isinstance(image, str) or not is_image_reference(image):
        raise InvalidEnvironment(
            f"{where}, key 'image': {kind_of(image)} is not the name of an image.", remedy=_EXAMPLE
        )
    return DockerEnvironment(
        image,
        where,
        tuple(_volume(where, item) for item in _list(where, value, "volumes")),
        tuple(_variable(where, item) for item in _list(where, value, "environment")),
    )


def _list(where: str, mapping: Mapping[Any, object], key: str) -> list[object]:
    value = mapping.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidEnvironment(f"{where}, key '{key}': a list is needed, not {kind_of(value)}.")
    return value


def _volume(where: str, item: object) -> str:
    if isinstance(item, str) and re.fullmatch(r"[^:]+:/[^:]*(:[a-z,]+)?", item):
        here = _HERE.match(item)
        return f".{item[here.end() :]}" if here else item
    raise InvalidEnvironment(
        f"{where}, key 'volumes': {kind_of(item)} is not '/folder/here:/folder/in/container'."
    )


def _variable(where: str, item: object) -> str:
    match item:
        case str(name) if _VARIABLE.fullmatch(name):
            return name
        case [str(name), value] if _VARIABLE.fullmatch(name):
            return f"{name}={value}"
    raise InvalidEnvironment(
        f'{where}, key \'environment\': {kind_of(item)} is not "NAME" or ["NAME", "value"].'
    )
