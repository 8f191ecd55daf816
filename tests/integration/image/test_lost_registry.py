"""A registry that vanishes while an environment image is sent to it, or got from it."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import tarfile
import uuid
from contextlib import closing
from pathlib import Path

import docker
import pytest

import container_backend
from container_backend import labels_and_tags
from tests.support.client import client_of
from tests.support.commands import command, run_command
from tests.support.forwarding import Failing
from tests.support.on_engine import remove_images
from tests.support.runs import runs

pytestmark = pytest.mark.usefixtures("fresh")
USER, PASSWORD = "me", "r3gistry-password"
LOGIN = {"username": USER, "password": PASSWORD}
# In bytes; the images have more.
LIMIT = 10_000_000


def push_something(engine, reference: str, environment_hash: str) -> None:
    """An image of that environment, of which this engine has no layer."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("big")
        entry.size = 2 * LIMIT
        tar.addfile(entry, io.BytesIO(os.urandom(2 * LIMIT)))
    label = f"LABEL {labels_and_tags.LABEL_ENVIRONMENT_HASH}={environment_hash}"
    api = client_of(engine).api
    api.import_image_from_data(packed.getvalue(), reference, environment_hash, changes=[label])
    answers = list(
        api.push(reference, environment_hash, auth_config=LOGIN, stream=True, decode=True)
    )
    remove_images(engine, f"{reference}:{environment_hash}")
    assert not [answer for answer in answers if "error" in answer]


@pytest.mark.slow
def test_a_registry_that_vanishes_half_way(project, registry, engine, tmp_path):
    """The engine tries again for a minute: a pull and a push are waited for at once."""
    requirements = f"--find-links https://{uuid.uuid4()}.test/\n"
    pulls = Path(project("entry_points: {main: {command: 'true'}}\n"))
    (pulls / "requirements.txt").write_text(requirements)
    pushes = Path(shutil.copytree(pulls, tmp_path / "pushes"))
    (pushes / "requirements.txt").write_text(f"{requirements}--find-links https://x.test/\n")
    repository = f"{registry}/team/x"
    planned = run_command("container-backend", "run", str(pulls), "--dry-run", "--json", check=True)
    push_something(engine, repository, json.loads(planned.stdout)["environment_hash"])
    assert runs() == []  # and there is a store
    port = int(registry.partition(":")[2])
    with closing(Failing(port, LIMIT)) as one, closing(Failing(port, LIMIT)) as two:
        addresses = [f"127.0.0.1:{failing.port}" for failing in (one, two)]
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        logins = {"auths": {address: {"auth": login} for address in addresses}}
        (tmp_path / "config.json").write_text(json.dumps(logins))
        environ = {**os.environ, "DOCKER_CONFIG": str(tmp_path)}
        pull = json.dumps({"image_repository": f"{addresses[0]}/team/x"})
        push = json.dumps({"image_repository": f"{addresses[1]}/team/x", "push": True})
        with (
            command("container-backend", "run", str(pulls), "-c", pull, env=environ) as pulling,
            command("container-backend", "run", str(pushes), "-c", push, env=environ) as pushing,
        ):
            pulled, pushed = (each.communicate(timeout=240)[1] for each in (pulling, pushing))
        assert one.is_gone, pulled
        assert two.is_gone, pushed
    ended = {run.data.tags["mlflow.source.name"]: run for run in runs()}

    # What cannot be got is built.
    assert pulling.returncode == 0, pulled
    assert f"The connection to the registry of {addresses[0]}/team/x:" in pulled
    assert f"The image '{addresses[0]}/team/x:" in pulled
    assert "cannot be pulled" in pulled
    assert "=== Built" in pulled
    assert ended[str(pulls)].info.status == "FINISHED"

    # What cannot be shared ends the run that was to share it.
    assert pushing.returncode == container_backend.ImageUnavailable.exit_code
    assert "cannot be pushed" in pushed
    assert pushed.count("Error: ") == 1
    assert "Traceback" not in pulled + pushed
    assert ended[str(pushes)].info.status == "FAILED"
    assert "cannot be pushed" in ended[str(pushes)].data.tags[labels_and_tags.TAG_REASON]
    environment_hash = ended[str(pushes)].data.tags[labels_and_tags.TAG_ENVIRONMENT_HASH]
    with pytest.raises(docker.errors.APIError) as caught:
        client_of(engine).api.inspect_distribution(
            f"{repository}:{environment_hash}", auth_config=LOGIN
        )
    assert caught.value.status_code == 404
