"""The commands for images that are made and handed on: ``build``, ``inspect``, ``load``."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from container_backend import cli_options as options
from container_backend.config import parse_config
from container_backend.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("uri")
@options.entry_point
@options.version
@options.backend_config()
@click.option(
    "-t", "--tag", metavar="NAME", help="Make an image of the project with this name, that runs it."
)
@click.option("--push", is_flag=True, help="Push that image to its registry.")
@click.option("--platform", metavar="OS/ARCH", help="What it is for; by default, the engine's.")
@click.option(
    "--save", type=_FILE, metavar="FILE.tar", help="Write that image and its environment to a file."
)
@options.as_json
def build(
    uri: str,
    entry_point: str,
    version: str | None,
    backend_config: dict[str, Any],
    tag: str | None,
    push: bool,
    platform: str | None,
    save: Path | None,
    as_json: bool,
) -> None:
    """Build an image of the project at URI, and print its reference.

    Without --tag, that is the image of its environment, which is found or built; with it, an image
    that anybody with Docker can run.
    """
    if tag is None and (push or platform or save):
        raise click.UsageError("--push, --platform and --save go with --tag NAME.")
    config = parse_config(backend_config)
    from container_backend.console_log import configure_logging

    configure_logging()
    submission = Submission(uri=uri, entry_point=entry_point, version=version, config=config)
    if tag is not None:
        _build_project(submission, tag, push, platform, save, as_json)
        return
    from container_backend.prepare import build_environment

    image = build_environment(submission)
    answer = {"image": image.reference, "digest": image.digest, "environment_hash": image.hash}
    click.echo(json.dumps(answer, indent=2) if as_json else image.reference)


def _build_project(
    submission: Submission,
    tag: str,
    push: bool,
    platform: str | None,
    save: Path | None,
    as_json: bool,
) -> None:
    from container_backend.sharing import build_and_share

    built = build_and_share(submission, tag, push=push, platform=platform, output=save)
    answer = {
        "image": built.reference,
        "id": built.id,
        "digest": built.digest,
        "environment_image": built.environment.reference,
        "environment_hash": built.environment.hash,
        "file": None if built.saved is None else str(built.saved),
    }
    click.echo(json.dumps(answer, indent=2) if as_json else built.reference)


def _complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of our images on the engine; none where there is no engine to ask."""
    from container_backend import names
    from container_backend.engine import connect
    from container_backend.errors import EngineUnavailable

    try:
        with closing(connect()) as engine:
            # Both kinds have this label.
            listed = engine.client.api.images(filters={"label": names.LABEL_ENVIRONMENT_HASH})
    except EngineUnavailable:
        return []
    kept = [image for image in listed if names.LABEL_SHARED_CODE not in image["Labels"]]
    found = [str(name) for image in kept for name in image.get("RepoTags") or []]
    return sorted(name for name in found if name.startswith(incomplete) and "<none>" not in name)


@click.command()
@click.argument("image", shell_complete=_complete)
@options.as_json
def inspect(image: str, as_json: bool) -> None:
    """Say what is in IMAGE: entry points and parameters, environment, origin. Nothing is run.

    One that is not on the engine is pulled.
    """
    from container_backend.console_log import configure_logging
    from container_backend.inspection import inspect_image

    configure_logging()
    facts = inspect_image(image)
    click.echo(json.dumps(facts.as_json(), indent=2) if as_json else facts.as_text())


@click.command()
@click.argument("file", type=_FILE, metavar="FILE.tar")
@options.as_json
def load(file: Path, as_json: bool) -> None:
    """Load the images of a file that `build --save` wrote, and print their references."""
    from container_backend.console_log import configure_logging
    from container_backend.engine import connect
    from container_backend.image_archive import load_images

    configure_logging()
    with closing(connect()) as engine:
        found = load_images(engine, file)
    if as_json:
        click.echo(json.dumps([asdict(image) for image in found], indent=2))
        return
    for image in found:
        for name in image.names:
            click.echo(name)


IMAGE_COMMANDS: Final[Sequence[click.Command]] = (build, inspect, load)
