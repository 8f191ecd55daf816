"""The commands on images: build, inspect, load, lock, images, prune."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from container_backend.cli import options
from container_backend.machine import configure_logging, harmless, human_age, human_size, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container_backend.image import ListedImage
    from container_backend.runs import Submission

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@options.submission
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="File to write, - for standard output; default: requirements.lock in the project.",
)
@options.as_json
def lock(submission: Submission, output: Path | None, as_json: bool) -> None:
    """Resolve the packages of the project at URI, and write a lock with hashes.

    Later builds install the packages of the lock, on every machine.
    """
    from container_backend.runs import STANDARD_OUTPUT, lock_environment

    configure_logging()
    written = lock_environment(submission, output)
    answer = {
        "path": str(written.path),
        "digest": written.lock.digest,
        "layers": written.lock.layers,
    }
    if written.path == STANDARD_OUTPUT and not as_json:
        click.echo(written.lock.text, nl=False)
        return
    text = f"Wrote {written.path}: {len(written.lock.packages)} packages."
    options.show(answer, text, as_json=as_json)


@click.command()
@options.as_json
def images(as_json: bool) -> None:
    """List the environment images of the engine, most recently used first."""
    from container_backend.engine import connect
    from container_backend.image import list_images

    with closing(connect()) as engine:
        found = list_images(engine)
    if not found and not as_json:
        click.echo("There are no environment images.", err=True)
        return
    options.show([asdict(image) for image in found], image_table(found), as_json=as_json)


@click.command()
@click.argument("hashes", nargs=-1, metavar="[HASH]...")
@click.option(
    "--older-than", metavar="AGE", default="0s", help="Remove images unused for AGE, e.g. 30d."
)
@click.option(
    "--keep-last",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    help="Keep the N images used last.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed; remove nothing.")
def prune(hashes: tuple[str, ...], older_than: str, keep_last: int, dry_run: bool) -> None:
    """Remove environment images that no container uses and no run needs.

    HASH is an environment hash, or its beginning. Without HASH, prune considers all images.
    """
    from container_backend.engine import connect
    from container_backend.image import choose_unused, list_images, parse_age, remove_image

    age = parse_age(older_than)
    freed = removed = 0
    with closing(connect()) as engine:
        found = [
            image for image in list_images(engine) if not hashes or image.hash.startswith(hashes)
        ]
        for image in choose_unused(found, older_than=age, keep_last=keep_last):
            reason = None if dry_run else remove_image(engine, image)
            name = harmless(image.names[0] if image.names else image.id)
            if reason is not None:
                click.echo(f"Kept {name}: {reason}", err=True)
                continue
            removed += 1
            freed += image.size - image.shared
            click.echo(f"{'Would remove' if dry_run else 'Removed'} {name}")
    verb = "Would free" if dry_run else "Freed"
    click.echo(f"{verb} about {human_size(freed)} ({removed} images).", err=True)


@click.command()
@options.submission
@click.option("-t", "--tag", metavar="NAME", help="Build a project image of this name.")
@click.option("--push", is_flag=True, help="Push the project image to its registry.")
@click.option("--platform", metavar="OS/ARCH", help="Target platform; default: the engine's.")
@click.option(
    "--save",
    type=_FILE,
    metavar="FILE.tar",
    help="Write the project image and its environment image to a file.",
)
@click.option("--steps", is_flag=True, help="Build the images of the projects in its folders, too.")
@options.as_json
def build(
    submission: Submission,
    tag: str | None,
    push: bool,
    platform: str | None,
    save: Path | None,
    steps: bool,
    as_json: bool,
) -> None:
    """Build an image of the project at URI, and print its reference.

    Without --tag, the environment image is found or built. With --tag, a project image is built,
    which runs on any machine with Docker.
    """
    if tag is None and (push or platform or save):
        raise click.UsageError("--push, --platform and --save go with --tag NAME.")
    configure_logging()
    answer: dict[str, object]
    if tag is None:
        from container_backend.runs import build_environment

        image = build_environment(submission)
        reference = image.reference
        answer = {"image": reference, "digest": image.digest, "environment_hash": image.hash}
    else:
        from container_backend.share import build_and_share

        built = build_and_share(submission, tag, push=push, platform=platform, output=save)
        reference = built.reference
        answer = {
            "image": reference,
            "id": built.id,
            "digest": built.digest,
            "environment_image": built.environment.reference,
            "environment_hash": built.environment.hash,
            "file": None if built.saved is None else str(built.saved),
        }
    if steps:
        from container_backend.runs import build_steps

        built_steps = {folder: each.reference for folder, each in build_steps(submission).items()}
        answer["steps"] = built_steps
        reference = "\n".join([reference, *built_steps.values()])
    options.show(answer, reference, as_json=as_json)


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of our images on the engine; none without an engine."""
    from container_backend import labels_and_tags
    from container_backend.engine import connect
    from container_backend.errors import EngineUnavailable

    try:
        with closing(connect()) as engine:
            # Environment images and project images have this label.
            listed = engine.images.find(labels_and_tags.LABEL_ENVIRONMENT_HASH)
    except EngineUnavailable:
        return []
    kept = [image for image in listed if labels_and_tags.LABEL_SHARED_CODE not in image["Labels"]]
    found = [str(name) for image in kept for name in image.get("RepoTags") or []]
    return sorted(name for name in found if name.startswith(incomplete) and "<none>" not in name)


@click.command()
@click.argument("image", shell_complete=_complete)
@options.as_json
def inspect(image: str, as_json: bool) -> None:
    """Show the entry points, parameters, environment and origin of IMAGE.

    A missing image is pulled. Nothing runs.
    """
    from container_backend.image import inspect_image

    configure_logging()
    facts = inspect_image(image)
    options.show(facts.as_json(), facts.as_text(), as_json=as_json)


@click.command()
@click.argument("file", type=_FILE, metavar="FILE.tar")
@options.as_json
def load(file: Path, as_json: bool) -> None:
    """Load the images from a file of `build --save`, and print their references."""
    from container_backend.engine import connect
    from container_backend.image import load_images

    configure_logging()
    with closing(connect()) as engine:
        found = load_images(engine, file)
    names = "\n".join(name for image in found for name in image.names)
    if names or as_json:  # an image may have no name
        options.show([asdict(image) for image in found], names, as_json=as_json)


def image_table(images: Sequence[ListedImage], now: float | None = None) -> str:
    now = time.time() if now is None else now
    head = ("HASH", "PYTHON", "SIZE", "SHARED", "CREATED", "LAST USED", "IN USE", "PROJECTS")
    return table(
        head,
        [
            (
                image.hash[:12],
                image.python,
                human_size(image.size),
                human_size(image.shared),
                human_age(now - image.created),
                "-" if image.last_used is None else human_age(now - image.last_used),
                str(image.containers),
                ", ".join(image.projects) or "-",
            )
            for image in images
        ],
    )


IMAGE_COMMANDS: Final[Sequence[click.Command]] = (build, images, inspect, load, lock, prune)
