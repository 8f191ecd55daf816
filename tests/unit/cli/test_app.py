"""Options that are wrong are said before anything is done."""

from __future__ import annotations

import pytest

import container_backend
from container_backend.cli.app import main
from container_backend.errors import ContainerBackendError


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    try:
        main(arguments)
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "Missing argument 'URI'"),
        (["run", ".", "-P", "x"], "'x': write it as name=value"),
        (["run", ".", "-P", "x=1", "-P", "x=2"], "'x' is given twice"),
        (["run", ".", "-c", "{"], "not JSON"),
        (["run", ".", "-c", "gone.json"], "'gone.json' cannot be read"),
        (["run", ".", "-c", '{"x": 1}'], "unknown key 'x'"),
        (["run", ".", "--env-manager", "pipenv"], "'pipenv'"),
        (["run", ".", "--experiment-id", "1", "--experiment-name", "a"], "not both"),
        (["run", ".", "--dry-run", "--env-manager", "local"], "--dry-run goes with"),
        (["run", ".", "--json"], "--json goes with"),
        (["build", ".", "-c", '{"x": 1}'], "unknown key 'x'"),
    ],
)
def test_wrong_options(capsys, arguments, message):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert out == ""


def test_version(capsys):
    assert run(capsys, "--version") == (
        0, f"container-backend, version {container_backend.__version__}\n", ""
    )  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(capsys, shell):
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "_CONTAINER_BACKEND_COMPLETE" in out


def test_every_error_of_the_tree_is_public_and_has_an_exit_code():
    def below(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    for kind in below(ContainerBackendError):
        if kind.__module__ == "container_backend.errors":
            assert getattr(container_backend, kind.__name__) is kind
            assert kind.exit_code != 0
