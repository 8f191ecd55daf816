"""What is in an image: asked of the engine, or else of its registry. Nothing is run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from container_backend.config import is_image_reference
from container_backend.engine import connect
from container_backend.errors import InvalidConfig
from container_backend.image_build import lock_of
from container_backend.image_facts import ENVIRONMENT, ImageFacts, read_image
from container_backend.ready_image import have
from container_backend.references import IMAGE_SCHEME


def inspect_image(image: str) -> ImageFacts:
    """What is known of an image of ours; one that is not on the engine is pulled.

    Args:
        image: Its name, or ``docker://`` and its name.

    Raises:
        InvalidConfig: That is not a name.
        InvalidInput: The image was not made by this package.
        ImageUnavailable: It is nowhere to be had.
    """
    reference = image.removeprefix(IMAGE_SCHEME)
    if not is_image_reference(reference):
        raise InvalidConfig(
            f"'{image}' is not the name of an image.",
            remedy="One looks like 'registry.example:5000/team/salary:1.0'.",
        )
    with closing(connect()) as engine:
        facts = read_image(reference, have(engine, reference))
        if facts.kind == ENVIRONMENT:
            lock = lock_of(engine, facts.id)
            facts = replace(facts, packages=len(lock.packages) if lock else None)
        return facts
