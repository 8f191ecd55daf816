"""Requests about images of an engine and of registries."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine.api import asking, sending
from container_backend.engine.logins import as_header
from container_backend.engine.sdk import parse_repository_tag
from container_backend.errors import NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from _typeshed import SupportsRead

    from container_backend.engine.api import Connection
    from container_backend.engine.logins import Login

_CHUNK_BYTES: Final = 1024 * 1024
_BUILD_CHUNK_BYTES: Final = 64 * 1024
_CANCEL_SECONDS: Final = 10
_USAGE_IS_ASKED: Final = "disk usage operation is already running"
_USAGE_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 0.2


class Images:
    """The images of an engine, by id or name; methods raise the errors of :class:`Containers`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._api = connection.questions

    @asking()
    def inspect(self, image: str) -> dict[str, Any]:
        return dict(self._api.inspect_image(image))

    def has(self, image: str) -> bool:
        try:
            self.inspect(image)
        except NotThere:
            return False
        return True

    @asking()
    def find(self, *labels: str) -> list[dict[str, Any]]:
        """Summaries of the images that have all these labels: ``name`` or ``name=value``."""
        return [dict(each) for each in self._api.images(filters={"label": [*labels]})]

    def disk_usage(self) -> list[dict[str, Any]]:
        """Summaries of all images, with size and number of containers; slow.

        Engine 20.10 refuses a second request at the same time, and any engine may fail if an image
        is removed meanwhile. Both are tried again for a minute.
        """
        end = time.monotonic() + _USAGE_SECONDS
        while True:
            try:
                with asking():
                    return [dict(each) for each in self._connection.streams.df()["Images"] or []]
            except Refused as error:
                is_brief = isinstance(error, NotThere) or _USAGE_IS_ASKED in error.message
                if not is_brief or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    @asking()
    def tag(self, image: str, reference: str) -> None:
        self._api.tag(image, *_split(reference))

    @asking()
    def remove(self, image: str, *, force: bool = False, prune: bool = True) -> None:
        """Remove a name of an image, and the image with its last name.

        Args:
            image: A name, or an id for all names.
            force: Remove an image with several names or with an ended container.
            prune: Remove also nameless parent images.
        """
        self._api.remove_image(image, force=force, noprune=not prune)

    def pull(self, reference: str, login: Login | None) -> Iterator[dict[str, Any]]:
        """Pull an image; yields the engine's messages, also its errors."""
        return self._transfer("pull", reference, login)

    def push(self, reference: str, login: Login | None) -> Iterator[dict[str, Any]]:
        """Push an image; yields the engine's messages, also its errors."""
        return self._transfer("push", reference, login)

    @asking()
    def registry_digest(self, reference: str, login: Login | None) -> str:
        """The digest of an image in a registry: ``sha256:…``.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Distribution
        """
        told = self._api.inspect_distribution(reference, auth_config=as_header(login))
        return str(told["Descriptor"]["digest"])

    def save(self, references: Sequence[str]) -> Iterator[bytes]:
        """A tar of several images, with shared layers only once.

        The SDK's method takes one image only:
        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageGetAll
        """
        with asking():
            response = self._connection.get_stream("/images/get", query={"names": list(references)})
            with response:
                yield from response.iter_content(_CHUNK_BYTES)

    @asking()
    def history(self, image: str) -> list[dict[str, Any]]:
        """The steps that made an image, the last one first.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageHistory
        """
        return [dict(each) for each in self._api.history(image)]

    def load(self, packed: SupportsRead[bytes]) -> Iterator[dict[str, Any]]:
        """Load the images of a tar; yields the engine's messages, also its errors."""
        with sending(packed) as file:
            yield from self._connection.streams.load_image(file)

    @contextmanager
    def build(self, context: Iterable[bytes], **parameters: object) -> Iterator[Iterator[bytes]]:
        """Build an image; the context manager returns the engine's messages, cut anywhere.

        Args:
            context: The build context, a tar in pieces. Its errors are not translated.
            parameters: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild
        """
        with asking():
            response = self._connection.post_tar("/build", context, parameters)
        with response:
            yield _pieces(response.raw.stream(_BUILD_CHUNK_BYTES, decode_content=True))

    @asking()
    def cancel_build(self, build_id: str) -> None:
        """Stop a BuildKit build at once, as the docker command does when interrupted."""
        self._connection.post("/build/cancel", {"id": build_id}, _CANCEL_SECONDS)

    def _transfer(self, verb: str, reference: str, login: Login | None) -> Iterator[dict[str, Any]]:
        name, tag = _split(reference)
        call = getattr(self._connection.streams, verb)
        with asking():
            yield from call(name, tag=tag, auth_config=as_header(login), stream=True, decode=True)


def _pieces(sent: Iterable[bytes]) -> Iterator[bytes]:
    with asking():
        yield from sent


def with_tag(reference: str) -> str:
    """The reference, with ``:latest`` if it has neither tag nor digest."""
    return reference if parse_repository_tag(reference)[1] else f"{reference}:latest"


def _split(reference: str) -> tuple[str, str]:
    """The name, and the tag or digest."""
    name, tag = parse_repository_tag(reference)
    return name, tag or "latest"
