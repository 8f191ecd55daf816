"""Names of images: what they may be, and what is in them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container_backend.config import is_image_reference
from container_backend.errors import InvalidConfig, InvalidProject
from container_backend.names import IMAGE_REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Mapping

# What an image is called where a project's address is asked for.
IMAGE_SCHEME: Final = "docker://"
_OURS: Final = IMAGE_REPOSITORY.partition("/")[0] + "/"
# https://github.com/distribution/reference: without the tag.
_MOST_CHARACTERS: Final = 255


def check_tag(text: str) -> str:
    """The name that an image is to have.

    Raises:
        InvalidConfig: It is not a name, or one that environments have.
    """
    if not is_image_reference(text) or "@" in text or len(repository_of(text)) > _MOST_CHARACTERS:
        raise InvalidConfig(
            f"'{text}' is not a name that an image can have.",
            remedy="One looks like 'registry.example:5000/team/salary:1.0', in small letters.",
        )
    if text.startswith(_OURS):
        raise InvalidConfig(
            f"'{text}': names that begin with '{_OURS}' are those of environment images.",
            remedy="Choose another one.",
        )
    return text


def is_image_address(uri: str) -> bool:
    """Whether a project's address is that of an image."""
    return uri.startswith(IMAGE_SCHEME)


def reference_of(uri: str) -> str:
    """The image that ``docker://…`` names.

    Raises:
        InvalidProject: It is not the name of an image.
    """
    reference = uri[len(IMAGE_SCHEME) :]
    if not is_image_reference(reference):
        raise InvalidProject(
            f"'{uri}' is not the address of an image.",
            remedy=f"One looks like '{IMAGE_SCHEME}registry.example/team/salary:1.0'.",
        )
    return reference


def repository_of(reference: str) -> str:
    """The name without tag and digest, and without what stands for Docker Hub."""
    name = reference.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    name = head + slash + tail.partition(":")[0]
    return name.removeprefix("docker.io/").removeprefix("library/")


def tag_of(reference: str) -> str:
    """The tag; empty for none."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[2]


def registry_digest(reference: str, inspected: Mapping[str, Any]) -> str:
    """The digest of an image in a registry, that of its own repository first; empty for none.

    Args:
        reference: What it is called.
        inspected: What the engine says of it.
    """
    found = [str(entry).partition("@") for entry in inspected.get("RepoDigests") or []]
    for repository, _, digest in found:
        if repository_of(repository) == repository_of(reference):
            return digest
    return found[0][2] if found else ""
