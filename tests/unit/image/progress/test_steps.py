"""How far an installation is, by what it prints."""

from __future__ import annotations

import pytest

from container_backend.image.progress.steps import Installation, size_of

# What a real step printed.
LINES = (
    ("3 packages, 64.6 MB", "3 packages, 65 MB"),
    ("Using Python 3.11.2 environment at: /mlflow/environment", "3 packages, 65 MB"),
    ("Downloading scipy (33.7MiB)", "3 packages, 65 MB"),
    ("Downloading pandas (11.8MiB)", "3 packages, 65 MB"),
    ("Downloading numpy (16.1MiB)", "3 packages, 65 MB"),
    ("Downloaded pandas", "1 of 3 packages, 12 of 65 MB"),
    ("Downloaded numpy", "2 of 3 packages, 29 of 65 MB"),
    ("Downloaded scipy", "3 of 3 packages, 65 of 65 MB"),
    ("Prepared 3 packages in 993ms", "3 packages, 65 MB, unpacking"),
    ("compiling", "3 packages, 65 MB, compiling"),
    ("compiled 1134 of 1134 modules of 3 packages", "3 packages, 65 MB"),
)


def test_an_installation_from_its_first_line_to_its_last():
    installation = Installation()
    assert [(line, installation.add(line)) for line, _ in LINES] == list(LINES)


def test_an_index_that_tells_no_sizes():
    installation = Installation()
    assert installation.add("1 package") == "1 package"
    assert installation.add("Building docopt==0.6.2") == "1 package, building docopt==0.6.2"
    installation.add("Downloading a (1.0MiB)")
    assert installation.add("Downloaded a") == "1 of 1 package"


def test_what_an_installation_needs_besides_does_not_make_it_more_than_all():
    installation = Installation()
    installation.add("1 package, 0.2 MB")
    for name in ("setuptools", "cython"):
        installation.add(f"Downloading {name} (3.0MiB)")
        said = installation.add(f"Downloaded {name}")
    assert said == "1 of 1 package, 0.2 of 0.2 MB"


@pytest.mark.parametrize(
    ("count", "told"),
    [
        ("3 packages, 3.0 MB", "3 packages, 2.0 of 3.0 MB"),
        ("69 packages, 7.8 MB", "69 packages, 7.8 MB"),
        ("69 packages", "69 packages"),
    ],
)
def test_packages_that_uv_does_not_name_are_not_taken_for_missing(count, told):
    installation = Installation()
    installation.add(count)
    installation.add("Downloading pygments (1.9MiB)")
    assert installation.add("Downloaded pygments") == told


@pytest.mark.parametrize(
    ("size", "scale", "text"),
    [(61_700_000, None, "62 MB"), (300_000, None, "0.3 MB"), (1_200_000, 61_700_000, "1")],
)
def test_sizes(size, scale, text):
    assert size_of(size, scale) == text
