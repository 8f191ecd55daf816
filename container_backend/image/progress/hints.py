"""Hints for failed builds, by their output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend.image.progress.steps import describe_step, instruction_of
from container_backend.image.progress.view import plain_text
from container_backend.privileges import TRUST_OPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from container_backend.image.buildkit import BuildFailed

_MAKE_ROOM: Final = (
    "`docker system df` shows what takes the space; "
    "`container-backend prune` removes environments that no run needs, "
    "`docker builder prune` removes the cache of builds."
)
_FULL_DISK: Final = (
    r"no space left on device",
    f"The engine's disk is full. {_MAKE_ROOM}",
)
# overlay2 fails to make its own folder, and then misses the folder.
_BROKEN_STORAGE: Final = (
    r"/overlay2/\S+: no such file or directory",
    f"The engine lacks files of its own: most likely its disk is full. {_MAKE_ROOM}",
)
# Another process removed the image between its discovery and its use.
_VANISHED: Final = (
    r"no such image",
    "The image was removed meanwhile. Start the run again: then the image is built or pulled.",
)
_REFUSED_LOGIN: Final = (
    "401 Unauthorized|403 Forbidden|407 Proxy|status code 401|status code 403|status code 407"
    "|could not read Username|Authentication failed"
)
_WITHHELD: Final = (
    _REFUSED_LOGIN,
    "Steps that are not ours run in this build, so the build gets no login of yours. If you trust the "
    f"project: {TRUST_OPTION}; a record that is repeated: --trust.",
)
_NO_WHEEL: Final = "A package has no wheel for this Python, and would have to be compiled"


def _missing(*programs: str) -> str:
    """A pattern for the words of Python or a shell about a missing program, prefixed or not."""
    names = "|".join(map(re.escape, programs))
    return (
        rf"No such file or directory: '[\w-]*({names})'"
        rf"|command '[\w-]*({names})' failed: No such file|({names}): (command )?not found"
    )


# The first match counts. The patterns match output of uv, pip, apt-get, compilers, git and engines;
# tests/unit/image/progress/failures has whole outputs.
_HINTS: Final[tuple[tuple[str, str], ...]] = (
    (
        rf"/build/wheels\.sh.*({_REFUSED_LOGIN})",
        "Programs of packages run in this step, so the step gets no login of yours. Publish wheels of "
        f"these packages in the index; or, if you trust all of them: {TRUST_OPTION}; for a record, --trust.",
    ),
    (
        r"container-backend: Set (conda_)?base_image",
        "See the lines above for what to change.",
    ),
    (
        r"No download found for request",
        "uv knows no such Python for this platform. Choose another version, or set python_match to minor "
        "in the backend config.",
    ),
    (
        r"/build/python\.sh.*(Failed to download|error sending request|dns error|Failed to fetch)",
        "The build does not reach the source of Pythons. Set UV_PYTHON_INSTALL_MIRROR to a mirror of "
        "https://github.com/astral-sh/python-build-standalone/releases/download.",
    ),
    (
        r"Hash mismatch for|hashes declared for",
        "The index's file is not the one that was locked: the file was replaced, or the lock was "
        "changed. If you trust the index, make the lock again.",
    ),
    (
        r"toomanyrequests|429 Too Many Requests|pull rate limit",
        "The registry or index limits downloads. Log in with `docker login`, which raises the "
        "limit, or try again later.",
    ),
    (
        r"load metadata for .*(dial tcp|no such host|i/o timeout|connection refused|TLS handshake)",
        "The engine does not have the base image, and does not reach its registry.",
    ),
    (
        r"peer certificate|CERTIFICATE_VERIFY_FAILED|UnknownIssuer|self[- ]signed certificate"
        r"|certificate verification failed|SSL certificate problem|x509: ",
        "The build does not trust the server's certificate. Point SSL_CERT_FILE to the CA bundle "
        "of your network.",
    ),
    (
        r"engine went away during the build",
        "Check that the engine runs (`docker info`), read its log, and try again.",
    ),
    _FULL_DISK,
    _BROKEN_STORAGE,
    (
        r"current Python version \(\S+\) does not satisfy",
        "A required version needs another Python. Choose another version, or another Python in the "
        "environment file.",
    ),
    (
        r"has no wheels with a matching|we only found wheels for|has no usable wheels",
        "There is no wheel for this Python or platform. Choose another version of the package, or "
        "another Python in the environment file.",
    ),
    (
        r"there is no version of|was not found in the package registry",
        "The index has no such package or version. Correct the requirement, or add the index that "
        "has it: --extra-index-url in the requirements file, pip.conf, or UV_INDEX.",
    ),
    (
        r"exclude_newer leaves out .*No solution found|No solution found.*exclude_newer leaves out",
        "The index does not tell when files were uploaded, so exclude_newer finds none of them there. "
        "Leave exclude_newer out, name another index, or use a lock.",
    ),
    (
        r"filtered by .exclude-newer.",
        "exclude_newer in the backend config leaves out what was uploaded later. Choose a later day, or "
        "an older version.",
    ),
    (
        r"has invalid metadata|Metadata for .+ could not be parsed",
        "The release of a package is not valid, and today's installers refuse it (pip, too). Choose a newer "
        "version of that package.",
    ),
    (
        r"No solution found|ResolutionImpossible|unsatisfiable",
        "The requirements cannot all be met at once. The lines above name them.",
    ),
    (
        _REFUSED_LOGIN,
        "The index or registry refuses the login. Check the credentials in pip.conf, uv.toml, "
        "~/.netrc or the Docker config.",
    ),
    (
        r"can't find Rust compiler|Cargo, the Rust package manager, is not installed",
        f"{_NO_WHEEL}, from Rust. Choose a version that has wheels, or put a Rust compiler into "
        "the image with a template of your own (docs/builds.md).",
    ),
    (
        _missing("g++", "c++", "clang++"),
        f"{_NO_WHEEL}. Choose a version that has wheels, or set system_packages in the backend "
        'config: ["g++", "libc6-dev", "python3-dev"].',
    ),
    (
        rf"fatal error: (Python|stdio|stdlib|limits)\.h|{_missing('gcc', 'cc', 'clang')}",
        f"{_NO_WHEEL}. Choose a version that has wheels, or set system_packages in the backend "
        'config: ["gcc", "libc6-dev", "python3-dev"].',
    ),
    (
        r"pkg-config: (command )?not found",
        f"{_NO_WHEEL}, with a library that pkg-config would find. Choose a version that has wheels, or set "
        'system_packages in the backend config: ["pkg-config", "gcc", "libc6-dev", "python3-dev"] and the '
        "library's Debian package, whose name ends in -dev (for mysqlclient, default-libmysqlclient-dev).",
    ),
    (
        r"fatal error: \S+: No such file|pg_config executable not found",
        f"{_NO_WHEEL}, with a library that the base image lacks. Choose a version that "
        "has wheels, or add the library's Debian package (its name ends in -dev) to "
        "system_packages in the backend config (for psycopg2, libpq-dev; psycopg2-binary has wheels).",
    ),
    (
        r"Unable to locate package|has no installation candidate",
        "The Debian of the base image has no such package: correct system_packages or apt.txt.",
    ),
    (
        r"No such file or directory: 'git'|Git executable not found",
        "A requirement comes from git, but the base image has no git. Set system_packages in the "
        'backend config: ["git"].',
    ),
    (
        r"The build backend returned an error",
        "A package has no wheel, and its source cannot be built. Choose a version that has a wheel. An "
        "old source may need the tools of its time: set exclude_newer in the backend config to a day "
        "like '2023-05-01'.",
    ),
    (
        r"not a trusted or secure host",
        "pip fetches the installer, and does not use an index over HTTP. Use HTTPS, or set "
        "trusted-host in pip.conf.",
    ),
    (
        r"dns error|Temporary failure (in name resolution|resolving)|failed to lookup address"
        r"|Name or service not known|Could not resolve host|Network is unreachable"
        r"|error sending request|Connection refused|timed out",
        "The build does not reach the package index, or the server of a requirement. Behind a "
        "proxy, set HTTP_PROXY and HTTPS_PROXY. Set an index of your own in pip.conf or "
        "UV_DEFAULT_INDEX.",
    ),
    (
        r"No matching distribution found for uv",
        "The installer, uv, comes from your package index. The index has no uv for this platform, "
        "or refuses the login: check pip.conf, uv.toml or ~/.netrc.",
    ),
)


def hint_for(error: BuildFailed, *, withholds_logins: bool = False) -> str | None:
    """Advice for a failed build; None for an unknown cause.

    Args:
        withholds_logins: The build got none of the user's logins.
    """
    hints = (_WITHHELD, *_HINTS) if withholds_logins else _HINTS
    return _first_hint(hints, "\n".join([error.step or "", error.message, *error.output]))


def hint_for_refusal(said: str) -> str | None:
    """Advice for an engine's refusal outside of builds; None for an unknown cause."""
    return _first_hint((_FULL_DISK, _BROKEN_STORAGE, _VANISHED), said)


def _first_hint(hints: Iterable[tuple[str, str]], text: str) -> str | None:
    flags = re.IGNORECASE | re.DOTALL | re.MULTILINE
    return next((hint for pattern, hint in hints if re.search(pattern, text, flags)), None)


_SHOWN_LINES: Final = 80
_EXPLANATION: Final = "No solution found"
# A failed program in the words of engine 20.10, and of newer engines.
_EXITED: Final = re.compile(
    r"(?:executor failed running \[.*\]:|process \".*\" did not complete successfully:) "
    r"exit code: (\d+)$",
    re.DOTALL,
)


def describe_failure(error: BuildFailed) -> str:
    """The failed step, and the last lines of its output, indented."""
    return "\n".join(
        [_summary(error), *(f"    {plain_text(line)}" for line in _shown(error.output))]
    )


def _shown(output: Sequence[str]) -> Sequence[str]:
    """The last lines, or more of them: an explanation of uv is shown from its beginning."""
    begin = next((place for place, line in enumerate(output) if _EXPLANATION in line), len(output))
    return output[min(begin, max(0, len(output) - _SHOWN_LINES)) :]


def _summary(error: BuildFailed) -> str:
    start = "The environment image could not be built"
    if error.step is None:
        return f"{start}: {error.message}"
    step = describe_step(error.step) or error.step
    exited = _EXITED.search(error.message)
    if exited is None:
        return f"{start}.\nFailed step: {step}\n    {error.message}"
    # An instruction of a user's template is shown whole.
    return f"{start}.\nFailed step: {instruction_of(error.step) or step} (exit code {exited[1]})"
