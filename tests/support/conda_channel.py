"""A conda channel of two packages, and an image that installs from it.

No channel can be reached from everywhere that these tests run. The packages are real, and they are
resolved and installed by a real solver (rattler), which stands where micromamba would: its command
line is answered by a script of ten lines.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from typing import TYPE_CHECKING, Any

from tests.support.commands import run_uv
from tests.support.on_engine import BASE

if TYPE_CHECKING:
    from pathlib import Path

MICROMAMBA = """#!/usr/bin/python3
import argparse, asyncio, json, sys
sys.path.insert(0, "/opt/rattler")
import rattler
parser = argparse.ArgumentParser(prog="micromamba")
parser.add_argument("command", choices=["create"])
for flag in ("--yes", "--quiet", "--no-rc", "--always-copy"):
    parser.add_argument(flag, action="store_true", required=True)
parser.add_argument("--prefix", required=True)
parser.add_argument("--file", required=True)
given = parser.parse_args()
wanted = json.load(open(given.file))
async def create():
    found = await rattler.solve(wanted["channels"], wanted["dependencies"],
                                platforms=["linux-64", "noarch"])
    await rattler.install(found, given.prefix, show_progress=False)
try:
    asyncio.run(create())
except Exception as error:
    sys.exit(f"micromamba: {error}")
"""


def _package(name: str, version: str, links: dict[str, str], files: dict[str, str]) -> bytes:
    """A package in conda's first format.

    https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
    """
    index = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": [],
             "platform": "linux", "arch": "x86_64", "subdir": "linux-64",
             "timestamp": int(time.time() * 1000) - 10 * 86_400_000}  # fmt: skip
    paths = [
        {"_path": path, "path_type": "softlink", "sha256": hashlib.sha256(b"").hexdigest(),
         "size_in_bytes": 0}
        for path in links
    ] + [
        {"_path": path, "path_type": "hardlink", "size_in_bytes": len(text),
         "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in files.items()
    ]  # fmt: skip
    texts = {
        "info/index.json": json.dumps(index),
        "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}),
        **files,
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:bz2") as tar:
        for path, text in texts.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(text.encode()), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return packed.getvalue()


def _channel() -> dict[str, bytes]:
    """Path → content. Its Python is the base image's, in an environment."""
    python = {f"bin/{name}": "/usr/bin/python3" for name in ("python", "python3", "python3.11")}
    packages = {
        "python-3.11.2-0.tar.bz2": _package(
            "python", "3.11.2", python, {"pyvenv.cfg": "home = /usr/bin\nversion = 3.11.2\n"}
        ),
        "fixture-tool-1.5-0.tar.bz2": _package(
            "fixture-tool", "1.5", {}, {"bin/fixture-tool": "#!/bin/sh\necho a tool of conda\n"}
        ),
    }
    files = {f"linux-64/{name}": content for name, content in packages.items()}
    listed: dict[str, Any] = {}
    for name, content in packages.items():
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            index = json.load(tar.extractfile("info/index.json"))
        listed[name] = {
            **index, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
            "md5": hashlib.md5(content).hexdigest(),
        }  # fmt: skip
    for subdir, found in (("linux-64", listed), ("noarch", {})):
        repodata = {"info": {"subdir": subdir}, "packages": found, "packages.conda": {}}
        files[f"{subdir}/repodata.json"] = json.dumps(repodata).encode()
    return files


def image_context(folder: Path) -> dict[str, bytes]:
    """The build context of an image with the channel, and something that installs from it."""
    run_uv(
        *("pip", "install", "--quiet", "--target", folder, "--python-version", "3.11"),
        *("--only-binary", ":all:", "py-rattler"),
    )
    dockerfile = (
        f"FROM {BASE}\nCOPY rattler /opt/rattler\nCOPY channel /channel\n"
        "COPY micromamba /usr/local/bin/micromamba\nRUN chmod +x /usr/local/bin/micromamba\n"
    )
    return {
        "Dockerfile": dockerfile.encode(),
        "micromamba": MICROMAMBA.encode(),
        **{f"channel/{path}": content for path, content in _channel().items()},
        **{
            f"rattler/{path.relative_to(folder)}": path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        },
    }
