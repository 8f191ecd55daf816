"""What the documentation says is held by a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from container_backend.config import BackendConfig
from container_backend.container.docker_args import _PARSERS
from container_backend.environment.kinds import ENVIRONMENT_KEYS, KINDS, FileKind
from tests import trust
from tests.conftest import CONFORMANCE

ROOT = Path(__file__).parents[2]
DOCS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
# Those that say which file to open.
MAPS = ("ARCHITECTURE.md", "CONTRIBUTING.md")
NEW_IN_EXAMPLES = {
    "environment/pixi.py",
    "templates/Dockerfile.pixi.j2",
    "tests/projects/NAME",
    "tests/unit/image/progress/failures/NAME.json",
}


def known_tests() -> set[str]:
    files = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py")]
    names = set(re.findall(r"def (test_\w+)", "\n".join(files)))
    projects = {path.name for path in (ROOT / "tests" / "projects").iterdir()}
    return names | {f"test_a_project_gets_what_it_declares[{name}]" for name in projects}


def test_every_line_about_projects_names_a_test_that_is_there():
    text = (ROOT / "docs" / "projects.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    rows = [row for row in rows if not row.endswith("| test |")]
    assert len(rows) > 60
    known = known_tests()
    for row in rows:
        assert re.search(r"`(test_[^`]+)` \|$", row), row
        assert re.search(r"`(test_[^`]+)` \|$", row)[1] in known, row


def test_every_line_about_mlflow_says_if_it_is_the_same_and_names_a_test_that_is_there():
    """`make test-conformance` runs what is named."""
    rows = CONFORMANCE.read_text().partition("## Feature by feature")[2].splitlines()
    rows = [row for row in rows if row[:2] == "| " and "---" not in row]
    rows = [row for row in rows if not row.endswith("| test |")]
    assert len(rows) > 70
    known = known_tests()
    for row in rows:
        _, _feature, _mlflow, here, test, _ = re.split(r"(?<!\\)\|", row)
        assert re.match(r" (same|better|different)\b", here), row
        assert test.strip("` ") in known, row


def test_every_line_about_security_names_a_test_that_is_there():
    text = (ROOT / "docs" / "security.md").read_text()
    assert trust.table() in text
    rows = [line for line in text.replace(trust.table(), "").splitlines() if line[:2] == "| "]
    rows = [row for row in rows if "---" not in row and not row.endswith("| test |")]
    assert len(rows) > 25
    for row in rows:
        named = re.search(r"`(test_[^`]+)` \|$", row)
        assert named, row
        assert named[1] in known_tests(), row


def test_every_line_about_tracking_names_a_test_that_is_there():
    rows = (ROOT / "docs" / "tracking.md").read_text().splitlines()
    rows = [row for row in rows if row[:2] == "| " and "---" not in row]
    rows = [row for row in rows if not row.endswith("| test |")]
    assert len(rows) > 15
    for row in rows:
        named = re.search(r"`(test_[^`]+)` \|$", row)
        assert named, row
        assert named[1] in known_tests(), row


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_tests_that_are_named_are_there(file):
    assert set(re.findall(r"`(test_\w+)`", file.read_text())) <= known_tests()


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text()):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_paths_of_the_package_are_there(file):
    for path in re.findall(r"`(container_backend/[\w./]+)`", file.read_text()):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("file", MAPS)
def test_the_files_and_the_names_in_them_that_a_map_names_are_there(file):
    """Names stand in brackets after their file: `image/hash.py` (`environment_hash`)."""
    text = (ROOT / file).read_text()
    named = re.findall(
        r"`([\w./]+/[\w.]*|\w+\.py)`(?: \(((?:`\w+(?:\.\w+)*`(?:, )?)+)[^)]*\))?", text
    )
    assert len(named) > 20
    for path, names in named:
        if path in NEW_IN_EXAMPLES:
            continue
        found = [top / path for top in (ROOT, ROOT / "container_backend") if (top / path).exists()]
        assert found, path
        for name in re.findall(r"`(?:\w+\.)*(\w+)`", names):
            assert re.search(rf"\b{name}\b", found[0].read_text()), (path, name)


def test_every_key_of_the_backend_config_is_in_the_readme():
    text = (ROOT / "README.md").read_text()
    assert [key for key in BackendConfig.model_fields if f"`{key}`" not in text] == []


def test_every_docker_argument_is_documented():
    text = (ROOT / "docs" / "running.md").read_text()
    assert [name for name in _PARSERS if f"`{name}`" not in text] == []


def test_the_kinds_of_environment_are_told_in_their_order():
    text = " ".join((ROOT / "docs" / "projects.md").read_text().split())
    files = ", ".join(f"`{kind.file}`" for kind in KINDS if isinstance(kind, FileKind))
    assert f"what the project names, {files}, nothing." in text
    assert [key for key in ENVIRONMENT_KEYS if f"| `{key}: " not in text] == []
