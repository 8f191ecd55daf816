"""What is said about a failed build. The failures are what real builds said, in ``failures/``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from container_backend.image.buildkit.errors import BuildFailed
from container_backend.image.progress.hints import describe_failure, hint_for

FAILURES = Path(__file__).with_name("failures")
COMPILER = 'system_packages in the backend config: ["gcc", "libc6-dev", "python3-dev"]'
INDEX = "does not reach the package index"

# File → the step in words, and a part of the hint.
EXPECTED = {
    "another-python": ("resolving the requirements", "needs another Python"),
    "certificate-pip": ("fetching the installer", "SSL_CERT_FILE"),
    "certificate-uv": ("resolving the requirements", "SSL_CERT_FILE"),
    "conflict": ("resolving the requirements", "cannot all be met"),
    "git-no-network": ("resolving the requirements", INDEX),
    "installer-http": ("fetching the installer", "set trusted-host in pip.conf"),
    "installer-no-dns": ("fetching the installer", INDEX),
    "installer-no-network": ("fetching the installer", INDEX),
    "installer-refused": ("fetching the installer", "or refuses the login"),
    "invalid-metadata": ("resolving the requirements", "Choose a newer version of that package"),
    "no-cxx": ("building packages without a wheel", '["g++", "libc6-dev", "python3-dev"]'),
    "no-debian-package": ("installing the system packages", "correct system_packages or apt.txt"),
    "no-dns": ("resolving the requirements", INDEX),
    "no-gcc": ("building packages without a wheel", COMPILER),
    "no-git": ("resolving the requirements", '["git"]'),
    "no-library-header": ("building packages without a wheel", "its name ends in -dev"),
    "no-network": ("resolving the requirements", INDEX),
    "no-pg-config": ("building packages without a wheel", "its name ends in -dev"),
    "no-pkg-config": ("building packages without a wheel", "default-libmysqlclient-dev"),
    "no-python-header": ("building packages without a wheel", COMPILER),
    "no-registry": ("looking up 127.0.0.1:9/python", "does not reach its registry"),
    "no-rust": ("building packages without a wheel", "a Rust compiler"),
    "no-space": (
        'RUN echo "a long instruction of a template" && dd if=/dev/zero of=/dev/shm/full bs=1M '
        "status=none",
        "disk is full",
    ),
    "no-such-package": ("resolving the requirements", "no such package or version"),
    "no-such-version": ("resolving the requirements", "no such package or version"),
    "no-wheel": ("resolving the requirements", "no wheel for this Python"),
    "rate-limit": ("looking up 127.0.0.1:8472/python", "docker login"),
    "something-else": ("building packages without a wheel", None),
}


def failure(name: str) -> BuildFailed:
    said = json.loads((FAILURES / f"{name}.json").read_text(encoding="utf-8"))
    return BuildFailed(said["message"], step=said["step"], output=tuple(said["output"]))


def test_every_failure_is_looked_at():
    assert sorted(EXPECTED) == sorted(file.stem for file in FAILURES.glob("*.json"))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_usual_causes(name):
    found = hint_for(failure(name))
    hint = EXPECTED[name][1]
    assert (hint in found) if hint else found is None


@pytest.mark.parametrize("name", EXPECTED)
def test_the_failed_step_is_said_in_words_and_its_output_shown(name):
    error = failure(name)
    first, second, *lines = describe_failure(error).splitlines()
    assert first == "The environment image could not be built."
    assert second.partition(" (exit code ")[0] == f"Failed step: {EXPECTED[name][0]}"
    assert all(line.startswith("    ") for line in lines)
    assert lines[-1].strip() == (error.output or (error.message,))[-1].strip()


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        # uv on a full file system, and the engine's.
        (
            "cause: failed to write to file `/cache/a`: No space left on device (os error 28)",
            "full",
        ),
        ("write /var/lib/docker/tmp/a: no space left on device", "full"),
        (
            "chown /var/lib/docker/overlay2/f788a8b-init/work/work: no such file or directory",
            "most likely its disk is full",
        ),
        # Older distutils, and a shell.
        ("error: command 'gcc' failed: No such file or directory", COMPILER),
        ("/bin/sh: 1: gcc: not found", COMPILER),
        ("make: cc: No such file or directory", None),
        # There is a compiler, and it does not like the code.
        ("error: command '/usr/bin/gcc' failed with exit code 1", None),
    ],
)
def test_other_words_for_it(output, hint):
    found = hint_for(BuildFailed("exit code: 1", step="RUN x", output=(output,)))
    assert (hint in found) if hint else found is None


def test_an_engine_that_is_newer():
    error = BuildFailed(
        'process "/bin/sh -c sh /build/resolve.sh x" did not complete successfully: exit code: 2',
        step="[lock 1/1] RUN sh /build/resolve.sh x",
        output=("\x1b[31mno\x1b[0m",),
    )
    assert describe_failure(error).splitlines()[1:] == [
        "Failed step: resolving the requirements (exit code 2)",
        "    no",
    ]


def test_a_build_that_failed_in_no_step():
    assert describe_failure(BuildFailed("The engine went away")) == (
        "The environment image could not be built: The engine went away"
    )


def test_an_explanation_is_shown_whole_and_of_anything_else_the_end():
    explained = ("Using Python", "error: No solution found", *(f"because {n}" for n in range(200)))
    shown = describe_failure(BuildFailed("x", step="RUN x", output=explained))
    assert "because 0\n" in shown
    assert "because 199" in shown
    assert "Using Python" not in shown
    compiled = tuple(f"line {n}" for n in range(200))
    shown = describe_failure(BuildFailed("x", step="RUN x", output=compiled))
    assert "line 119" not in shown
    assert shown.endswith("\n".join(f"    line {n}" for n in range(120, 200)))
