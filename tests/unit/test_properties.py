"""What holds for all environment files: what matters changes the hash, and nothing else does."""

from __future__ import annotations

import string

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from container_backend.config import BackendConfig
from container_backend.environment.declared import Line
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.read import read_environment
from container_backend.environment.requirements import read_requirements
from container_backend.image.hash import BaseImage, plan_image
from container_backend.project.mlproject import read_project
from tests.support.projects import TRUSTED_FOLDER

BASE = BaseImage("base", "sha256:" + "0" * 64, "base")
RELAXED = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

names = st.from_regex(r"[A-Za-z]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
versions = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,2}){0,2}", fullmatch=True)
specifiers = st.lists(
    st.tuples(st.sampled_from([">=", "<", "!=", "<="]), versions).map("".join), max_size=3
)
extras = st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), max_size=2, unique=True)
markers = st.sampled_from(["", "python_version >= '3.9'", "sys_platform == 'linux'"])
requirements = st.tuples(names, extras, specifiers, markers)


def spell(parts: tuple[str, list[str], list[str], str], space: str = "") -> str:
    name, extra, specifier, marker = parts
    text = name + (f"[{f',{space}'.join(extra)}]" if extra else "") + space
    text += f"{space},{space}".join(specifier)
    return f"{text} ; {marker}" if marker else text


def canonical(text: str, folder) -> str:
    lines = [Line(text, folder / "r.txt", 1)]
    (line,) = read_requirements(lines, folder, TRUSTED_FOLDER).requirements
    return line.text


@RELAXED
@given(parts=requirements, space=st.sampled_from(["", " ", "  "]))
def test_a_requirement_means_the_same_in_its_one_spelling(tmp_path, parts, space):
    one, other = Requirement(spell(parts)), Requirement(canonical(spell(parts, space), tmp_path))
    assert canonicalize_name(one.name) == other.name
    assert (one.specifier, one.extras, str(one.marker)) == (
        other.specifier, other.extras, str(other.marker)
    )  # fmt: skip
    assert canonical(spell(parts), tmp_path) == canonical(spell(parts, space), tmp_path)
    assert canonical(canonical(spell(parts), tmp_path), tmp_path) == canonical(
        spell(parts), tmp_path
    )


def hash_of(folder, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    spec = read_environment(
        read_project(folder, ENVIRONMENT_KEYS), None, BackendConfig(), TRUSTED_FOLDER
    )
    return plan_image(spec, BASE, "linux/amd64").hash


unique_names = st.lists(
    st.text(string.ascii_lowercase, min_size=2, max_size=8), min_size=1, max_size=6, unique=True
)


@RELAXED
@given(listed=unique_names, data=st.data())
def test_order_comments_and_line_endings_do_not_change_the_hash(tmp_path, listed, data):
    shuffled = data.draw(st.permutations(listed))
    comment = data.draw(st.sampled_from(["", "  # why", "\t# é"]))
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    for file in tmp_path.iterdir():
        file.unlink()
    plain = hash_of(tmp_path, {"requirements.txt": "\n".join(listed)})
    other = f"# head{ending}{ending}" + "".join(f"{name}{comment}{ending}" for name in shuffled)
    assert hash_of(tmp_path, {"requirements.txt": other}) == plain
    keys = data.draw(
        st.permutations(
            ["python: '3.11'\n", f"dependencies: [{', '.join(shuffled)}]\n", "# comment\n"]
        )
    )
    declared = hash_of(tmp_path, {"python_env.yaml": "".join(keys)})
    again = 'dependencies:\n- -r requirements.txt\npython: "3.11"\n'
    assert hash_of(tmp_path, {"python_env.yaml": again}) == declared


@RELAXED
@given(one=unique_names, other=unique_names)
def test_another_set_of_requirements_has_another_hash(tmp_path, one, other):
    assume(set(one) != set(other))
    first = hash_of(tmp_path, {"requirements.txt": "\n".join(one)})
    assert hash_of(tmp_path, {"requirements.txt": "\n".join(other)}) != first


@pytest.mark.parametrize("change", ["extra", "version", "marker", "index", "option", "hash"])
def test_whatever_may_change_what_is_installed_changes_the_hash(tmp_path, change):
    changed = {
        "extra": "numpy[dev]",
        "version": "numpy==1",
        "marker": "numpy ; python_version < '3'",
        "index": "-i https://index.test\nnumpy",
        "option": "--no-binary numpy\nnumpy",
        "hash": "numpy --hash=sha256:" + "0" * 64,
    }[change]
    plain = hash_of(tmp_path, {"requirements.txt": "numpy"})
    assert hash_of(tmp_path, {"requirements.txt": changed}) != plain
