"""Files of variables, as ``docker run --env-file`` reads them."""

from __future__ import annotations

import codecs
from typing import Final

from container_backend.machine import human_size

# Linux gives a program at most a quarter of its stack for arguments and variables, and 6 MB.
_MOST_BYTES: Final = 6 * 1024 * 1024


def lines_of_env_file(content: bytes) -> list[str]:
    """``NAME=value`` and ``NAME`` of a file. The rules are those of the docker command.

    https://github.com/docker/cli/blob/master/pkg/kvfile/kvfile.go: a byte order mark and white space before
    a name are no part of it; a value is all that follows the sign, up to the end of the line.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"no program starts with {human_size(len(content))} of variables")
    kept = []
    for number, raw in enumerate(content.removeprefix(codecs.BOM_UTF8).split(b"\n"), start=1):
        try:
            line = raw.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError:
            raise ValueError(f"line {number} is not UTF-8") from None
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name or " " in name or "\t" in name:
            raise ValueError(f"line {number} has no name of a variable, or one with white space")
        kept.append(line)
    return kept
