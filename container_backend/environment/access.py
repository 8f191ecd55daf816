"""How a build reaches package indexes: certificates, proxies and logins of this machine."""

from __future__ import annotations

import json
import logging
import netrc
import os
import shlex
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from container_backend.environment.indexes import Login, split_credentials
from container_backend.masking import without_credentials

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from container_backend.environment.indexes import Indexes

_logger = logging.getLogger(__package__)
# Variables that name a file with certificates, the most important first.
_CA_VARIABLES: Final = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PYTHON_VARIABLES: Final = {
    "UV_PYTHON_INSTALL_MIRROR": "python-install-mirror",
    "UV_PYTHON_DOWNLOADS_JSON_URL": "python-downloads-json-url",
}
# BuildKit gives these to every step, and keeps them out of the image.
# https://docs.docker.com/reference/dockerfile/#predefined-args
_PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")


def with_netrc(
    indexes: Indexes, hosts: Collection[str], environ: Mapping[str, str] = os.environ
) -> Indexes:
    """Add the logins of the user's netrc file for some hosts."""
    file = Path(environ.get("NETRC") or Path.home() / ".netrc")
    try:
        entries = netrc.netrc(str(file))
    except OSError:
        return indexes
    except netrc.NetrcParseError as error:
        _logger.warning("The file %s cannot be read: %s", file, error.msg)
        return indexes
    known = {login.host for login in indexes.logins}
    found = (
        Login(host, entry[0], entry[2] or "")
        for host in sorted(set(hosts) - known)
        if (entry := entries.hosts.get(host))
    )
    return replace(indexes, logins=(*indexes.logins, *found))


def python_settings(environ: Mapping[str, str] = os.environ) -> str:
    """Where uv fetches Pythons on this machine, as a ``uv.toml``; empty for its usual source.

    Without credentials, and without addresses on this machine's disk, which a build cannot reach.

    https://docs.astral.sh/uv/reference/settings/#python-install-mirror
    """
    found = {key: environ.get(name, "") for name, key in _PYTHON_VARIABLES.items()}
    return "".join(
        f"{key} = {json.dumps(split_credentials(address)[0])}\n"
        for key, address in found.items()
        if "://" in address and not address.startswith("file:")
    )


def netrc_file(logins: Sequence[Login]) -> bytes:
    """Logins as a netrc file; for each host, the first login counts."""
    lines = [
        f"machine {login.host} login {_quote(login.user)} password {_quote(login.password)}\n"
        for login in logins
    ]
    return "".join(lines).encode()


def _quote(text: str) -> str:
    if not text or any(character.isspace() or character in "\"'\\#" for character in text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def ca_bundle(environ: Mapping[str, str]) -> bytes | None:
    """The certificates that this machine trusts."""
    default = ssl.get_default_verify_paths().openssl_cafile
    named = [environ[name] for name in _CA_VARIABLES if environ.get(name)]
    for name in [*named, "/etc/ssl/certs/ca-certificates.crt", default]:
        try:
            return Path(name).read_bytes()
        except OSError:
            continue
    return None


def proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of this machine's proxies, with credentials."""
    names = [*_PROXY_VARIABLES, *(name.lower() for name in _PROXY_VARIABLES)]
    return {name: environ[name] for name in names if environ.get(name)}


def proxy_file(variables: Mapping[str, str]) -> bytes:
    """Those proxies that need a login, as commands of a shell; empty for none."""
    lines = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in variables.items()
        if without_credentials(value) != value
    ]
    return "".join(lines).encode()
