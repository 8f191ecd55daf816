"""Fetch a commit of a repository, of another person maybe, into a folder."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import getproxies

from container_backend.machine import MOST_FILES, human_size, most_unpacked
from container_backend.privileges import TRUST_OPTION
from container_backend.project.git.repository import OPTIONS, GitError, own_variables, run_git

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_UPDATE: Final = ("submodule", "--quiet", "update", "--init", "--recursive")
_ANONYMOUSLY: Final = (
    "What a program names is fetched without your logins, from public servers only. "
    f"If you trust the project: {TRUST_OPTION}"
)
_KEPT: Final = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})
_FETCH_SECONDS: Final = 3600
_SHORT_COMMIT: Final = re.compile(r"[0-9a-f]{7,39}")
# `NAME::…`: an address that the program git-remote-NAME would fetch.
_HELPER: Final = re.compile(r"[A-Za-z0-9]+::")
# What git says, in English, where a repository has no such branch, tag or commit.
_NO_VERSION: Final = re.compile(
    r"find remote ref|invalid refspec|not our ref|unadvertised object|\A.*Needed a single revision\Z"
)
_ENGLISH: Final = {"LC_ALL": "C", "LANGUAGE": None}


class UnknownVersion(GitError):
    """The repository has no such version."""


def fetch_commit(
    address: str,
    version: str | None,
    root: Path,
    instead: Path | None = None,
    *,
    with_logins: bool = True,
) -> None:
    """Fetch a version with its submodules, as ``mlflow.projects.utils._fetch_git_repo`` does.

    Args:
        address: The repository; addresses of submodules may be relative to it.
        version: Branch, tag or commit; default: the repository's HEAD.
        root: An empty folder, which becomes a work tree.
        instead: A view of the repository to read from.
        with_logins: Submodules, whose addresses the repository chooses, get the user's logins, too.

    Raises:
        UnknownVersion: The repository is there, and has no such version.
        GitError: The address is missing, or address or version are refused.
    """
    # With several `insteadOf`, the longest match wins: the whole address.
    elsewhere = ("-c", f"url.{instead}.insteadOf={address}") if instead is not None else ()
    _fetch(address, version, root, elsewhere, {})
    if with_logins:
        run_git(*_UPDATE, folder=root, seconds=_FETCH_SECONDS)
    elif (root / ".gitmodules").exists():
        _update_anonymously(root)


def fetch_publicly(address: str, version: str | None, root: Path) -> None:
    """As :func:`fetch_commit`, from a public server, without the user's logins and without submodules.

    Raises:
        GitError: As there; also for an address that is not public, and for submodules.
    """
    with _anonymously(root) as variables:
        options = ("-c", "http.followRedirects=false", *_pinned(address, variables))
        try:
            _fetch(address, version, root, options, variables)
        except GitError as error:
            raise type(error)(f"{error}\n{_ANONYMOUSLY}") from error
    if (root / ".gitmodules").exists():
        raise GitError(f"its submodules may be anywhere. {_ANONYMOUSLY}")


def _pinned(address: str, variables: Mapping[str, str | None]) -> tuple[str, ...]:
    """Options of git for the public server that an address names now. Raises GitError."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise GitError(f"a program can name addresses of http and https, and not '{address}'")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(parts.hostname, port)}
    except OSError as error:
        if getproxies().keys() & {"http", "https", "all"} or "http.proxy" in variables.values():
            return ()  # a proxy knows names, and decides by itself what it reaches
        raise GitError(f"the name '{parts.hostname}' is not known") from error
    if private := [each for each in found if not ipaddress.ip_address(each).is_global]:
        raise GitError(f"{private[0]} is not a public address. {_ANONYMOUSLY}")
    # As a list, of which the first that answers is taken; those of IPv4 come first.
    listed = ",".join(sorted(found, key=lambda each: (":" in each, each)))
    return ("-c", f"http.curloptResolve={parts.hostname}:{port}:{listed}")


def _fetch(
    address: str,
    version: str | None,
    root: Path,
    options: Sequence[str],
    variables: Mapping[str, str | None],
) -> None:
    for word in (address, version or ""):
        if word.startswith("-") or _HELPER.match(word):
            raise GitError(f"'{word}' is refused: it is not an address or a version")

    def run(*words: str) -> None:
        run_git(*words, folder=root, variables={**_ENGLISH, **variables}, seconds=_FETCH_SECONDS)

    run("init", "--quiet")
    run("remote", "add", "origin", address)
    head = "FETCH_HEAD"
    wanted: Sequence[str]
    checkout: Sequence[str]
    if version is None:
        wanted, commit, checkout = ("--depth=1", "origin", "HEAD"), head, ("--detach", head)
    elif _SHORT_COMMIT.fullmatch(version):
        # A server resolves branches, tags and full commit ids; for a short id, fetch everything.
        wanted, commit, checkout = ("--tags", "origin"), version, (version,)
    else:
        wanted, commit, checkout = ("--depth=1", "--tags", "origin", version), head, (version,)
    try:
        run(*options, "fetch", "--quiet", *wanted)
        commit = _resolved(root, commit)
    except GitError as error:
        if version is not None and _NO_VERSION.search(str(error)):
            raise UnknownVersion(str(error)) from error
        raise
    _check_size(root, commit)
    run("checkout", "--quiet", *checkout)


def _resolved(root: Path, version: str) -> str:
    """The id of a commit that was fetched; raises GitError. The name of a branch may look like a short id."""
    with suppress(GitError):
        branch = f"refs/remotes/origin/{version}^{{commit}}"
        return run_git("rev-parse", "--verify", branch, folder=root).strip()
    wanted = f"{version}^{{commit}}"
    return run_git("rev-parse", "--verify", wanted, folder=root, variables=_ENGLISH).strip()


def _update_anonymously(root: Path) -> None:
    with _anonymously(root) as variables:
        try:
            run_git(*_UPDATE, folder=root, variables=variables, seconds=_FETCH_SECONDS)
        except GitError as error:
            raise GitError(
                f"{error}\nSubmodules are fetched without your logins. If you trust the project: "
                f"{TRUST_OPTION}"
            ) from error


@contextmanager
def _anonymously(root: Path) -> Iterator[dict[str, str | None]]:
    """Variables for git that leave nothing of the user but the certificates and proxies of the network."""
    kept: dict[str, str] = {}
    for key, how in (("http.sslCAInfo", ["--type=path"]), ("http.proxy", [])):
        with suppress(GitError):
            value = run_git("config", *how, "--get", key, folder=root).strip()
            number = len(kept) // 2
            kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    with tempfile.TemporaryDirectory(prefix="container-backend-git-") as home:
        nothing = dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)
        programs = dict.fromkeys(
            ("GIT_ASKPASS", "SSH_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND"), "false"
        )
        yield {
            # The user's own variables for git may have tokens.
            **{name: None for name in os.environ if name.startswith("GIT_") and name not in _KEPT},
            **kept,
            "GIT_CONFIG_COUNT": str(len(kept) // 2),
            "HOME": home,
            "XDG_CONFIG_HOME": home,
            "NETRC": "",
            "SSH_AUTH_SOCK": "",
            "GIT_TERMINAL_PROMPT": "0",
            **nothing,
            **programs,
        }


def _check_size(root: Path, commit: str) -> None:
    """Refuse a commit that is made to fill a disk: a few objects can be any number of files."""
    packed = sum(file.stat().st_size for file in (root / ".git/objects").rglob("*"))
    files, unpacked, most = 0, 0, most_unpacked(packed)
    words = ["git", *OPTIONS, "ls-tree", "-r", "-t", "--long", commit]
    with subprocess.Popen(  # noqa: S603 as above
        words, cwd=root, env=own_variables(), stdout=subprocess.PIPE
    ) as listing:
        for line in listing.stdout or ():
            size = line.split(maxsplit=4)[3]
            files, unpacked = files + 1, unpacked + (int(size) if size.isdigit() else 0)
            if files > MOST_FILES or unpacked > most:
                listing.kill()
                raise GitError(
                    f"its commit has more than {MOST_FILES:,} files, or files of more than "
                    f"{human_size(most)}: clone it yourself, and give the folder"
                )
