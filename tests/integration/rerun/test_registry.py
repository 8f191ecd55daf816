"""Runs of before whose image is in a registry: it is had by its digest, as long as it is there."""

from __future__ import annotations

import json
import uuid

import pytest
from mlflow.tracking import MlflowClient

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import run_command
from tests.support.on_engine import remove_images
from tests.support.servers import private_registry

pytestmark = pytest.mark.usefixtures("fresh")


def rerun(run_id: str, *options: str) -> tuple[dict[str, str], str, str]:
    """What is said of each line, the new run's image digest, and the log."""
    done = run_command("container-backend", "rerun", run_id, "--json", *options, check=True)
    said = json.loads(done.stdout)
    new = MlflowClient().get_run(said["runs"][1]).data.tags
    verdicts = {line["what"]: line["verdict"] for line in said["lines"] if not line["name"]}
    return verdicts, new[labels_and_tags.TAG_IMAGE_DIGEST], done.stderr


def forget(engine, reference: str) -> None:
    """As on an engine that has never seen the image."""
    remove_images(engine, client_of(engine).images.get(reference).id)


@pytest.mark.slow
def test_an_image_is_pulled_by_its_digest_and_built_when_the_registry_has_lost_it(
    project, engine, tmp_path, logged_in
):
    # An environment of the test's own.
    folder = project(
        "entry_points: {main: {command: 'true'}}\n",
        requirements__txt="six==1.17.0\n",
        Dockerfile__j2=f"{{% block final %}}\n{{{{ super() }}}}\nENV OWN={uuid.uuid4().hex}\n"
        "{% endblock %}\n",
    )
    with private_registry(tmp_path) as address:
        logged_in(address)
        config = {"image_repository": f"{address}/team/environments", "push": True}
        first = container_backend.run(folder, backend_config=config).run_id
        tags = MlflowClient().get_run(first).data.tags
        digest = tags[labels_and_tags.TAG_REPOSITORY_DIGEST]
        assert digest.startswith(f"{address}/team/environments@sha256:")
        forget(engine, tags[labels_and_tags.TAG_IMAGE])
        # The record may name any image of any registry.
        refused = run_command("container-backend", "rerun", first)
        assert refused.returncode == 2
        hint = f'"image_repository": "{address}/team/environments"'
        assert hint in refused.stderr
        verdicts, found, said = rerun(first, "-c", f"{{{hint}}}")
        assert set(verdicts.values()) == {"same"}
        assert f"=== Pulling environment image {digest} ===" in said
        assert found == tags[labels_and_tags.TAG_IMAGE_DIGEST]
        forget(engine, digest)
    verdicts, _, said = rerun(first, "--trust")
    assert "=== Building environment image" in said
    assert verdicts.pop("image") == "built again"
    assert set(verdicts.values()) == {"same"}
