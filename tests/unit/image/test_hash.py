"""Rendering and hashing."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_backend.environment.conda import CONDA_TEMPLATE
from container_backend.environment.declared import PYTHON_TEMPLATE, CondaPackages
from container_backend.environment.indexes import Indexes, Login
from container_backend.environment.spec import EnvironmentSpec
from container_backend.image import dockerfile as render
from container_backend.image import hash as dockerfile
from container_backend.image.dockerfile import LAYERS
from container_backend.image.hash import (
    BaseImage,
    environment_hash,
    plan_image,
    uv_settings,
)
from container_backend.image.rights import has_our_steps
from container_backend.machine import hash_file

BASE = BaseImage("python:3.11-slim", "sha256:" + "1" * 64, "python:3.11-slim@sha256:" + "1" * 64)
SPEC = EnvironmentSpec("3.11", "python_env.yaml", ("mlflow", "numpy==2.0"))
PLATFORM = "linux/amd64"


def hash_of(spec: EnvironmentSpec = SPEC, base: BaseImage = BASE, platform: str = PLATFORM) -> str:
    return plan_image(spec, base, platform).hash


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, python="3.11.7"),
        replace(SPEC, requirements=("mlflow", "numpy==2.1")),
        replace(SPEC, requirements=()),
        replace(SPEC, constraints=("numpy<3",)),
        replace(SPEC, indexes=Indexes(default="https://index.test")),
        replace(SPEC, indexes=Indexes(extra=("https://index.test",))),
        replace(SPEC, indexes=Indexes(find_links=("https://index.test",))),
        replace(SPEC, system_packages=("git",)),
        replace(SPEC, finds_libraries=True),
        replace(SPEC, fetches_python=True),
        replace(SPEC, exclude_newer="2023-05-02T00:00:00Z"),
        replace(SPEC, exclude_newer="2023-05-03T00:00:00Z"),
        replace(SPEC, lock="requirements.lock"),
        replace(SPEC, lock="pylock.toml", lock_text="a"),
        replace(SPEC, lock="pylock.toml", lock_text="b"),
        replace(SPEC, files={"a.py": b"1"}),
        replace(SPEC, files={"a.py": b"2"}),
        replace(SPEC, conda=CondaPackages(("conda-forge",), ("r-base",))),
        replace(SPEC, conda=CondaPackages(("other",), ("r-base",))),
    ],
)
def test_what_may_change_what_gets_installed_changes_the_hash(other):
    assert hash_of(other) != hash_of()


def test_a_file_that_becomes_a_program_changes_the_hash(tmp_path):
    hashes = set()
    for mode in (0o600, 0o644, 0o755):
        (tmp_path / "configure").touch()
        (tmp_path / "configure").chmod(mode)
        files = {"configure": hash_file(tmp_path / "configure")}
        hashes.add(hash_of(replace(SPEC, files=files)))
    assert len(hashes) == 2


def test_another_base_or_platform_changes_the_hash():
    assert hash_of(base=replace(BASE, digest="sha256:" + "2" * 64)) != hash_of()
    assert hash_of(platform="linux/arm64") != hash_of()


def test_another_template_or_script_changes_the_hash(monkeypatch):
    before = hash_of()
    original = dockerfile.read_template
    for module, changed in ((render, "Dockerfile.python.j2"), (dockerfile, "install.sh")):
        with monkeypatch.context() as patched:
            patched.setattr(
                module,
                "read_template",
                lambda name, changed=changed: original(name) + ("#" if name == changed else ""),
            )
            assert hash_of() != before


@pytest.mark.parametrize(
    "other",
    [
        replace(SPEC, python_source="elsewhere"),
        replace(SPEC, python_form="elsewhere"),
        replace(SPEC, python_settings="python-install-mirror = 'x'\n"),
        replace(SPEC, indexes=Indexes(logins=(Login("index.test", "a", "b"),))),
        replace(SPEC, installer_indexes=Indexes(default="https://index.test")),
    ],
)
def test_what_does_not_matter_does_not_change_the_hash(other):
    assert hash_of(other) == hash_of()


def test_the_name_of_the_base_does_not_matter_only_its_content():
    assert hash_of(base=replace(BASE, reference="mirror.test/python:3.11")) == hash_of()


def test_the_hash_is_the_same_in_every_process():
    """A change here makes every user build every image again: raise SCHEMA_VERSION on purpose."""
    scripts = {"a.sh": "echo"}
    first = environment_hash(SPEC, BASE.digest, PLATFORM, scripts)
    assert first == environment_hash(SPEC, BASE.digest, PLATFORM, dict(scripts))
    assert len(first) == 64


def test_the_tag_is_readable_and_has_the_first_digits():
    plan = plan_image(SPEC, BASE, PLATFORM)
    assert plan.tag == f"container-backend/python3.11:{plan.hash[:12]}"


def test_no_credential_is_in_the_context():
    indexes = Indexes(
        extra=("https://index.test/simple",), logins=(Login("index.test", "u", "s3c"),)
    )
    plan = plan_image(replace(SPEC, indexes=indexes, installer_indexes=indexes), BASE, PLATFORM)
    assert b"index.test" in plan.context["build/uv.toml"]
    assert all(b"s3c" not in content for content in plan.context.values())
    assert "s3c" not in repr(plan)


def test_without_requirements_nothing_is_fetched():
    text = plan_image(replace(SPEC, requirements=()), BASE, PLATFORM).dockerfile
    assert "installer" not in text
    assert "WORKDIR /mlflow/projects/code" in text


def test_a_dockerfile_reads_as_one():
    text = plan_image(SPEC, BASE, PLATFORM).dockerfile
    assert text.startswith(f"FROM {BASE.pinned} AS base\nUSER root\n")
    assert text.count("\nRUN ") == 4 + len(LAYERS)
    assert "{" not in text.replace("${", "")
    assert "\n\n\n" not in text


@given(st.text())
def test_settings_survive_toml(text):
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    url = "https://index.test/" + text.encode("ascii", "ignore").decode().replace("\x7f", "")
    settings = tomllib.loads(uv_settings(Indexes(default=url, extra=(url,))))
    extra, default = settings["index"]
    assert extra["url"] == default["url"] == url
    assert (extra.get("default"), default["default"]) == (None, True)


def test_the_steps_of_what_is_declared_and_no_others():
    plain = plan_image(SPEC, BASE, PLATFORM).dockerfile
    assert "system.sh" not in plain
    assert "source=project" not in plain
    more = plan_image(
        replace(SPEC, system_packages=("git", "gcc"), files={"lib/a.py": b"1"}), BASE, PLATFORM
    )
    assert "sh /build/system.sh git gcc\n" in more.dockerfile
    assert more.dockerfile.count("source=project,target=/mlflow/projects/code,rw") == 2
    assert "install.sh /mlflow/environment local" in more.dockerfile
    assert more.context["project/lib/a.py"] == b"1"


def test_the_day_is_in_the_build_context_which_a_rerun_builds_from():
    plan = plan_image(replace(SPEC, exclude_newer="2023-05-02T00:00:00Z"), BASE, PLATFORM)
    assert plan.context["declared/exclude-newer.txt"] == b"2023-05-02T00:00:00Z"
    assert plan.dockerfile == plan_image(SPEC, BASE, PLATFORM).dockerfile


def test_conda_packages_take_the_place_of_the_bases_python():
    packages = CondaPackages(("one", "two"), ("python=3.11", "r-base"))
    spec = replace(SPEC, conda=packages, template=CONDA_TEMPLATE)
    plan = plan_image(spec, BASE, PLATFORM)
    assert "sh /build/conda.sh 3.11 /mlflow/environment\n" in plan.dockerfile
    assert "prepare.sh" not in plan.dockerfile
    assert "VIRTUAL_ENV" not in plan.dockerfile
    assert json.loads(plan.context["declared/conda.yaml"]) == {
        "channels": ["one", "two"],
        "dependencies": ["python=3.11", "r-base"],
    }


def test_every_continued_line_goes_on():
    """A template that loses a backslash makes another instruction of the rest."""
    spec = replace(SPEC, system_packages=("git",), files={"a": b""})
    for template in (PYTHON_TEMPLATE, CONDA_TEMPLATE):
        text = plan_image(replace(spec, template=template), BASE, PLATFORM).dockerfile
        for line in text.splitlines():
            assert re.match(
                r"$|#|[A-Z]+ |    (--mount=.* \\|(/bin/)?sh /build/.*|[A-Z_]+=.*)$", line
            ), line


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, requirements=()),
        replace(SPEC, system_packages=("git", "libc6-dev=2.36-9+deb12u4"), files={"a": b"1"}),
        replace(SPEC, finds_libraries=True, exclude_newer="2023-05-02T00:00:00Z"),
        replace(SPEC, fetches_python=True, python_settings="python-install-mirror = 'x'\n"),
        replace(SPEC, lock="uv.lock", files={"uv.lock": b"1"}),
        replace(SPEC, conda=CondaPackages(("one",), ("r-base",)), template=CONDA_TEMPLATE),
    ],
)
def test_the_steps_of_this_version_are_known(spec):
    plan = plan_image(spec, BASE, PLATFORM)
    assert has_our_steps(plan)
    for other in (
        replace(plan, dockerfile=f"{plan.dockerfile}RUN id\n"),
        replace(plan, dockerfile=plan.dockerfile.replace("USER root", "USER root\nRUN id")),
        replace(plan, base=replace(BASE, pinned="a\nRUN id")),
        replace(plan, context={**plan.context, "build/install.sh": b"id\n"}),
    ):
        assert not has_our_steps(other)


def test_a_value_brings_along_no_step():
    more = "git; id"
    dockerfile = plan_image(replace(SPEC, system_packages=("git",)), BASE, PLATFORM).dockerfile
    plan = plan_image(SPEC, BASE, PLATFORM)
    assert not has_our_steps(
        replace(plan, dockerfile=dockerfile.replace("sh git\n", f"sh {more}\n"))
    )


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, indexes=Indexes(extra=("https://evil.test/simple",))),
        replace(SPEC, indexes=Indexes(find_links=("https://evil.test/",))),
        replace(SPEC, files={"pyproject.toml": b"[[tool.uv.index]]"}),
        replace(SPEC, requirements=("six @ https://evil.test/six.whl",)),
        replace(SPEC, requirements=("https://evil.test/six-1-py3-none-any.whl",)),
    ],
)
def test_a_project_gives_out_no_file_as_one_of_the_common_index(spec):
    """Else other builds would take it from the cache."""
    assert plan_image(SPEC, BASE, PLATFORM).context["declared/index.txt"]
    assert not plan_image(spec, BASE, PLATFORM).context["declared/index.txt"]


@pytest.mark.parametrize(
    "package",
    ["evil::r-base", "evil:x:r-base", "r-base(channel=evil)", "r-base[channel=evil]",
     "https://evil.test/r-base.conda", "./r-base.conda", "r-base 4.1 build evil::x"],
)  # fmt: skip
def test_packages_of_conda_share_a_cache_with_equal_ones_and_of_other_channels_get_no_login(
    package,
):
    """Programs of conda run in the steps that have both."""

    def plan(conda: CondaPackages | None):
        return plan_image(replace(SPEC, conda=conda), BASE, PLATFORM)

    known = CondaPackages(("conda-forge",), ("r-base=4.1", "r-base >=4.1,<5"))
    assert plan(None).cache_scope == ""
    assert not plan(known).withholds_logins
    for other in (replace(known, packages=(package,)), replace(known, channels=("evil",))):
        assert plan(other).withholds_logins
        assert len({plan(each).cache_scope for each in (None, known, other)}) == 3
