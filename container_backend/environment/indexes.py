"""Package indexes: the settings of this machine and of the project.

Addresses are part of an environment, credentials are not. This module separates them. Builds get
the credentials as a secret (a netrc file), which is in no layer, hash or message.
"""

from __future__ import annotations

import configparser
import logging
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from container_backend.errors import InvalidConfig, InvalidEnvironment
from container_backend.labels_and_tags import CODE_DIRECTORY
from container_backend.machine import read_text, shortened
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container_backend.environment.requirements import Requirements

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib
_logger = logging.getLogger(__package__)
# https://docs.astral.sh/uv/reference/environment/#uv_index
_HOST: Final = re.compile(r"[\w.-]+(:[0-9]+)?")
_PUBLIC_HOSTS: Final = frozenset({"pypi.org", "files.pythonhosted.org"})
_INDEX_NAME: Final = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Login:
    host: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Indexes:
    """Index addresses without credentials, and the credentials beside them.

    Attributes:
        default: None for the public index.
        extra: All indexes are searched for the best version, as by pip.
        find_links: Addresses of pages with links to packages, or folders of the project.
        trusted_hosts: Hosts whose certificates are not checked.
        logins: Never in a hash, a build context or a message.
    """

    default: str | None = None
    extra: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    logins: tuple[Login, ...] = field(default=(), repr=False)

    def addresses(self) -> tuple[str, ...]:
        return (self.default or "", *self.extra, *self.find_links)

    def hosts(self) -> set[str]:
        """The hosts of all addresses."""
        return {host for url in self.addresses() if (host := urlsplit(url).hostname)}


def split_credentials(url: str) -> tuple[str, Login | None]:
    """Split an address from its credentials; raises ValueError for what is no address."""
    parts = urlsplit(url)
    if parts.hostname is None or (parts.username is None and parts.password is None):
        return url, None
    host = parts.netloc.rpartition("@")[2]
    # `git+ssh://git@host` has the name of an account, which is no secret.
    if parts.scheme.endswith("ssh") and parts.password is None:
        return url, None
    login = Login(parts.hostname, unquote(parts.username or ""), unquote(parts.password or ""))
    return urlunsplit(parts._replace(netloc=host)), login


def machine_indexes(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Indexes:
    """The index settings of this machine's uv and pip: variables before files, uv before pip.

    Addresses on this machine's disk are left out: a build cannot reach them.

    Args:
        environ: Only ``UV_*``, ``PIP_*`` and ``XDG_CONFIG_HOME`` have an effect.

    Raises:
        InvalidConfig: A settings file cannot be read.
    """
    home = home or Path.home()
    pip = _pip_settings(environ, home)
    try:
        uv = _uv_settings(environ, home)
    except (AttributeError, TypeError, ValueError) as error:
        raise InvalidConfig(f"uv's settings of this machine are not valid: {error}.") from error
    # pip, too, prefers variables to files key by key.
    return _clean(
        Indexes(
            default=uv.default or pip.default,
            extra=uv.extra or pip.extra,
            find_links=uv.find_links or pip.find_links,
            trusted_hosts=uv.trusted_hosts or pip.trusted_hosts,
        )
    )


def project_indexes(machine: Indexes, requirements: Requirements) -> Indexes:
    """The machine's indexes and those of a project's requirements files; the latter win."""
    own = _clean(
        Indexes(
            default=requirements.index_url,
            extra=tuple(requirements.extra_index_urls),
            find_links=tuple(requirements.find_links),
            trusted_hosts=tuple(requirements.trusted_hosts),
        )
    )
    _refuse_plain(machine, own, requirements)
    # The certificates of a host that gets logins of the user, or fills the cache of all, are checked.
    checked = machine.hosts() | _PUBLIC_HOSTS
    trusted = [
        host
        for host in own.trusted_hosts
        if _HOST.fullmatch(host) and host.lower().partition(":")[0] not in checked
    ]
    return Indexes(
        default=own.default or machine.default,
        extra=_unique(machine.extra + own.extra),
        find_links=_unique(machine.find_links + own.find_links),
        trusted_hosts=_unique((*machine.trusted_hosts, *trusted)),
        logins=machine.logins + own.logins,
    )


def _refuse_plain(machine: Indexes, own: Indexes, requirements: Requirements) -> None:
    """Refuse addresses by which a login of the user would be sent as plain text."""
    addresses = [*own.addresses()]
    addresses += [word for line in requirements.requirements for word in line.text.split()]
    plain = {urlsplit(url).hostname for url in machine.addresses() if url.startswith("http:")}
    for address in addresses:
        host = urlsplit(address).hostname if address.startswith("http:") else None
        if host in machine.hosts() - plain:
            raise InvalidEnvironment(
                f"'{without_credentials(address)}': the login for {host} would be sent as plain text.",
                remedy=f"Write https://{host}/….",
            )


def _clean(raw: Indexes) -> Indexes:
    """Move the credentials of addresses to ``logins``; leave out what a build cannot reach."""
    logins: list[Login] = []

    def reachable(urls: Sequence[str]) -> tuple[str, ...]:
        kept = []
        for url in urls:
            try:
                address, login = split_credentials(url)
            except ValueError as error:
                raise InvalidEnvironment(
                    f"'{shortened(url)}' is not the address of an index: {error}."
                ) from error
            in_project = address.startswith(CODE_DIRECTORY)
            if urlsplit(address).scheme not in {"http", "https"} and not in_project:
                _logger.debug(
                    "Not used in builds, because it is on this machine's disk: %s",
                    without_credentials(address),
                )
                continue
            kept.append(address)
            if login is not None:
                logins.append(login)
        return _unique(kept)

    return Indexes(
        default=next(iter(reachable([raw.default] if raw.default else [])), None),
        extra=reachable(raw.extra),
        find_links=reachable(raw.find_links),
        trusted_hosts=_unique(raw.trusted_hosts),
        logins=tuple(logins),
    )


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _pip_settings(environ: Mapping[str, str], home: Path) -> Indexes:
    """pip's configuration: https://pip.pypa.io/en/stable/topics/configuration/."""
    values: dict[str, str] = {}
    for file in _pip_files(environ, home):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file, encoding="utf-8")  # passes over a missing file
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InvalidConfig(f"pip's settings '{file}' cannot be read: {error}.") from error
        for section in ("global", "install"):
            if parser.has_section(section):
                values |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    for key in ("index-url", "extra-index-url", "find-links", "trusted-host"):
        if value := environ.get("PIP_" + key.upper().replace("-", "_")):
            values[key] = value
    return Indexes(
        default=values.get("index-url"),
        extra=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(values.get("find-links", "").split()),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
    )


def _pip_files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """The settings files of pip, the least important first."""
    own = environ.get("PIP_CONFIG_FILE")
    if own == os.devnull:
        return []
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        home / "Library/Application Support/pip/pip.conf",
        config / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
        *([Path(own)] if own else []),
    ]


def _uv_settings(environ: Mapping[str, str], home: Path) -> Indexes:
    """uv's configuration: https://docs.astral.sh/uv/concepts/configuration-files/."""
    content: dict[str, Any] = {}
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    own = environ.get("UV_CONFIG_FILE")
    files = [Path(own)] if own else [Path("/etc/uv/uv.toml"), config / "uv/uv.toml"]
    for file in files:
        if not file.exists():
            continue
        try:
            content |= tomllib.loads(read_text(file, InvalidConfig))
        except (ValueError, RecursionError) as error:
            raise InvalidConfig(f"uv's settings '{file}' cannot be read: {error}.") from error
    content |= content.get("pip", {})
    listed = [index for index in content.get("index", []) if "url" in index]
    default = next((_named_index(index, environ) for index in listed if index.get("default")), None)
    extra = [_named_index(index, environ) for index in listed if not index.get("default")]
    named = [_typed_index(text, environ) for text in environ.get("UV_INDEX", "").split()]
    return Indexes(
        default=_typed_index(environ.get("UV_DEFAULT_INDEX", ""), environ)
        or environ.get("UV_INDEX_URL")
        or default
        or content.get("index-url"),
        extra=tuple(
            named
            or environ.get("UV_EXTRA_INDEX_URL", "").split()
            or [*extra, *content.get("extra-index-url", [])]
        ),
        find_links=tuple(
            (environ.get("UV_FIND_LINKS") or "").replace(",", " ").split()
            or content.get("find-links", [])
        ),
        trusted_hosts=tuple(
            (environ.get("UV_INSECURE_HOST") or "").split()
            or content.get("allow-insecure-host", [])
        ),
    )


def _typed_index(text: str, environ: Mapping[str, str]) -> str:
    """The address of an index that a variable gives as ``URL`` or ``NAME=URL``."""
    name, equals, url = text.partition("=")
    if not equals or not _INDEX_NAME.fullmatch(name):
        return text
    return _named_index({"name": name, "url": url}, environ)


def _named_index(index: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """The address of an index, with the login that variables give for its name.

    https://docs.astral.sh/uv/concepts/indexes/#providing-credentials-directly
    """
    url = str(index["url"])
    prefix = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", str(index.get("name", "")).upper())
    user, password = (environ.get(f"{prefix}_{part}", "") for part in ("USERNAME", "PASSWORD"))
    parts = urlsplit(url)
    if not (user or password) or parts.username or parts.password or not parts.hostname:
        return url
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))
