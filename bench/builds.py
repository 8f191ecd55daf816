"""Images: how fast they are made and changed, how big they are, what of them is sent."""

from __future__ import annotations

import itertools
import re
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import container_backend
from bench import peers
from bench.measure import Figure, Ratio, Sample, in_turns, one
from container_backend.config import BackendConfig
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.read import read_environment
from container_backend.environment.spec import EnvironmentSpec
from container_backend.image.base import resolve_base
from container_backend.image.build import build
from container_backend.image.dockerfile import LAYERS
from container_backend.image.find import find_image
from container_backend.image.hash import ImagePlan, plan_image
from container_backend.image.registry import push_image
from container_backend.privileges import Giver, Permissions
from container_backend.project.mlproject import read_project
from tests.support.client import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container_backend.engine import Engine

CACHE_ID: Final = "id=container-backend-packages"
# Small packages without dependencies, in two versions: what a person might add to a project.
SMALL_PACKAGES: Final = (
    ("humanize", "4.10.0", "4.11.0"),
    ("tabulate", "0.8.10", "0.9.0"),
    ("toolz", "0.12.1", "1.0.0"),
    ("xxhash", "3.4.1", "3.5.0"),
    ("sortedcontainers", "2.3.0", "2.4.0"),
    ("termcolor", "2.4.0", "2.5.0"),
    ("parse", "1.20.1", "1.20.2"),
)
MEGABYTE: Final = 1_000_000


def example_environment(*more: str) -> EnvironmentSpec:
    """The example's, with some requirements more."""
    spec = read_environment(
        read_project(peers.EXAMPLE, ENVIRONMENT_KEYS),
        None,
        BackendConfig(),
        Permissions(Giver.USER),
    )
    assert isinstance(spec, EnvironmentSpec)
    names = tuple(requirement.partition("==")[0] for requirement in more)
    return replace(spec, requirements=(*spec.requirements, *more), direct=(*spec.direct, *names))


def plan(connected: Engine, spec: EnvironmentSpec) -> ImagePlan:
    """On the usual base."""
    base = resolve_base(connected, f"python:{spec.python}-slim")
    return plan_image(spec, base, connected.facts.platform)


def with_dockerfile(planned: ImagePlan, dockerfile: str) -> ImagePlan:
    """The plan with another Dockerfile, and a name that no environment has."""
    tag = f"container-backend-bench/ours:{uuid.uuid4().hex}"
    return replace(planned, dockerfile=dockerfile, hash=f"bench-{uuid.uuid4().hex}", tag=tag)


def as_if_new(planned: ImagePlan) -> ImagePlan:
    """The plan, with the steps that a new requirement repeats as if no bench had run them before."""
    repeated = rf"sh (?=/build/resolve\.sh |/build/install\.sh \S+ {LAYERS[-1]}$)"
    dockerfile, count = re.subn(
        repeated, f": {uuid.uuid4()}; sh ", planned.dockerfile, flags=re.MULTILINE
    )
    assert count == 2  # noqa: PLR2004 the two steps above
    return with_dockerfile(planned, dockerfile)


class Ours:
    """Environment images as the product makes them."""

    def __init__(self, connected: Engine) -> None:
        """The example's environment is built, and with it all caches filled."""
        self.connected = connected
        self.made: list[str] = []
        self._packages: Iterator[tuple[str, str, str]] = itertools.cycle(SMALL_PACKAGES)
        self._changed: Iterator[tuple[str, str, str]] = itertools.cycle(SMALL_PACKAGES)
        container_backend.build(str(peers.EXAMPLE))

    def _build(self, planned: ImagePlan, *, no_cache: bool = False) -> None:
        self.made.append(planned.tag)
        build(self.connected, planned, no_cache=no_cache)

    def from_nothing(self) -> None:
        """Without any step, download or wheel of before: caches under another name."""
        planned = plan(self.connected, example_environment())
        dockerfile = planned.dockerfile.replace(CACHE_ID, f"id=bench-{uuid.uuid4()}")
        assert dockerfile != planned.dockerfile
        self._build(with_dockerfile(planned, dockerfile), no_cache=True)

    def warm(self) -> None:
        """Without any step of before, but with its downloads: not by ``nocache``, which has none."""
        planned = plan(self.connected, example_environment())
        planned = with_dockerfile(planned, planned.dockerfile)
        # All steps see this folder.
        changed = {**planned.context, "build/bench": uuid.uuid4().bytes}
        self._build(replace(planned, context=changed))

    def one_more(self) -> None:
        """With a small package more."""
        name, _, _ = next(self._packages)
        self._build(as_if_new(plan(self.connected, example_environment(name))))

    def before_a_change(self) -> str:
        """Build with a small package in an older version; gives it in a newer one."""
        name, older, newer = next(self._changed)
        self._build(as_if_new(plan(self.connected, example_environment(f"{name}=={older}"))))
        return f"{name}=={newer}"

    def changed(self, requirement: str) -> None:
        """With that package in the newer version."""
        self._build(as_if_new(plan(self.connected, example_environment(requirement))))


def builds(connected: Engine, rounds: int) -> Iterator[Ratio]:
    """The example's environment against a Dockerfile, and against MLflow's own environments."""
    ours = Ours(connected)
    ours.warm()  # a build by ``rebuild``, as for the memory above, leaves caches of its own
    requirements = (peers.EXAMPLE / "requirements.txt").read_text()

    def changed() -> float:
        requirement = ours.before_a_change()
        return in_turns({"": lambda: ours.changed(requirement)}, 1)[""].median

    with tempfile.TemporaryDirectory() as folder:
        managers = {name: peers.Manager(name, Path(folder) / name) for name in ("uv", "virtualenv")}
        times = in_turns(
            {
                # What writes a lot is followed by what writes little: disks go on for a while.
                "plain": lambda: peers.build_plain_image(connected, requirements),
                "uv nothing": managers["uv"].from_nothing,
                "uv warm": managers["uv"].warm,
                "uv more": managers["uv"].one_more,
                "nothing": ours.from_nothing,
                "more": ours.one_more,
                "virtualenv nothing": managers["virtualenv"].from_nothing,
                "virtualenv warm": managers["virtualenv"].warm,
                "virtualenv more": managers["virtualenv"].one_more,
                "warm": ours.warm,
                "changed": changed,
            },
            rounds,
        )
    peers.remove_images(connected, ours.made)
    yield Ratio("image from nothing / plain Dockerfile", times["nothing"], times["plain"], 0.40)
    yield Ratio("image with warm caches / plain", times["warm"], times["plain"], 0.30)
    yield Ratio("one light package more / plain", times["more"], times["plain"], 0.08)
    yield Ratio("one light package changed / plain", times["changed"], times["plain"], 0.08)
    for name in ("virtualenv", "uv"):
        for kind, what, limit in (
            ("nothing", "from nothing", 0.40),
            ("warm", "with warm caches", 0.30),
            ("more", "one light package more", 0.08),
        ):
            peer = times[f"{name} {kind}"]
            yield Ratio(f"{what} / mlflow run --env-manager {name}", times[kind], peer, limit)


def size(connected: Engine) -> Ratio:
    """Of the image; both have bytecode. The plain one is there from the builds."""
    ours, plain = (
        client_of(connected).api.inspect_image(reference)["Size"] / MEGABYTE
        for reference in (container_backend.build(str(peers.EXAMPLE)), peers.PLAIN_IMAGE)
    )
    return Ratio("image's size / plain", one(ours), one(plain), 1.0, "MB")


def pushed(connected: Engine) -> Ratio:
    """Bytes that a registry gets for a small package more, of all that it got for the image."""
    ours = Ours(connected)
    with peers.registry() as (address, stored):
        sent = []
        for requirements in ((), SMALL_PACKAGES[0][:1]):
            planned = plan(connected, example_environment(*requirements))
            planned = with_dockerfile(planned, planned.dockerfile)
            build(connected, planned)
            reference = f"{address}/environments:{len(sent)}"
            connected.images.tag(planned.tag, reference)
            before = stored()
            push_image(connected, reference)
            sent.append((stored() - before) / MEGABYTE)
            ours.made += [planned.tag, reference]
    peers.remove_images(connected, ours.made)
    return Ratio(
        "bytes pushed for one light package more / for all", one(sent[1]), one(sent[0]), 0.05, "MB"
    )


def memory(connected: Engine, rounds: int) -> Figure:
    """Of the command that builds, over the least that it ever takes: 1 GB of data, 100 MB sent."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = peers.big_project(Path(temporary))
        start = peers.peak_memory("container-backend", "--version")
        command = ("container-backend", "build", str(folder), "-c", '{"rebuild": true}')
        peaks = [peers.peak_memory(*command) for _ in range(rounds)]
        peers.remove_images(connected, [container_backend.build(str(folder))])
    grown = Sample(tuple((peak - start) / MEGABYTE for peak in peaks))
    return Figure("memory of a build with 1 GB of data and 100 MB sent", grown, 150, "MB")


def look_up(connected: Engine, rounds: int) -> Figure:
    """From the project's files to its image, which is there."""

    def found() -> None:
        assert find_image(connected, plan(connected, example_environment())) is not None

    times = in_turns({"look-up": found}, rounds)
    return Figure(
        "environment read, hashed, and its image found",
        times["look-up"].map(lambda seconds: seconds * 1000),
        30,
        "ms",
    )
