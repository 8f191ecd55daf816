"""Project images: how fast one is made, how much of it is sent, how soon its program starts."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, in_turns, one
from container_backend.image.registry import push_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

MEGABYTE: Final = 1_000_000
_FILES: Final = 10


def sharing(connected: Engine, rounds: int) -> Iterator[Figure | Ratio]:
    """A project of 10 MB that cannot be compressed, in the example's environment."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = _project(Path(temporary) / "project")
        tag = f"container-backend-test/bench-{uuid.uuid4().hex[:8]}:1"
        environment = container_backend.build(str(folder))

        def build() -> None:
            peers.run("container-backend", "build", str(folder), "-t", tag, cwd=folder)

        def build_changed() -> float:
            (folder / "data0").write_bytes(os.urandom(MEGABYTE))
            return in_turns({"": build}, 1)[""].median

        build()
        times = in_turns({"build": build_changed}, rounds)
        yield Figure("project image of 10 MB, known environment", times["build"], 2, "s")
        yield _pushed(connected, environment, tag)
        yield _start(folder, tag, 3 * rounds)
        peers.remove_images(connected, [tag])


def _project(folder: Path) -> Path:
    folder.mkdir()
    for name in ("python_env.yaml", "requirements.txt"):
        shutil.copy(peers.EXAMPLE / name, folder)
    (folder / "MLproject").write_text(
        "name: bench\npython_env: python_env.yaml\nentry_points: {main: {command: 'true'}}\n"
    )
    for number in range(_FILES):
        (folder / f"data{number}").write_bytes(os.urandom(MEGABYTE))
    return folder


def _pushed(connected: Engine, environment: str, tag: str) -> Ratio:
    """Bytes that a registry gets that has the environment already."""
    with peers.registry() as (address, stored):
        sent = []
        for name, image in (("environment", environment), ("project", tag)):
            reference = f"{address}/team/salary:{name}"
            connected.images.tag(image, reference)
            before = stored()
            push_image(connected, reference)
            sent.append((stored() - before) / MEGABYTE)
            peers.remove_images(connected, [reference])
    return Ratio(
        "bytes pushed for a project / its size", one(sent[1]), one(float(_FILES)), 1.1, "MB"
    )


def _start(folder: Path, tag: str, rounds: int) -> Figure:
    """From `docker run` to its exit, with the runner and its shell, and without."""
    contenders = {
        "runner": lambda: peers.run("docker", "run", "--rm", tag, cwd=folder),
        "bare": lambda: peers.run("docker", "run", "--rm", "--entrypoint", "true", tag, cwd=folder),
    }
    in_turns(contenders, 1)
    times = in_turns(contenders, rounds)
    bare = times["bare"].median
    milliseconds = times["runner"].map(lambda seconds: (seconds - bare) * 1000)
    return Figure("start of a project image / bare docker run: more by", milliseconds, 100, "ms")
