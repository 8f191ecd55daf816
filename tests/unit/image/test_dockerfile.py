"""A template of the user's own, over ours."""

from __future__ import annotations

import pytest

from container_backend.config import parse_config
from container_backend.environment.conda import CONDA_TEMPLATE
from container_backend.environment.spec import EnvironmentSpec
from container_backend.errors import InvalidConfig
from container_backend.image import dockerfile
from container_backend.image.dockerfile import find_template, render_users
from container_backend.image.hash import BaseImage, plan_image

BASE = BaseImage("python:3.11-slim", "sha256:" + "1" * 64, "python:3.11-slim")
SPEC = EnvironmentSpec("3.11", "x", ("six",), system_packages=("git",), finds_libraries=True)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """As in the process with limits, without the third of a second for its start."""
    monkeypatch.setattr(dockerfile, "call_limited", lambda _m, _f, given, _w: render_users(given))
    dockerfile._environment.cache_clear()
    yield
    dockerfile._environment.cache_clear()


def plan(tmp_path, text: str, spec: EnvironmentSpec = SPEC):
    (tmp_path / "Dockerfile.j2").write_text(text)
    return plan_image(spec, BASE, "linux/amd64", template=find_template(tmp_path, None))


@pytest.mark.parametrize(
    "block", ["base", "system", "python", "variables", "dependencies", "libraries", "final"]
)
def test_each_block_can_be_replaced_or_added_to(tmp_path, block):
    ours = plan_image(SPEC, BASE, "linux/amd64").dockerfile
    added = plan(tmp_path, f"{{% block {block} %}}{{{{ super() }}}}# more\n{{% endblock %}}")
    assert added.dockerfile.replace("# more\n", "") == ours
    replaced = plan(tmp_path, f"{{% block {block} %}}\n# mine\n{{% endblock %}}").dockerfile
    assert "# mine" in replaced
    assert len(replaced.splitlines()) < len(ours.splitlines()) + 1


def test_blocks_are_there_where_ours_has_nothing_to_say(tmp_path):
    spec = EnvironmentSpec("3.11", "x")
    text = "{% block system %}# a\n{% endblock %}{% block dependencies %}# b\n{% endblock %}"
    assert "# a\n" in plan(tmp_path, text, spec).dockerfile
    assert "# b\n" in plan(tmp_path, text, spec).dockerfile


def test_it_extends_the_template_of_conda_too(tmp_path):
    conda = EnvironmentSpec("3.11", "x", template=CONDA_TEMPLATE)
    found = plan(tmp_path, "{% block final %}# mine {{ python }}{% endblock %}", conda).dockerfile
    assert "conda.sh" in found
    assert found.endswith("# mine 3.11")


def test_its_text_is_part_of_the_hash_and_secrets_are_not(tmp_path):
    plain = plan_image(SPEC, BASE, "linux/amd64")
    one = plan(tmp_path, "{% block final %}# 1{% endblock %}")
    other = plan(tmp_path, "{% block final %}# 2{% endblock %}")
    assert len({plain.hash, one.hash, other.hash}) == 3
    secret = plan_image(SPEC, BASE, "linux/amd64", secrets={"token": b"s3cret"})
    assert secret.hash == plain.hash
    assert "s3cret" not in repr(secret)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{% block final %}\n{% endfor %}\n", "line 2: "),
        ("{% block final %}\n\n{{ gone }}{% endblock %}", "line 3: 'gone' is undefined"),
        ("{% block final %}\n{{ python.__class__.mro() }}{% endblock %}", "line 2: access to"),
        ("{% block final %}{{ 1 / 0 }}{% endblock %}", "line 1: division by zero"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, text, message):
    with pytest.raises(InvalidConfig) as caught:
        plan(tmp_path, text)
    assert f"{tmp_path}/Dockerfile.j2, {message}" in str(caught.value)


@pytest.mark.parametrize(
    "tag",
    [
        '{{% include "{name}" %}}',
        '{{% include ["{name}", "other"] %}}',
        '{{% set name = "{name}" %}}{{% include name %}}',
        '{{% import "{name}" as found %}}{{{{ found }}}}',
        '{{% from "{name}" import x %}}',
    ],
)
@pytest.mark.parametrize("steps", ["", "../" * 20])
def test_a_template_cannot_read_a_file_of_this_machine(tmp_path, tag, steps):
    (tmp_path / "secret").write_text("s3cret")
    name = f"{steps}{tmp_path}/secret"
    with pytest.raises(InvalidConfig) as caught:
        plan(tmp_path, f"{{% block final %}}\n{tag.format(name=name)}\n{{% endblock %}}")
    assert f"Dockerfile.j2, line 2: there is no template '{name}'" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("name", ["install.sh", "./Dockerfile.python.j2", "__init__.py"])
def test_a_template_can_name_our_dockerfiles_only(tmp_path, name):
    with pytest.raises(InvalidConfig, match=r"line 1: there is no template '.*; known: Dockerfile"):
        plan(tmp_path, f'{{% extends "{name}" %}}')


def test_a_template_that_is_missing_may_be_ignored_but_is_not_read(tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    text = (
        f'{{% block final %}}{{% include "{tmp_path}/secret" ignore missing %}}# x{{% endblock %}}'
    )
    assert plan(tmp_path, text).dockerfile.endswith("# x")
    assert "s3cret" not in plan(tmp_path, text).dockerfile


def test_a_template_that_includes_itself_is_said(tmp_path):
    with pytest.raises(InvalidConfig, match="line 1: maximum recursion depth"):
        plan(tmp_path, '{% block final %}{% include "user" %}{% endblock %}')


def test_the_one_that_is_named_must_be_there(tmp_path):
    assert find_template(tmp_path, None) is None
    with pytest.raises(InvalidConfig, match="key 'template': there is no file"):
        find_template(tmp_path, "gone.j2")


def test_secrets_come_from_variables_and_files(tmp_path):
    (tmp_path / "token").write_text("b")
    config = parse_config(
        {"build_secrets": {"one": {"env": "A"}, "two": {"file": str(tmp_path / "token")}}}
    )
    assert config.build_secrets["one"].read("one", {"A": "a"}) == b"a"
    assert config.build_secrets["two"].read("two") == b"b"
    with pytest.raises(InvalidConfig, match=r"build_secrets\.one': the variable A is not set"):
        config.build_secrets["one"].read("one", {})


@pytest.mark.parametrize(
    "secrets", [{"x": {}}, {"x": {"env": "A", "file": "b"}}, {"a b": {"env": "A"}}, {"x": "A"}]
)
def test_secrets_that_cannot_be_read_are_refused(secrets):
    with pytest.raises(InvalidConfig, match="build_secrets"):
        parse_config({"build_secrets": secrets})


def test_without_the_guard_a_template_reads_a_file_of_this_machine(tmp_path, monkeypatch):
    class Everything:
        def __contains__(self, _name: str) -> bool:
            return True

    (tmp_path / "secret").write_text("s3cret")
    monkeypatch.setattr(dockerfile, "TEMPLATES", Everything())
    text = f"{{% block final %}}{{% include '{'../' * 20}{tmp_path}/secret' %}}{{% endblock %}}"
    assert "s3cret" in plan(tmp_path, text).dockerfile
