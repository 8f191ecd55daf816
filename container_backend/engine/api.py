"""Requests to an engine through the Docker SDK; other modules use none of its private parts."""

from __future__ import annotations

import http.client
import re
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import requests.exceptions
import urllib3.exceptions

from container_backend.engine.sdk import APIClient, APIError, DockerException, NotFound
from container_backend.errors import EngineUnavailable, NotThere, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from _typeshed import SupportsRead

    from container_backend.engine.host import EngineHost

    Query = Mapping[str, object]

# API 1.39 introduced BuildKit: `POST /build?version=2` and sessions.
# https://docs.docker.com/reference/api/engine/version-history/#v139-api-changes
MINIMUM_API_VERSION: Final = "1.39"
REQUEST_TIMEOUT_SECONDS: Final = 120
_TAR: Final = "application/x-tar"
_CHUNK_BYTES: Final = 1024 * 1024
# Headers of the answer to a ping that distinguish engines.
_GREETING: Final = ("Server", "Api-Version", "Builder-Version", "OSType")
_SILENCE: Final = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
# Errors of a lost connection. Most errors of `requests` are kinds of OSError.
_LOSSES: Final = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)
# The engine's messages, with status 500, if an image was removed during a request.
# https://github.com/moby/moby/blob/v20.10.24/image/store.go and layer/layer.go
_REMOVED_MEANWHILE: Final = re.compile(
    r"unrecognized image ID|unknown parent image ID|layer does not exist"
)


class Silent(EngineUnavailable):
    """The engine sent nothing for longer than the request allows."""


@contextmanager
def asking() -> Iterator[None]:
    """Raise an error of a request as an ``EngineError``. Do not access local files inside.

    Raises:
        NotThere: The engine answered 404, or the image was removed during the request.
        Refused: The engine answered with another error.
        EngineUnavailable: The engine did not answer, or the connection broke.
    """
    try:
        yield
    except APIError as error:  # a kind of OSError, as all errors of `requests`
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
    """True for an engine's message that an image was removed during a request."""
    return _REMOVED_MEANWHILE.search(message) is not None


class _Sent:
    """A local file that is sent to an engine; ``error`` is the error of its last failed read."""

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
    """As :func:`asking`, for a request that sends a local file.

    Raises:
        OSError: The file cannot be read; libraries would report a connection error.
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
    """The message of the innermost cause, often one of the operating system."""
    seen: BaseException = error
    while (cause := seen.__cause__ or seen.__context__) is not None and cause is not seen:
        seen = cause
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen) or type(seen).__name__


class Connection:
    """Two SDK clients of one engine, and requests for which the SDK has no method.

    Attributes:
        questions: The client for short requests, with a read timeout.
        streams: The client for logs, waits and builds, which may be silent for hours.
    """

    def __init__(self, host: EngineHost) -> None:
        """Raises DockerException if the address or its certificates are invalid."""
        self.host = host
        self.questions: Any = _client(host, REQUEST_TIMEOUT_SECONDS)
        self.streams: Any = _client(host, None)

    @property
    def api_version(self) -> str:
        return str(self.questions._version)

    def speak(self, api_version: str) -> None:
        """Set the API version of requests; without it, the SDK would ask the engine again."""
        self.questions._version = self.streams._version = api_version

    def greeting(self) -> tuple[str, ...]:
        """Headers that distinguish this engine from another one at the same address.

        https://docs.docker.com/reference/api/engine/version/v1.41/#tag/System/operation/SystemPing
        """
        api = self.questions
        response = _checked(api, api._get(api._url("/_ping", versioned_api=False)))
        return tuple(response.headers.get(name, "") for name in _GREETING)

    def get(self, path: str, *words: str, query: Query) -> Any:  # noqa: ANN401 JSON
        """Send a ``GET`` request.

        Args:
            path: Below the API version, with ``{0}`` for the first word.
            words: Inserted into the path, quoted.
            query: None values are left out.
        """
        api = self.questions
        return api._result(api._get(api._url(path, *words), params=query), json=True)

    def has(self, path: str, *words: str, query: Query) -> bool:
        """True if a ``HEAD`` request succeeds; see :meth:`get`."""
        api = self.questions
        return bool(api.head(api._url(path, *words), params=query, timeout=api.timeout).ok)

    def get_stream(
        self, path: str, *words: str, query: Query, timeout: tuple[float, float] | None = None
    ) -> requests.Response:
        """Send a ``GET`` request and stream the answer; see :meth:`get`.

        Args:
            timeout: Seconds to connect, and seconds without a byte; None for no limit.
        """
        api = self.streams
        response = api._get(api._url(path, *words), params=query, stream=True, timeout=timeout)
        return _checked(api, response)

    def post_tar(self, path: str, content: Iterable[bytes], query: Query) -> requests.Response:
        """Send a tar in pieces and stream the answer; see :meth:`get`."""
        api, url, headers = self.streams, self.streams._url(path), {"Content-Type": _TAR}
        response = api._post(url, data=content, params=query, headers=headers, stream=True)
        return _checked(api, response)

    def post(self, path: str, query: Query, timeout: float) -> None:
        """Send a request without content and ignore the answer; see :meth:`get`."""
        api = self.questions
        api._post(api._url(path), params=query, timeout=timeout)

    def close(self) -> None:
        self.questions.close()
        self.streams.close()


def _checked(api: Any, response: requests.Response) -> requests.Response:  # noqa: ANN401 the SDK's
    api._raise_for_status(response)
    return response


@cache
def _close_ssh_quietly() -> None:
    """Let the SDK's ssh sockets close without an error after their ssh has ended.

    Replaces a method of the SDK in the whole process. Nothing may be written after the close.
    """
    from docker.transport.sshconn import SSHSocket

    def close(connection: Any, original: Callable[[Any], None] = SSHSocket.close) -> None:  # noqa: ANN401 the SDK's
        with suppress(BrokenPipeError):
            original(connection)
        if connection.proc is not None:
            with suppress(BrokenPipeError):
                connection.proc.stdin.close()

    setattr(SSHSocket, "close", close)  # noqa: B010 a method, which its types do not let be replaced


def _client(host: EngineHost, timeout: int | None) -> APIClient:
    is_ssh = host.url.startswith("ssh://")
    if is_ssh:
        with suppress(ImportError):  # without paramiko, the SDK raises the error for the user
            _close_ssh_quietly()
    api: Any = APIClient(
        base_url=host.url,
        tls=host.tls or False,
        timeout=timeout,  # type: ignore[arg-type]  # requests takes None for "never"
        version=MINIMUM_API_VERSION,
        use_ssh_client=is_ssh,
    )
    if host.tls is not None or host.is_socket:
        # Otherwise REQUESTS_CA_BUNDLE would replace the engine's own certificate, and each request
        # over a socket would look for proxies.
        api.trust_env = False
    return api  # type: ignore[no-any-return]  # an attribute that its types do not have
