"""Requests to an engine through the Docker SDK, whose private parts and errors end in this module."""

from __future__ import annotations

import http.client
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import docker
import requests.exceptions
import urllib3.exceptions
from docker.errors import APIError, DockerException, NotFound

from container_backend.errors import EngineUnavailable, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from _typeshed import SupportsRead

    from container_backend.engine.host import EngineHost

# BuildKit answers `POST /build?version=2` since API 1.39, and its session since 1.39 as well.
# https://docs.docker.com/reference/api/engine/version-history/#v139-api-changes
MINIMUM_API_VERSION: Final = (1, 39)
REQUEST_TIMEOUT_SECONDS: Final = 120
_TAR: Final = "application/x-tar"
_CHUNK_BYTES: Final = 1024 * 1024
# Headers of the answer to a ping that tell engines apart.
_GREETING: Final = ("Server", "Api-Version", "Builder-Version", "OSType")
_SILENCE: Final = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
# What a connection raises that breaks. Most kinds of `requests` are kinds of OSError.
_LOSSES: Final = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)
# What an engine says, with status 500, of an image that is removed while it works with it.
# https://github.com/moby/moby/blob/v20.10.24/image/store.go and layer/layer.go
_REMOVED_MEANWHILE: Final = re.compile(
    r"unrecognized image ID|unknown parent image ID|layer does not exist"
)


class Silent(EngineUnavailable):
    """The engine sent nothing for longer than the request allows."""


@contextmanager
def asking() -> Iterator[None]:
    """Raise the errors of a request as ours. No local file may be read or written meanwhile.

    Raises:
        NotThere: The engine answered 404, or the image was removed while it worked with it.
        Refused: It answered with another error.
        EngineUnavailable: It did not answer, or the connection broke.
    """
    try:
        yield
    except APIError as error:  # a kind of OSError, as all of `requests`
        message = str(error.explanation or error).strip()
        is_gone = isinstance(error, NotFound) or says_removed(message)
        raise (NotThere if is_gone else Refused)(message, error.status_code or 0) from error
    except _SILENCE as error:
        raise Silent(f"The engine does not answer: {reason_of(error)}") from error
    except _LOSSES as error:
        raise EngineUnavailable(f"The engine does not answer: {reason_of(error)}") from error
    except DockerException as error:
        raise Refused(str(error)) from error


def says_removed(message: str) -> bool:
    """Whether an engine says that an image was removed while the engine worked with the image."""
    return _REMOVED_MEANWHILE.search(message) is not None


class _Sent:
    """A local file on its way to an engine, which takes note of what goes wrong with the file."""

    def __init__(self, file: SupportsRead[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 of the file: requests asks for its size
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_CHUNK_BYTES), b"")

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            self.error = error
            raise


@contextmanager
def sending(file: SupportsRead[bytes]) -> Iterator[_Sent]:
    """As :func:`asking`, while a local file is sent.

    Raises:
        OSError: The file cannot be read; libraries would say that of the connection.
    """
    sent = _Sent(file)
    try:
        with asking():
            yield sent
    except EngineUnavailable as error:
        if sent.error is not None:
            raise sent.error from error
        raise


def reason_of(error: BaseException) -> str:
    """The innermost cause: what the operating system said, without the wrapping of libraries."""
    seen: BaseException = error
    while (cause := seen.__cause__ or seen.__context__) is not None and cause is not seen:
        seen = cause
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen) or type(seen).__name__


class Connection:
    """Two clients of one engine; its methods make requests that the SDK has no name for.

    Attributes:
        host: The engine.
        questions: For what is answered at once: a read timeout applies.
        streams: For what may be silent for hours: logs, waits, builds.
        api_version: Of the engine, once it is known.
    """

    def __init__(self, host: EngineHost) -> None:
        """Ask nothing yet.

        Raises:
            DockerException: The address or its certificates cannot be used.
        """
        self.host = host
        self.questions: Any = _client(host, REQUEST_TIMEOUT_SECONDS)
        self.streams: Any = _client(host, None)

    @property
    def api_version(self) -> str:
        """The version of the API that requests are sent with."""
        return str(self.questions._version)

    def speak(self, api_version: str) -> None:
        """Use the engine's version of the API; the SDK would ask for it once more."""
        self.questions._version = self.streams._version = api_version

    def greeting(self) -> tuple[str, ...]:
        """What tells this engine from another one at the same address.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemPing
        """
        api = self.questions
        response = api._get(api._url("/_ping", versioned_api=False))
        api._raise_for_status(response)
        return tuple(response.headers.get(name, "") for name in _GREETING)

    def get(self, path: str, *words: str, query: Mapping[str, object]) -> Any:  # noqa: ANN401 JSON
        """The answer to a question.

        Args:
            path: Below the API's version, with ``{0}`` for the first of the words.
            words: Quoted, and put into the path.
            query: What is None in it is left out.
        """
        api = self.questions
        return api._result(api._get(api._url(path, *words), params=query), json=True)

    def has(self, path: str, *words: str, query: Mapping[str, object]) -> bool:
        """Whether ``HEAD`` is answered well; see :meth:`get`."""
        api = self.questions
        return bool(api.head(api._url(path, *words), params=query, timeout=api.timeout).ok)

    def get_stream(
        self,
        path: str,
        *words: str,
        query: Mapping[str, object],
        timeout: tuple[float, float] | None = None,
    ) -> requests.Response:
        """An answer to be read as it comes; see :meth:`get`.

        Args:
            path: As for :meth:`get`.
            words: As for :meth:`get`.
            query: As for :meth:`get`.
            timeout: Seconds to connect, and seconds without a byte; None for no limit.
        """
        api = self.streams
        response = api._get(api._url(path, *words), params=query, stream=True, timeout=timeout)
        return _checked(api, response)

    def post_tar(
        self, path: str, content: Iterable[bytes], query: Mapping[str, object]
    ) -> requests.Response:
        """Send a tar piece by piece, and have the answer to be read as it comes; see :meth:`get`."""
        api, url, headers = self.streams, self.streams._url(path), {"Content-Type": _TAR}
        response = api._post(url, data=content, params=query, headers=headers, stream=True)
        return _checked(api, response)

    def post(self, path: str, query: Mapping[str, object], timeout: float) -> None:
        """Send a request without content, whose answer does not matter; see :meth:`get`."""
        api = self.questions
        api._post(api._url(path), params=query, timeout=timeout)

    def close(self) -> None:
        """Close the connections. The engine itself is not touched."""
        self.questions.close()
        self.streams.close()


def _checked(api: Any, response: requests.Response) -> requests.Response:  # noqa: ANN401 the SDK's
    api._raise_for_status(response)
    return response


def _client(host: EngineHost, timeout: int | None) -> docker.APIClient:
    api: Any = docker.APIClient(
        base_url=host.url,
        tls=host.tls or False,
        timeout=timeout,  # type: ignore[arg-type]  # requests takes None for "never"
        version=".".join(map(str, MINIMUM_API_VERSION)),
        use_ssh_client=host.url.startswith("ssh://"),
    )
    if host.tls is not None or host.is_socket:
        # Otherwise REQUESTS_CA_BUNDLE would be taken instead of the engine's own certificate; and
        # for a socket, which has no proxy, proxies would be looked for with each request.
        api.trust_env = False
    return api  # type: ignore[no-any-return]  # an attribute that its types do not have
