"""The files on this machine that the client of an artifact store logs in with."""

from __future__ import annotations

import configparser
import json
import logging
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.container.logins.stores import ArtifactStore

_logger = logging.getLogger(__package__)
_CONFIG: Final = "AWS_CONFIG_FILE"
_CREDENTIALS: Final = "AWS_SHARED_CREDENTIALS_FILE"
_GOOGLE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_PROFILES: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
# Keys of a profile that name a file.
_FILES_OF_PROFILE: Final = ("ca_bundle", "web_identity_token_file")
# Keys of a profile whose login comes from a program, or from a cache that the program writes.
_PROGRAMS_OF_PROFILE: Final = (
    "credential_process",
    "sso_session",
    "sso_start_url",
    "login_session",
)
# `FILE:/tmp/krb5cc_1000`: https://web.mit.edu/kerberos/krb5-latest/doc/basic/ccache_def.html
_CACHE: Final = re.compile(r"(FILE:|DIR::?|WRFILE:)?(?=[/~.\w])(.*)")
_ELSEWHERE: Final = re.compile(r"(KEYRING|KCM|API|MEMORY|MSLSA):.*")


def login_files(
    store: ArtifactStore, environ: Mapping[str, str]
) -> tuple[dict[str, str], tuple[Path, ...]]:
    """The variables that name files, also of default paths, and the files, which may name others.

    The home of a program is another one: each default path that has a file gets its variable.

    Returns:
        Name → value; files and folders that exist.
    """
    variables: dict[str, str] = {}
    files: dict[Path, None] = {}
    for name in store.files:
        if _ELSEWHERE.fullmatch(value := environ.get(name, "")):
            _logger.warning(
                "%s is '%s', which no container reaches; the program gets no ticket. With a file: "
                "kinit -c FILE:/tmp/ticket, %s=FILE:/tmp/ticket",
                *(name, value, name),
            )
            continue
        if found := _found(store, name, environ):
            prefix, file = found
            variables[name] = f"{prefix}{file}"
            if os.access(file, os.R_OK):
                files |= dict.fromkeys([file, *_named_in(name, file, environ)])
    return variables, tuple(files)


def _found(store: ArtifactStore, name: str, environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """What is before the path, and the path; None if there is none."""
    value = environ.get(name, "")
    if value:
        match = _CACHE.fullmatch(value)
        prefix, path = (match[1] or "", match[2]) if match else ("", value)
        return prefix, _expanded(path, environ)
    default = store.defaults.get(name)
    if default is None or not _is_read(name, environ):
        return None
    file = _expanded(default.format(uid=os.getuid()), environ)
    return ("", file) if os.access(file, os.R_OK) and _is_of_user(file) else None


def _is_of_user(file: Path) -> bool:
    """True for a file that no other user can have put there, as into ``/tmp``."""
    try:
        found = file.lstat()
    except OSError:
        return False
    if file.is_relative_to("/tmp"):  # noqa: S108 where tickets of Kerberos are
        return stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
    return file.is_file()


def _is_read(name: str, environ: Mapping[str, str]) -> bool:
    """False for a default file that the client does not read, because keys are set."""
    return name != _CREDENTIALS or not all(map(environ.get, _KEYS)) or bool(_profile(environ))


def _profile(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in _PROFILES if environ.get(name)), "")


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    if path == "~" or path.startswith("~/"):
        home = environ.get("HOME") or str(Path.home())
        path = home + path[1:]
    return Path(path).absolute()


def _named_in(name: str, file: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """The files that a file of a login names."""
    named: list[object] = []
    if name == _CONFIG:
        named = _named_in_profiles(file, environ)
    elif name == _GOOGLE:
        named = _named_in_key(file)
    for path in named:
        if isinstance(path, str) and os.access(found := _expanded(path, environ), os.R_OK):
            yield found


def _named_in_profiles(file: Path, environ: Mapping[str, str]) -> list[object]:
    """https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html."""
    parsed = configparser.RawConfigParser(strict=False)
    try:
        parsed.read(file, encoding="utf-8")
    except (OSError, UnicodeError, configparser.Error):
        return []  # the client says what is wrong with it
    chosen = _profile(environ) or "default"
    for section in parsed.sections():
        if section not in {chosen, f"profile {chosen}"} or all(map(environ.get, _KEYS)):
            continue
        if key := next(filter(parsed[section].get, _PROGRAMS_OF_PROFILE), None):
            _logger.warning(
                "%s: the profile '%s' logs in by '%s', which the container lacks. Give the program its "
                'keys: eval "$(aws configure export-credentials --profile %s --format env)"',
                *(file, chosen, key, chosen),
            )
    return [
        parsed[section][key]
        for section in parsed.sections()
        for key in _FILES_OF_PROFILE
        if parsed[section].get(key)
    ]


def _named_in_key(file: Path) -> list[object]:
    """https://google.aip.dev/auth/4117: the token of another provider is in a file."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [content["credential_source"]["file"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []  # most keys name none
