"""What usually helps, by what a failed build said last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from container_backend.buildkit import BuildFailed

_FULL_DISK = (
    r"no space left on device",
    "The engine's disk is full. `docker system df` shows what takes the space; "
    "`container-backend prune` removes environments that no run needs, "
    "`docker builder prune` what builds have kept.",
)
# First match wins. The left side is what uv, pip, the compiler or the engine prints.
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"container-backend: (Either correct|Set base_image)",
        "See the lines above for what to change.",
    ),
    (
        r"load metadata for .*(dial tcp|no such host|i/o timeout|connection refused)",
        "The engine does not have the base image, and does not reach its registry.",
    ),
    (
        r"engine went away during the build",
        "See whether it runs (`docker info`) and why it ended (its log), and try again.",
    ),
    (
        r"certificate|CERTIFICATE_VERIFY_FAILED|UnknownIssuer|self[- ]signed",
        "The build does not trust the index's certificate. Point SSL_CERT_FILE to the CA bundle "
        "of your network.",
    ),
    _FULL_DISK,
    (
        r"toomanyrequests|rate limit",
        "The registry limits anonymous downloads. Log in with `docker login`.",
    ),
    (
        r"No solution found|ResolutionImpossible|unsatisfiable",
        "The requirements cannot all be met at once, or not with this Python: the lines above "
        "say which.",
    ),
    (
        r"401 Unauthorized|403 Forbidden|status code 401|status code 403",
        "The index or registry refuses the login. Check the credentials in pip.conf, uv.toml, "
        "~/.netrc or the Docker config.",
    ),
    (
        r"(gcc|cc|clang|c\+\+|rustc|cargo)['\"]? ?(failed|not found|: not found|: No such file)"
        r"|error: command '.*gcc|No such file or directory: '(gcc|cc)'",
        "A package has no wheel for this Python and needs a compiler. Pin a version that has "
        "wheels, or set base_image to one with a compiler (python:{version}).",
    ),
    (
        r"git executable|No such file or directory: 'git'|Git executable not found",
        "A requirement comes from git, and the base image has none. Set base_image to one that "
        "has (python:{version}).",
    ),
    (
        r"dns error|Temporary failure in name resolution|failed to lookup address"
        r"|Network is unreachable|error sending request|Connection refused|timed out",
        "The build does not reach the package index. Behind a proxy, set HTTP_PROXY and "
        "HTTPS_PROXY; with an index of your own, set it in pip.conf or UV_DEFAULT_INDEX.",
    ),
)


def hint_for(error: BuildFailed) -> str | None:
    """What to do about a failed build, where that is known."""
    text = "\n".join([error.step or "", error.message, *error.output])
    for pattern, hint in _HINTS:
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
            return hint
    return None


def hint_for_refusal(said: str) -> str | None:
    """What to do about an engine that refuses something other than a build, where that is known."""
    pattern, hint = _FULL_DISK
    return hint if re.search(pattern, said, re.IGNORECASE) else None
