"""The bill of materials of an image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from urllib.parse import unquote

import pytest

from container_backend.environment.lock import read_lock
from container_backend.environment.spec import EnvironmentSpec
from container_backend.image.hash import BaseImage, plan_image
from container_backend.image.sbom import Installed, bill_of_materials, packages_in


def mistake_in(text: str) -> object:
    """What the schema says against it."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator  # its import takes two seconds

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


DIGEST = "sha256:" + "1" * 64
BASE = BaseImage("python:3.11-slim", DIGEST, f"python:3.11-slim@{DIGEST}")
PLAN = plan_image(EnvironmentSpec("3.11", "x", ("numpy", "Six")), BASE, "linux/amd64")
LOCK = read_lock(
    "# layer: heavy\n"
    f"numpy==2.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n"
    "# layer: direct\n"
    f"Six==1.16 ; python_version > '3' \\\n    --hash=sha256:{'c' * 64}\n"
    "./the lib\n"
)
INSTALLED = Installed(
    python=[
        {"name": "numpy", "version": "2.0", "licence": "BSD-3-Clause AND MIT"},
        {"name": "six", "version": "1.16", "licence": "MIT"},
        {"name": "the-lib", "version": "1", "licence": "Our own terms"},
        {"name": "odd", "version": "1+local.2", "licence": ""},
    ],
    conda=[
        {"name": "r-base", "version": "4.3", "build": "h1_0", "subdir": "linux-64",
         "channel": "https://conda.test/conda-forge", "license": "GPL-2.0-or-later",
         "sha256": "d" * 64, "md5": "e" * 32},
    ],
    dpkg=(
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n"
        "Description: a library\n of C\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n"
    ),
    os_release='ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"\n',
)  # fmt: skip


@pytest.fixture(scope="module")
def components() -> dict[str, dict]:
    told = json.loads(bill_of_materials(PLAN, LOCK, INSTALLED))
    return {component["bom-ref"]: component for component in told["components"]}


def test_it_is_valid_cyclonedx():
    text = bill_of_materials(PLAN, LOCK, INSTALLED).decode()
    assert mistake_in(text) is None
    told = json.loads(text)
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    assert told["metadata"]["component"]["version"] == PLAN.hash


def test_it_is_valid_where_there_is_hardly_anything():
    text = bill_of_materials(PLAN, None, Installed()).decode()
    assert mistake_in(text) is None


def test_packages_have_addresses_hashes_and_licences(components):
    numpy = components["pypi:numpy"]
    assert numpy["purl"] == "pkg:pypi/numpy@2.0"
    assert {told["content"] for told in numpy["hashes"]} == {"a" * 64, "b" * 64}
    assert numpy["licenses"] == [{"expression": "BSD-3-Clause AND MIT"}]
    six = components["pypi:six"]
    assert [told["content"] for told in six["hashes"]] == ["c" * 64]
    assert six["licenses"][0]["license"]["id"] == "MIT"
    assert components["pypi:the-lib"]["licenses"][0]["license"]["name"] == "Our own terms"


def test_conda_and_debian_packages_and_the_base_are_in_it(components):
    assert components["conda:r-base"]["purl"].startswith("pkg:conda/r-base@4.3?build=h1_0")
    libc = components["deb:libc6:amd64"]["purl"]
    assert libc == "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=bookworm"
    assert components["base-image"]["version"] == DIGEST
    purl = unquote(components["base-image"]["purl"])
    assert purl == f"pkg:oci/python@{DIGEST}?tag=3.11-slim"
    assert "deb:gone:amd64" not in components


def test_packages_are_read_back():
    found = packages_in(bill_of_materials(PLAN, LOCK, INSTALLED).decode())
    assert found == {
        "numpy": "2.0", "six": "1.16", "the-lib": "1", "odd": "1+local.2",
        "r-base (conda)": "4.3", "libc6 (Debian)": "2.36-9",
    }  # fmt: skip


def test_the_same_image_has_the_same_bytes_in_every_process():
    """Whatever the time and the seed of hashes; another image has another serial number."""
    program = (
        "import sys; from tests.unit.image.test_sbom import *;"
        "sys.stdout.buffer.write(bill_of_materials(PLAN, LOCK, INSTALLED))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert said[0] == said[1] == bill_of_materials(PLAN, LOCK, INSTALLED)
    other = json.loads(bill_of_materials(PLAN, None, INSTALLED))["serialNumber"]
    assert other != json.loads(said[0])["serialNumber"]
