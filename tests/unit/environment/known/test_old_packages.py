"""What old packages need and do not say."""

from __future__ import annotations

import pytest
from packaging.specifiers import SpecifierSet

from container_backend.config import BackendConfig
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.known.old_packages import unsaid_needs
from container_backend.environment.read import read_environment
from container_backend.project.mlproject import read_project
from tests.support.projects import TRUSTED_FOLDER

ALCHEMY, TOOLS = "sqlalchemy<2.1", "setuptools<82"
OLDEST = ["numpy<1.24", "protobuf<4", "sqlalchemy<2", TOOLS]


def added(**wanted: str) -> list[str]:
    needs = unsaid_needs({name: SpecifierSet(text) for name, text in wanted.items()})
    return [line for lines in needs.values() for line in lines]


@pytest.mark.parametrize(
    ("mlflow", "lines"),
    [
        ("==2.19.0", [ALCHEMY]),
        ("==3.2.0", [ALCHEMY]),
        ("==3.8.1", [ALCHEMY]),
        ("==3.9.0", []),
        ("==3.17.2", []),
        ("==2.16.0", [ALCHEMY]),
        ("==2.15.1", [TOOLS, ALCHEMY]),
        ("==1.28.0", [TOOLS, ALCHEMY]),
        ("==1.27.0", OLDEST),
        ("===2.19.0", [ALCHEMY]),
        ("<3", [ALCHEMY]),
        ("~=2.19", [ALCHEMY]),
        ("==2.*", [ALCHEMY]),
        ("==2.19.1.*", [ALCHEMY]),
        ("==3.8.1.*", [ALCHEMY]),
        ("==3.11.1.*", []),
        (">3.11.1,<3.11.5", []),
        (">=3.11.1,<=3.11.2", []),
        (">2.19.1,<2.19.5", [ALCHEMY]),
        ("<=2.12", [TOOLS, ALCHEMY]),
        ("~=3.1", []),
        ("~=3.1.0", [ALCHEMY]),
        (">=2.10", []),
        (">=3.10,<3.12", []),
        (">=4,<5", []),
        ("!=2.19.0", []),
        ("", []),
    ],
)
def test_only_versions_that_are_too_old_need_more(mlflow, lines):
    assert added(mlflow=mlflow) == lines


@pytest.mark.parametrize(
    ("sqlalchemy", "lines"),
    [
        ("", [ALCHEMY]),
        (">=1.4", [ALCHEMY]),
        ("!=2.0.1", [ALCHEMY]),
        ("<3", []),
        ("==2.1.0", []),
        ("~=2.0", []),
        (">=2.1", []),
    ],
)
def test_what_the_project_says_itself_counts(sqlalchemy, lines):
    assert added(mlflow="==2.19.0", sqlalchemy=sqlalchemy) == lines


def test_without_mlflow_nothing_is_added():
    assert added(pandas="==1.0.0") == []


def test_what_is_old_is_named():
    assert unsaid_needs({"mlflow": SpecifierSet("==2.19.0")}) == {"mlflow==2.19.0": [ALCHEMY]}


@pytest.mark.parametrize(
    ("lines", "more"),
    [
        (["mlflow==2.19.0"], [ALCHEMY]),
        (['mlflow==1.27.0; python_version<"3.8"', 'mlflow>=3.9; python_version>="3.8"'], []),
        (['mlflow==2.19.0; sys_platform=="win32"'], []),
        (["six", "-c limits.txt"], []),
        (["mlflow===of-ours"], []),
    ],
)
def test_what_is_not_installed_needs_nothing(tmp_path, lines, more):
    (tmp_path / "limits.txt").write_text("mlflow==2.19.0\n")
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    project = read_project(tmp_path, ENVIRONMENT_KEYS)
    spec = read_environment(project, None, BackendConfig(), TRUSTED_FOLDER)
    assert [line for line in spec.requirements if line in {ALCHEMY, TOOLS, *OLDEST}] == more
