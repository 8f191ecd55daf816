"""Packages, and an index of them in a container of its own, which builds reach."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import textwrap
import zipfile
from typing import TYPE_CHECKING, Literal

from tests.support.client import client_of
from tests.support.waiting import wait_until
from tests.support.worker import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine

USER, PASSWORD = "index-user", "p4ssw0rd-0f-the-index"
# HTTP, with a login below `/private`; `/slow` never answers.
_SERVER = f"""
    import base64, http.server, time
    LOGIN = "Basic " + base64.b64encode(b"{USER}:{PASSWORD}").decode()
    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if "/slow" in self.path:
                time.sleep(600)
            if self.path.startswith("/private") and self.headers.get("Authorization") != LOGIN:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.end_headers()
                return
            super().do_GET()
        def end_headers(self):
            # As the public index has them; the next server may have the same address.
            is_kept = self.path.endswith(".whl")
            age = "max-age=365000000, immutable" if is_kept else "max-age=0"
            self.send_header("Cache-Control", age)
            super().end_headers()
    http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def wheel(
    name: str, version: str, files: Mapping[str, str | bytes] | None = None, requires: str = ""
) -> bytes:
    """A small wheel; always the same, for engines remember what was locked.

    Args:
        files: Path → content; default: a module with its version.
        requires: A requirement.
    """
    info = f"{name}-{version}.dist-info"
    needed = f"Requires-Dist: {requires}\n" if requires else ""
    content: dict[str, str | bytes] = {
        **(files or {f"{name}.py": f"VERSION = {version!r}\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}",
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return packed.getvalue()


def source(name: str, version: str, setup: str) -> bytes:
    """A source archive whose requirements are known without a build: there are none."""
    info = f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
    top = f"{name}-{version}"
    return tar_of({f"{top}/PKG-INFO": info.encode(), f"{top}/setup.py": setup.encode()}, "w:gz")


def tar_of(files: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w") -> bytes:
    """An archive, as an engine takes it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    # Always the same, for engines remember what was locked: gzip writes down the time.
    return packed.getvalue() if mode == "w" else gzip.compress(packed.getvalue(), mtime=0)


@contextlib.contextmanager
def serving(engine: Engine, packages: Mapping[str, bytes]) -> Iterator[str]:
    """The address of an index, ``HOST:PORT``: everything is below ``/simple`` and ``/private/simple``.

    Args:
        packages: File name of a wheel or source archive → content.
    """
    files = {"serve.py": textwrap.dedent(_SERVER).encode()}
    for top in ("simple", "private/simple"):
        for file, content in packages.items():
            name = file.partition("-")[0].replace("_", "-")
            files[f"{top}/{name}/{file}"] = content
            same = [each for each in packages if each.partition("-")[0] == file.partition("-")[0]]
            links = "".join(f'<a href="{each}">{each}</a>' for each in same)
            page = f"<html><body>{links}</body></html>"
            files[f"{top}/{name}/index.html"] = page.encode()
    packed = tar_of({f"srv/{path}": content for path, content in files.items()})
    container = client_of(engine).containers.create(
        BASE, ["python3", "/srv/serve.py"], working_dir="/srv"
    )
    try:
        container.put_archive("/", packed)
        container.start()
        container.reload()
        host = container.attrs["NetworkSettings"]["IPAddress"]
        probe = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8000))"]
        wait_until(lambda: container.exec_run(probe).exit_code == 0)
        yield f"{host}:8000"
    finally:
        container.remove(force=True)
