"""BuildKit over the Engine API: sessions, secrets, registries, on every kind of connection."""

from __future__ import annotations

import contextlib
import secrets
import ssl
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest
from docker.tls import TLSConfig

from container_backend.engine import EngineHost, Login, connect
from container_backend.errors import EngineUnavailable
from container_backend.image.buildkit.build import BuildRequest, build_image
from container_backend.image.buildkit.errors import BuildFailed
from container_backend.image.buildkit.session import BuildSession
from tests.support.client import client_of
from tests.support.forwarding import forward
from tests.support.on_engine import BASE, remove_images
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def dockerfile(*lines: str, base: str = BASE) -> dict[str, bytes]:
    return {"Dockerfile": "\n".join([f"FROM {base}", *lines, ""]).encode()}


@pytest.fixture
def build(engine) -> Iterator[object]:
    """Builds on the engine; what was built is removed in the end."""
    built = []

    def run(context, where=engine, on_progress=None, **options):
        image = build_image(where, BuildRequest(context, **options), on_progress=on_progress)
        built.append(image)
        return image

    yield run
    remove_images(engine, *built)


def socket_of(engine) -> str:
    return engine.host.url.removeprefix("unix://")


def unique() -> str:
    """Makes a step one that was never run before."""
    return f"ENV X={uuid.uuid4()}"


def test_tags_labels_and_arguments_reach_the_image(build, engine):
    image = build(
        dockerfile("ARG A", "ENV A=$A"),
        tags=("container-backend-test/a:1", "container-backend-test/a:2"),
        labels={"l": "ü 1"},
        build_args={"A": "b c"},
    )
    found = client_of(engine).images.get("container-backend-test/a:2")
    assert found.id == image
    assert found.labels["l"] == "ü 1"
    assert "A=b c" in found.attrs["Config"]["Env"]


@pytest.mark.parametrize("size", [1, 70_000, 400_000])
def test_a_secret_arrives_whole_and_stays_out_of_the_image(build, engine, size):
    secret = secrets.token_hex(size)[:size].encode()
    image = build(
        dockerfile(
            unique(), "RUN --mount=type=secret,id=s sha256sum < /run/secrets/s | cut -c1-64 > /sum"
        ),
        secrets={"s": secret},
    )
    import hashlib

    output = client_of(engine).containers.run(image, ["cat", "/sum"], remove=True)
    assert output.decode().strip() == hashlib.sha256(secret).hexdigest()
    if size > 1:
        content = b"".join(client_of(engine).images.get(image).save())
        assert secret[:60] not in content


def test_a_required_secret_that_is_missing_is_named(build):
    step = "RUN --mount=type=secret,id=gone,required=true true"
    with pytest.raises(BuildFailed, match="gone"):
        build(dockerfile(unique(), step))


def test_a_failed_step_is_named_with_its_last_output(build):
    step = "RUN exec 2>&1; echo one; echo two >&2; printf 'no newline'; exit 7"
    with pytest.raises(BuildFailed) as caught:
        build(dockerfile(unique(), "RUN echo before", step))
    assert caught.value.step.endswith(step)
    assert caught.value.output == ("one", "two", "no newline")
    assert "exit code: 7" in caught.value.message


def test_a_dockerfile_that_cannot_be_read(build):
    with pytest.raises(BuildFailed, match="unknown instruction"):
        build(dockerfile("FROBNICATE"))


def test_a_wrong_tag_is_refused_by_the_engine_and_said(build):
    with pytest.raises(BuildFailed, match="invalid reference format"):
        build(dockerfile(), tags=("Not A Tag",))


def test_steps_are_told_of_as_they_happen(build):
    events = []
    marker = unique()
    build(dockerfile(marker, "RUN echo hello"), on_progress=events.append)
    told = [(event.kind, event.text) for event in events if "echo hello" in event.step]
    assert told == [("started", None), ("output", "hello"), ("completed", None)]
    events.clear()
    build(dockerfile(marker, "RUN echo hello"), on_progress=events.append)
    assert "cached" in [event.kind for event in events if "echo hello" in event.step]


def test_many_builds_in_a_row(build):
    context = dockerfile("RUN --mount=type=secret,id=s cat /run/secrets/s")
    assert len({build(context, secrets={"s": b"x"}) for _ in range(20)}) == 1


def test_an_interrupt_stops_the_build_in_the_engine(build):
    seconds = f"3{secrets.randbelow(10**6):06d}"

    def interrupt(event):
        if event.kind == "started" and seconds in event.step:
            wait_until(lambda: _sleeping(seconds))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(dockerfile(unique(), f"RUN sleep {seconds}"), on_progress=interrupt)
    wait_until(lambda: not _sleeping(seconds))


def _sleeping(seconds: str) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return f"sleep {seconds}" in listed.stdout.splitlines()


def test_over_tcp(build, engine):
    with forward(socket_of(engine)) as port:
        step = "RUN --mount=type=secret,id=s test $(cat /run/secrets/s) = x"
        with contextlib.closing(connect(EngineHost(f"tcp://127.0.0.1:{port}"))) as connected:
            build(dockerfile(unique(), step), connected, secrets={"s": b"x"})


def test_over_tls_with_certificates_of_both_sides(build, engine, tmp_path):
    _make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    context.load_verify_locations(tmp_path / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    tls = TLSConfig(
        client_cert=(str(tmp_path / "client.pem"), str(tmp_path / "client.key")),
        ca_cert=str(tmp_path / "ca.pem"),
        verify=True,
    )
    step = "RUN --mount=type=secret,id=s test $(cat /run/secrets/s) = x"
    with forward(socket_of(engine), context) as port, pytest.MonkeyPatch.context() as patch:
        # requests would take the bundle of this variable instead of the engine's own.
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            patch.delenv(name, raising=False)
        url = f"tcp://127.0.0.1:{port}"
        with contextlib.closing(connect(EngineHost(url, tls))) as connected:
            build(dockerfile(unique(), step), connected, secrets={"s": b"x"})
        patch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")
        connect(EngineHost(url, tls)).close()
        untrusted = EngineHost(url, TLSConfig(verify=True))
        with pytest.raises(EngineUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            BuildSession(untrusted).__enter__()


def _make_certificates(folder: Path) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem"),
        *("-days", "2", "-subj", "/CN=test ca"),
    )
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"),
            *("-out", f"{name}.csr", "-subj", f"/CN={name}"),
        )
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", "extensions"),
        )


@pytest.mark.slow
def test_a_private_base_is_pulled_with_a_login_and_refused_without(build, engine, registry):
    reference = f"{registry}/private/base:1"
    login = {"username": "me", "password": "r3gistry-password"}
    image = client_of(engine).images.get(BASE)
    image.tag(f"{registry}/private/base", "1")

    def push() -> bool:
        answers = client_of(engine).api.push(reference, auth_config=login, stream=True, decode=True)
        return not any("error" in answer for answer in answers)

    wait_until(push)
    remove_images(engine, reference)
    asked = []

    def credentials(host):
        asked.append(host)
        return Login(**login)

    with pytest.raises(BuildFailed) as caught:
        build(dockerfile(base=reference), credentials=None)
    assert "authorization" in caught.value.message or "401" in caught.value.message
    build(dockerfile(unique(), base=reference), credentials=credentials)
    assert asked[0] == registry


def test_a_helper_of_credentials_that_fails_is_said(build, registry):
    def credentials(_host):
        raise RuntimeError("the key chain is locked")

    with pytest.raises(BuildFailed):
        build(dockerfile(base=f"{registry}/private/base:1"), credentials=credentials)
