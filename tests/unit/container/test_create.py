"""A container as people are shown it before it is made."""

from __future__ import annotations

from container_backend.container.docker_args import DockerArgs
from container_backend.container.spec import ContainerSpec
from container_backend.project.archive import Owner

SECRETS = ("pa55-word", "pw", "t0ken", "s3cret")


def test_no_secret_is_in_what_is_shown_of_a_container():
    spec = ContainerSpec(
        name="name",
        image="image",
        command="python main.py --store http://me:pa55-word@host:5000/x",
        environment={
            "MLFLOW_TRACKING_URI": "http://me:pa55-word@host:5000",
            "SHORT": "http://me:pw@elsewhere",
            "API_TOKEN": "t0ken",
            "DATABASE": "postgresql://host/db?user=me&password=s3cret",
            "PLAIN": "plain",
        },
        labels={},
        mounts=(),
        owner=Owner(1000, 1000),
        network=None,
        groups=(),
        args=DockerArgs(),
    )
    shown = spec.describe()
    assert not [secret for secret in SECRETS if secret in shown], shown
    assert "MLFLOW_TRACKING_URI=http://me:***@host:5000" in shown
    assert "PLAIN=plain" in shown
    assert "--store http://me:***@host:5000/x" in shown
