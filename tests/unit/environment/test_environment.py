"""python_env.yaml, requirements.txt, or nothing → what is to be installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from container_backend.config import BackendConfig
from container_backend.environment.indexes import Login
from container_backend.environment.kinds import ENVIRONMENT_KEYS
from container_backend.environment.read import read_environment
from container_backend.errors import InvalidConfig, InvalidEnvironment
from container_backend.machine import hash_file
from container_backend.privileges import Giver, Permissions
from container_backend.project.mlproject import read_project
from tests.support.projects import TRUSTED_FOLDER

OWN_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)


def environment(root, *, entry_point: str | None = None, config=None, **files: str):
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text, encoding="utf-8")
    project = read_project(root, ENVIRONMENT_KEYS)
    return read_environment(
        project,
        project.entry_point(entry_point) if entry_point else None,
        BackendConfig(**(config or {})),
        TRUSTED_FOLDER,
    )


def test_the_file_that_mlproject_names(tmp_path):
    spec = environment(
        tmp_path,
        MLproject="python_env: other.yaml\n",
        other__yaml="python: '3.11'\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n",
        requirements__txt="numpy==2.0\nmlflow\n",
    )
    assert (spec.python, spec.requirements) == ("3.11", ("mlflow", "numpy==2.0", "pip"))
    assert spec.python_source.endswith("other.yaml")


def test_python_env_yaml_beside_mlproject_needs_no_naming(tmp_path):
    spec = environment(tmp_path, MLproject="name: x\n", python_env__yaml="dependencies: [numpy]\n")
    assert spec.requirements == ("numpy",)


def test_requirements_alone(tmp_path):
    spec = environment(tmp_path, requirements__txt="numpy\n")
    assert (spec.python, spec.requirements) == (OWN_VERSION, ("numpy",))


def test_nothing_at_all_is_this_interpreter_and_nothing_installed(tmp_path):
    spec = environment(tmp_path, MLproject="name: x\n")
    assert (spec.python, spec.python_source) == (OWN_VERSION, "this interpreter")
    assert spec.requirements == ()


def test_a_version_without_quotes_is_read_as_it_is_written(tmp_path):
    assert environment(tmp_path, python_env__yaml="python: 3.10\n").python == "3.10"


def test_an_empty_file_declares_nothing(tmp_path):
    assert environment(tmp_path, python_env__yaml="").requirements == ()


def test_order_comments_and_spelling_do_not_change_an_environment(tmp_path):
    one = environment(tmp_path, requirements__txt="numpy\n# c\nPandas >= 2\n")
    other = environment(tmp_path, requirements__txt="pandas>=2\r\nnumpy  # d\r\nnumpy\r\n")
    assert one == other


def test_credentials_are_apart_from_addresses(tmp_path):
    spec = environment(
        tmp_path,
        requirements__txt=(
            "--extra-index-url https://user:s3cret@index.test/simple\n"
            "thing @ https://me:t0ken@files.test/thing.zip\n"
        ),
    )
    assert spec.indexes.extra == ("https://index.test/simple",)
    assert spec.requirements == ("thing @ https://files.test/thing.zip",)
    assert set(spec.indexes.logins) == {
        Login("index.test", "user", "s3cret"),
        Login("files.test", "me", "t0ken"),
    }
    assert "s3cret" not in repr(spec)
    assert "t0ken" not in repr(spec)


def test_the_project_does_not_say_where_the_installer_comes_from(tmp_path):
    spec = environment(tmp_path, requirements__txt="-i https://index.test/simple\nnumpy\n")
    assert spec.indexes.default == "https://index.test/simple"
    assert spec.installer_indexes.default is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"MLproject": "python_env: a.yaml\nconda_env: b.yaml\n"},
            "conda_env and python_env contradict",
        ),
        ({"MLproject": "python_env: gone.yaml\n"}, "key 'python_env': there is no file"),
        ({"MLproject": "python_env: ../.out.yaml\n"}, "outside of the project"),
        ({"MLproject": "python_env: ../out.yaml\n"}, "there is no file"),
        ({"requirements__txt": "-e ..\n"}, "is no package"),
        ({"requirements__txt": "-f ..\n"}, "is no package"),
        ({"requirements__txt": "-e /\n"}, "is no package"),
        ({"MLproject": "python_env: [a]\n"}, "the name of a file is needed"),
        ({"MLproject": "docker_env: Dockerfile\n"}, "A Dockerfile is not built"),
        ({"MLproject": "docker_env: [x]\n"}, "key 'docker_env': a mapping with 'image' is needed"),
        ({"MLproject": "docker_env: {image: 'X Y'}\n"}, "is not the name of an image"),
        ({"MLproject": "docker_env: {image: x, volumes: [a]}\n"}, "key 'volumes': 'a' is not"),
        ({"MLproject": "docker_env: {image: x, environment: [[a]]}\n"}, "key 'environment'"),
        ({"conda__yaml": "dependencies: [python=3.11, {pip: numpy}]\n"}, "conda.yaml, line 1"),
        ({"conda__yaml": "dependencies:\n- 'a b[c'\n"}, "conda.yaml, line 2"),
        ({"conda__yaml": "dependencies:\n- pip:\n  - pandas=2.1.3\n"}, "write 'pandas==2.1.3'"),
        ({"apt__txt": "libgomp1\n; rm -rf /\n"}, "apt.txt, line 2: ';' is not the name"),
        ({"pyproject__toml": "[project\n"}, "pyproject.toml: not TOML"),
        (
            {"pyproject__toml": "[project]\nname = 'x'\ndependencies = ['a b']\n"},
            "pyproject.toml, line 3",
        ),
        (
            {"pyproject__toml": "[project]\nname = 'x'\nrequires-python = '<3'\n"},
            "key 'project.requires-python'",
        ),
        ({"python_env__yaml": "python: [\n"}, "python_env.yaml: not YAML: line 2"),
        ({"python_env__yaml": "- numpy\n"}, "a mapping"),
        ({"python_env__yaml": "pyton: '3.11'\n"}, "unknown key 'pyton'"),
        ({"python_env__yaml": "python: '>=3.8'\n"}, "key 'python': '>=3.8'"),
        ({"python_env__yaml": "python: '2.7'\n"}, "key 'python': '2.7'"),
        ({"python_env__yaml": "dependencies: numpy\n"}, "key 'dependencies': a list"),
        ({"python_env__yaml": "dependencies:\n- numpy\n- a b\n"}, "python_env.yaml, line 3"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, files, message):
    with pytest.raises(InvalidEnvironment) as caught:
        environment(tmp_path, **files)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_the_environment_of_an_entry_point_comes_before_that_of_the_project(tmp_path):
    files = {
        "MLproject": "python_env: a.yaml\nentry_points:\n"
        "  own: {command: x, python_env: b.yaml}\n  main: {command: x}\n"
        "  docker: {command: x, docker_env: {image: 'team/image:1'}}\n",
        "a__yaml": "dependencies: [one]\n",
        "b__yaml": "dependencies: [two]\n",
    }
    assert environment(tmp_path, **files).requirements == ("one",)
    assert environment(tmp_path, entry_point="main").requirements == ("one",)
    assert environment(tmp_path, entry_point="own").requirements == ("two",)
    assert environment(tmp_path, entry_point="docker").image == "team/image:1"


def test_a_patch_version_counts_unless_only_the_minor_one_shall(tmp_path):
    files = {"python_env__yaml": "python: 3.11.7\n"}
    assert environment(tmp_path, **files).python == "3.11.7"
    assert environment(tmp_path, config={"python_match": "minor"}).python == "3.11"


def test_packages_are_as_of_a_day_or_the_day_of_the_commit(tmp_path):
    files = {"requirements__txt": "six\n"}
    assert environment(tmp_path, **files).exclude_newer == ""
    dated = environment(tmp_path, config={"exclude_newer": "2023-05-01"})
    assert dated.exclude_newer == "2023-05-02T00:00:00Z"
    with pytest.raises(InvalidConfig, match=r"'commit' needs a commit, and .* is in no git") as no:
        environment(tmp_path, config={"exclude_newer": "commit"})
    assert "2023-05-01" in no.value.remedy
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with pytest.raises(InvalidConfig):
        environment(tmp_path, config={"exclude_newer": "commit"})
    dates = {"GIT_AUTHOR_DATE": "2020-01-01T00:00Z", "GIT_COMMITTER_DATE": "2022-03-04T23:30-0100"}
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1", "--allow-empty"],
        cwd=tmp_path, env={**os.environ, **dates}, check=True,
    )  # fmt: skip
    of_commit = environment(tmp_path, config={"exclude_newer": "commit"})
    assert of_commit.exclude_newer == "2022-03-06T00:00:00Z"  # the day in UTC, whole


@pytest.mark.parametrize(
    ("files", "form"),
    [
        ({"python_env__yaml": "dependencies: [six]\n"}, 'Write `python: "{version}"` into \''),
        ({"conda__yaml": "dependencies: [pip]\n"}, "Write `- python={version}` under 'dependenc"),
        ({"requirements__txt": "six\n"}, "`dependencies: [-r requirements.txt]`"),
        ({"setup__py": ""}, "`dependencies: [-e .]`"),
        (
            {"pyproject__toml": "[project]\nname='x'\nversion='1'\n"},
            'Write `requires-python = "=={version}.*"` into',
        ),
        (
            {"pyproject__toml": "[tool.poetry.dependencies]\nsix='*'\n"},
            'Write `python = "{version}.*"` under [tool.poetry.dependencies] of',
        ),
        (
            {"pyproject__toml": "[project]\nname='x'\nversion='1'\n", "__python-version": "3.9"},
            "Write `{version}` into '",
        ),
    ],
)
def test_each_kind_knows_how_another_python_is_written(tmp_path, files, form):
    said = environment(tmp_path, **files).python_form
    assert form in said
    choice = environment(tmp_path).python_choice
    assert "3.7" in choice.other("3.7")
    assert "{" not in choice.other("3.7")


def test_system_packages_come_from_the_config_and_apt_txt(tmp_path):
    spec = environment(
        tmp_path,
        config={"system_packages": ["git", "curl=7.88.1-10"]},
        apt__txt="# tools\nlibgomp1  git\n",
    )
    assert spec.system_packages == ("curl=7.88.1-10", "git", "libgomp1")
    assert not spec.finds_libraries


@pytest.mark.parametrize(("value", "packages"), [("auto", ()), (["auto", "git"], ("git",))])
def test_auto_is_no_package_but_asks_for_what_is_missing(tmp_path, value, packages):
    spec = environment(tmp_path, config={"system_packages": value}, requirements__txt="six\n")
    assert (spec.system_packages, spec.finds_libraries) == (packages, True)


def test_what_an_old_mlflow_needs_and_does_not_say_is_added_and_said(tmp_path, caplog):
    caplog.set_level("INFO")
    spec = environment(tmp_path, requirements__txt="mlflow==2.12.1\nsetuptools==70.0.0\n")
    assert spec.requirements == ("mlflow==2.12.1", "setuptools==70.0.0", "sqlalchemy<2.1")
    assert "mlflow==2.12.1 does not work with newer packages: adding sqlalchemy<2.1" in caplog.text
    assert spec.direct == ("mlflow", "setuptools")
    locked = environment(tmp_path, requirements__lock="mlflow==2.12.1\nsetuptools==70.0.0\n")
    assert locked.requirements == ("mlflow==2.12.1", "setuptools==70.0.0")


def test_docker_env_as_mlflow_describes_it(tmp_path):
    found = environment(
        tmp_path,
        MLproject="docker_env:\n  image: registry.test:5000/a/b:1\n"
        "  volumes: ['/data:/data:ro', './in:/in']\n"
        "  environment: [['NEW', 'a b'], 'COPIED']\n",
    )
    assert found.image == "registry.test:5000/a/b:1"
    assert found.volumes == ("/data:/data:ro", "./in:/in")
    assert found.variables == ("NEW=a b", "COPIED")


@pytest.mark.parametrize("here", ["$(pwd)", "$PWD", "${PWD}", "`pwd`"])
def test_the_folder_of_a_shell_in_a_volume_is_that_of_the_project(tmp_path, here):
    """MLflow's own backend leaves volumes to a shell in that folder."""
    volumes = [f"{here}/data:/data:ro", f"{here}:/all", "$PWDX/data:/x"]
    found = environment(tmp_path, MLproject=f"docker_env: {{image: a, volumes: {volumes}}}\n")
    assert found.volumes == ("./data:/data:ro", ".:/all", "$PWDX/data:/x")


CONDA = """
channels: [conda-forge]
dependencies:
- python=3.11
- pip<25
- {package}
- pip:
  - mlflow>=3
"""


@pytest.mark.parametrize(
    ("package", "requirement"),
    [
        ("numpy", "numpy"),
        ("numpy=1.26", "numpy==1.26.*"),
        ("numpy=1.26.*", "numpy==1.26.*"),
        ("numpy 1.26", "numpy==1.26.*"),
        ("numpy==1.26.4", "numpy==1.26.4"),
        ("numpy>=1.2,<2", "numpy<2,>=1.2"),
        ("numpy >=1.2", "numpy>=1.2"),
        ("conda-forge::numpy", "numpy"),
        ("Scikit-Learn=1.5", "scikit-learn==1.5.*"),
        ("numpy=1.26.4=py311h64a7726_0", "numpy==1.26.4"),
        ("alembic=1.7.7=pypi_0", "alembic==1.7.7"),
        ("some_thing=0.1=pypi_0", "some-thing==0.1"),
        ("pytorch=2.1", "torch==2.1.*"),
        ("msgpack-python=1.0.3=py311hdb19cb5_0", "msgpack==1.0.3"),
        ("typing_extensions", "typing-extensions"),
        ("tzdata=2024a=h04d1e81_0", "tzdata"),
        ("numpy !=1.2", "numpy!=1.2"),
        ("dask", "dask[complete]"),
        ("mkl_fft=1.3.8=py311h5eee18b_0", "mkl-fft==1.3.8"),
    ],
)
def test_conda_packages_that_are_on_the_index_become_requirements(
    tmp_path, caplog, package, requirement
):
    spec = environment(tmp_path, conda__yaml=CONDA.format(package=package))
    assert spec.conda is None
    assert spec.python == "3.11"
    assert spec.requirements == tuple(sorted(["mlflow>=3", "pip<25", requirement]))
    (warning,) = caplog.messages
    assert f"{package} as " in warning


def test_a_conda_file_of_python_and_pip_needs_no_warning(tmp_path, caplog):
    spec = environment(
        tmp_path, conda__yaml="dependencies: [python=3.11.7, {pip: ['numpy', '-r r.txt']}]\n",
        r__txt="scipy\n",
    )  # fmt: skip
    assert (spec.python, spec.requirements, spec.conda) == ("3.11.7", ("numpy", "scipy"), None)
    assert caplog.messages == []


def test_what_every_python_brings_is_left_out_of_an_export(tmp_path, caplog):
    """As `conda env export` writes."""
    exported = (
        "name: x\nchannels: [defaults]\ndependencies:\n"
        "  - _libgcc_mutex=0.1=main\n  - ca-certificates=2024.3.11=h06a4308_0\n  - ld_impl_linux-64=2.38\n"
        "  - libffi=3.4.4=h6a678d5_0\n  - openssl=3.0.13=h7f8727e_0\n  - pip=24.0=py311h06a4308_0\n"
        "  - python=3.11.8=h955ad1f_0\n  - sqlite=3.41.2=h5eee18b_0\n  - numpy=1.26.4=py311h24aa872_0\n"
        "  - blas=1.0=mkl\n  - zstd=1.5.5=hc292b87_0\n  - pip:\n    - mlflow==2.14.1\nprefix: /home/me/x\n"
    )
    spec = environment(tmp_path, conda__yaml=exported)
    assert (spec.conda, spec.python) == (None, "3.11.8")
    needs = ("setuptools<82", "sqlalchemy<2.1")  # of that MLflow
    assert spec.requirements == ("mlflow==2.14.1", "numpy==1.26.4", "pip==24.0", *needs)


@pytest.mark.parametrize("nothing", ["- python=3", "- pip", "- pip:", "- python"])
def test_what_everybody_writes_in_a_conda_file(tmp_path, caplog, nothing):
    spec = environment(tmp_path, conda__yaml=f"dependencies:\n{nothing}\n- pip:\n  - numpy\n")
    assert (spec.conda, spec.python) == (None, OWN_VERSION)
    assert caplog.messages == []


def test_keys_that_other_tools_ignore_are_said(tmp_path, caplog):
    environment(tmp_path, conda__yaml="dependency: []\nvariables: {A: b}\n")
    environment(tmp_path, MLproject="docker_env: {image: x, volume: []}\n")
    assert [message.partition("key ")[2] for message in caplog.messages] == [
        "'dependency': unknown and ignored (did you mean 'dependencies'?)",
        "'variables': unknown and ignored",
        "'docker_env', key 'volume': unknown and ignored (did you mean 'volumes'?)",
    ]


POETRY = """
[tool.poetry.dependencies]
python = "~3.10"
mlflow = "^2.1"
pandas = {version = "~1.5", extras = ["all"], markers = "sys_platform == 'linux'"}
lib = {git = "https://x.test/a.git", rev = "abc"}
old = [{version = "1.0", python = "<3.9"}, {version = "2.0", python = ">=3.9"}]
left-out = {version = "1", optional = true}

[[tool.poetry.source]]
name = "ours"
url = "https://index.test/simple"
"""


def test_the_table_of_poetry(tmp_path):
    """https://python-poetry.org/docs/dependency-specification/"""
    spec = environment(tmp_path, pyproject__toml=POETRY)
    assert spec.python == "3.10"
    assert spec.requirements == (
        "lib @ git+https://x.test/a.git@abc",
        "mlflow<3.0,>=2.1",
        'old==1.0 ; python_version < "3.9"',
        'old==2.0 ; python_version >= "3.9"',
        'pandas[all]<1.6,>=1.5 ; sys_platform == "linux"',
        "sqlalchemy<2.1",
    )
    assert spec.indexes.extra == ("https://index.test/simple",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[tool.poetry.dependencies]\nx = 'nonsense'\n",
            "key 'tool.poetry.dependencies.x': 'nonsense'",
        ),
        (
            "[tool.poetry.dependencies]\npython = '^x'\n",
            "key 'tool.poetry.dependencies.python': '^x'",
        ),
        ("[tool.poetry.dependencies]\npython = '^2.7'\n", "allows none of"),
        ("[tool.poetry.dependencies]\n'a --index-url https://x' = '1'\n", "is no name"),
        (
            "[tool.poetry.dependencies]\n[[tool.poetry.source]]\nname='x'\nurl='https://a --index-url https://b'\n",
            "is no address",
        ),
        (
            "[tool.poetry.dependencies]\n[[tool.poetry.source]]\nname='x'\nurl='https://a/s'\npriority='explicit'\n",
            "for some packages only",
        ),
    ],
)
def test_what_is_wrong_in_the_table_of_poetry(tmp_path, text, message):
    with pytest.raises(InvalidEnvironment) as caught:
        environment(tmp_path, pyproject__toml=text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["environment.yml", "environment.yaml", "conda.yml", "Environment.YML", "conda_env.yaml"],
)
def test_a_file_by_a_name_that_conda_writes_is_read(tmp_path, name):
    (tmp_path / name).write_text("dependencies: [python=3.11, {pip: [mlflow]}]\n")
    assert environment(tmp_path).requirements == ("mlflow",)


@pytest.mark.parametrize("name", ["Requirements.txt", "REQUIREMENTS.TXT", "requirement.txt"])
def test_a_requirements_file_by_another_spelling_is_read(tmp_path, name):
    (tmp_path / name).write_text("mlflow\n")
    assert environment(tmp_path).requirements == ("mlflow",)


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        ("requirements.txt", "a python_env.yaml with `dependencies: [-r ../../requirements.txt]`"),
        ("Requirements.txt", "a python_env.yaml with `dependencies: [-r ../../Requirements.txt]`"),
        ("conda.yaml", "`conda_env: ../../conda.yaml` into MLproject"),
        ("python_env.yaml", "`python_env: ../../python_env.yaml` into MLproject"),
    ],
)
def test_a_file_above_the_project_in_its_repository_is_named(tmp_path, caplog, file, advice):
    project = tmp_path / "repository" / "components" / "x"
    project.mkdir(parents=True)
    (tmp_path / "requirements.txt").write_text("six\n")  # of no repository
    assert environment(project).requirements == ()
    assert caplog.messages == []
    (tmp_path / "repository" / ".git").mkdir()
    assert environment(project).requirements == ()
    assert caplog.messages == []
    (tmp_path / "repository" / file).write_text("")
    assert environment(project).requirements == ()
    (message,) = caplog.messages
    assert f"none are installed; not read: ../../{file}." in message
    assert message.endswith(f"write {advice}")
    caplog.clear()
    assert environment(project, requirements__txt="six\n").requirements == ("six",)
    assert caplog.messages == []


def test_the_name_that_mlflow_reads_comes_first(tmp_path):
    (tmp_path / "Requirements.txt").write_text("other\n")
    (tmp_path / "environment.yml").write_text("dependencies: [{pip: [another]}]\n")
    assert environment(tmp_path, requirements__txt="numpy\n").requirements == ("numpy",)


def test_a_package_of_setuptools_is_installed(tmp_path):
    (tmp_path / "setup.cfg").write_text("[flake8]\n")  # of a tool
    assert environment(tmp_path).requirements == ()
    (tmp_path / "setup.py").write_text("")
    assert environment(tmp_path).requirements == ("--editable file:///mlflow/projects/code",)


@pytest.mark.parametrize(
    ("python", "taken"),
    [
        ("3.10", "3.10"),
        ("^2.7 || ^3.8", OWN_VERSION),
        ("*", OWN_VERSION),
        (">=3.7,!=3.8.*,<3.10", "3.9"),
    ],
)
def test_the_python_of_poetry(tmp_path, python, taken):
    text = f"[tool.poetry.dependencies]\npython = '{python}'\n"
    assert environment(tmp_path, pyproject__toml=text).python == taken


def test_what_is_there_and_not_read_is_named(tmp_path, caplog):
    for name in ("Pipfile", "requirements-dev.txt", "pixi.toml", "train.py", "notes.txt"):
        (tmp_path / name).touch()
    assert environment(tmp_path).requirements == ()
    (said,) = [message for message in caplog.messages if "not read" in message]
    assert "not read: Pipfile, pixi.toml, requirements-dev.txt." in said
    caplog.clear()
    assert environment(tmp_path, requirements__txt="numpy\n").requirements == ("numpy",)
    assert caplog.messages == []


def test_an_export_of_windows_is_refused_by_what_is_of_windows(tmp_path):
    with pytest.raises(InvalidEnvironment, match="line 3: vs2015_runtime: packages of Windows"):
        environment(tmp_path, conda__yaml="dependencies:\n- numpy\n- vs2015_runtime=14.27\n")


@pytest.mark.parametrize(
    "package",
    [
        "pytorch=1.13=py3.9_cuda11.7_0",
        "torchvision=0.15.2=py310_cu118",
        "numpy 1.26|1.27",
        "cudatoolkit=11.8",
        "r-base",
        "redis",
        "openssl",
        "vcftools",
        "mychan::xgboost",
        "xxhash=0.8.0",
    ],
)
def test_anything_else_stays_with_conda(tmp_path, caplog, package):
    spec = environment(tmp_path, conda__yaml=CONDA.format(package=package))
    assert f"conda (micromamba) is needed for {package} (" in caplog.text
    assert spec.conda.channels == ("conda-forge",)
    assert spec.conda.packages == tuple(sorted(["python=3.11", "pip<25", package]))
    assert spec.requirements == ("mlflow>=3",)


@pytest.mark.parametrize(
    ("package", "why"),
    [
        ("pytorch=1.13=py3.9_cuda11.7_0", "a build for one kind of hardware"),
        ("numpy 1.26|1.27", "pip has no such version"),
        ("cudatoolkit=11.8", "the wheels of torch and tensorflow bring their own"),
        ("cudnn", "the wheels of torch and tensorflow bring their own"),
        ("r-base", "not known to be the same on the Python index"),
        ("ffmpeg", "no Python package: put ffmpeg into apt.txt instead"),
        ("gxx_linux-64", "no Python package: put g++ into apt.txt instead"),
        ("mychan::xgboost", "of the channel 'mychan'"),
    ],
)
def test_each_package_that_conda_is_needed_for_has_its_reason(tmp_path, caplog, package, why):
    file = f"dependencies:\n- python=3.11\n- numpy\n- {package}\n- vcftools\n"
    environment(tmp_path, conda__yaml=file)
    said = caplog.messages[0].partition("conda (micromamba) is needed for ")[2]
    assert said.startswith(f"{package} ({why}")
    assert said.endswith("), vcftools (not known to be the same on the Python index)")


@pytest.mark.parametrize(
    "name",
    ["ydata-profiling", "ipywidgets", "imutils", "pysftp", "torchvision", "great-expectations"],
)
def test_packages_that_are_the_same_need_no_conda(tmp_path, name):
    spec = environment(tmp_path, conda__yaml=f"dependencies: [python=3.11, {name}=1.2]\n")
    assert (spec.conda, spec.requirements) == (None, (f"{name}==1.2.*",))


@pytest.mark.parametrize(
    "pip", ["pip", "pip=24.0", "pip>=21", "pip=24.0=py311h06a4308_0", "pip 23"]
)
def test_pip_as_pip_is_not_worth_a_warning(tmp_path, caplog, pip):
    environment(tmp_path, conda__yaml=f"dependencies: [python=3.11, {pip}]\n")
    assert caplog.messages == []


def test_conda_gets_a_python_where_none_is_named(tmp_path):
    spec = environment(tmp_path, conda__yaml="dependencies: [r-base]\n")
    assert spec.conda.packages == (f"python={OWN_VERSION}", "r-base")
    assert spec.python == OWN_VERSION


@pytest.mark.parametrize("version", [">=3.8", ">=3.8,<4", ""])
def test_a_range_of_pythons_is_this_interpreters_where_it_is_in_it(tmp_path, version):
    assert environment(tmp_path, conda__yaml=f"dependencies: ['python{version}']\n").python == (
        OWN_VERSION
    )


def test_a_range_of_pythons_without_this_one_is_its_newest(tmp_path):
    spec = environment(tmp_path, conda__yaml="dependencies: ['python>=3.8,<3.10']\n")
    assert spec.python == "3.9"


PYPROJECT = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['Numpy>=1']\n"
BUILD = "[build-system]\nrequires = ['setuptools']\n"


def test_pyproject_alone_where_there_is_nothing_else(tmp_path):
    spec = environment(tmp_path, pyproject__toml=PYPROJECT)
    assert (spec.python, spec.requirements, spec.files) == (OWN_VERSION, ("numpy>=1",), {})
    assert environment(tmp_path, requirements__txt="scipy\n").requirements == ("scipy",)


def test_a_pyproject_that_only_sets_up_tools_declares_nothing(tmp_path):
    assert environment(tmp_path, pyproject__toml="[tool.ruff]\n").requirements == ()


def test_a_pyproject_with_a_build_system_is_installed_itself(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "x.py").write_text("1")
    spec = environment(tmp_path, pyproject__toml=PYPROJECT + BUILD)
    assert spec.requirements == ("--editable file:///mlflow/projects/code",)
    assert set(spec.files) == {"pyproject.toml", "src/x.py"}


def test_the_python_of_a_pyproject(tmp_path):
    spec = environment(tmp_path, pyproject__toml=PYPROJECT + "requires-python = '>=3.9,<3.10'\n")
    assert spec.python == "3.9"
    (tmp_path / ".python-version").write_text("3.9.18\n")
    assert environment(tmp_path).python == "3.9.18"


LOCK = """
version = 1
[[package]]
name = "x"
version = "1"
source = {{ virtual = "." }}
[package.metadata]
requires-dist = [{{ name = "numpy", specifier = "{specifier}" }}]
"""


def test_a_uv_lock_says_it_all(tmp_path):
    spec = environment(tmp_path, pyproject__toml=PYPROJECT, uv__lock=LOCK.format(specifier=">=1"))
    assert spec.lock == "uv.lock"
    assert spec.requirements == ()
    assert set(spec.files) == {"pyproject.toml", "uv.lock"}


def test_a_uv_lock_that_is_older_than_the_pyproject_is_refused(tmp_path):
    with pytest.raises(InvalidEnvironment, match=r"made before 'Numpy>=1'"):
        environment(tmp_path, pyproject__toml=PYPROJECT, uv__lock=LOCK.format(specifier=">=2"))


@pytest.mark.parametrize(
    "lock",
    [
        "package = 1",
        "package = ['x']",
        "[[package]]\nsource = '.'",
        LOCK.format(specifier="not a specifier"),
        LOCK.format(specifier=">=1").replace('name = "numpy"', 'nom = "numpy"'),
        LOCK.format(specifier=">=1").replace("[package.metadata]", "[package.x]\n")
        + "[package.metadata]\nrequires-dist = 1\n",
    ],
)
def test_a_uv_lock_that_uv_did_not_write_is_refused(tmp_path, lock):
    with pytest.raises(InvalidEnvironment, match=r"uv\.lock: (not a lock of uv|this project)"):
        environment(tmp_path, pyproject__toml=PYPROJECT, uv__lock=lock)


def test_dependencies_of_a_package_are_a_list(tmp_path):
    broken = PYPROJECT.replace("dependencies = ", "dependencies = 1 # ") + BUILD
    with pytest.raises(InvalidEnvironment, match=r"'project\.dependencies': a list is needed"):
        environment(tmp_path, pyproject__toml=broken, uv__lock=LOCK.format(specifier=">=1"))


def test_local_packages_are_part_of_an_environment(tmp_path):
    (tmp_path / "lib" / "pkg").mkdir(parents=True)
    (tmp_path / "lib" / "pkg" / "a.py").write_text("1")
    (tmp_path / "lib" / "pyproject.toml").write_text(BUILD)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "w-1-py3-none-any.whl").write_bytes(b"w")
    spec = environment(
        tmp_path,
        requirements__txt="-e ./lib[extra]\n./wheels/w-1-py3-none-any.whl ; python_version > '3'\n"
        "other @ file:./lib\n--find-links ./wheels\n",
    )
    assert spec.requirements == (
        "--editable file:///mlflow/projects/code/lib[extra]",
        "file:///mlflow/projects/code/wheels/w-1-py3-none-any.whl ; python_version > '3'",
        "other @ file:///mlflow/projects/code/lib",
    )
    assert spec.indexes.find_links == ("/mlflow/projects/code/wheels",)
    assert set(spec.files) == {
        "lib/pkg/a.py",
        "lib/pyproject.toml",
        "wheels/w-1-py3-none-any.whl",
    }


def test_a_local_package_that_is_not_sent_is_refused(tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "pyproject.toml").write_text(BUILD)
    (tmp_path / ".dockerignore").write_text("lib\n")
    with pytest.raises(InvalidEnvironment, match=r"\.dockerignore leaves it out"):
        environment(tmp_path, requirements__txt="./lib\n")


def test_a_lock_is_used_instead_of_what_is_declared(tmp_path):
    spec = environment(
        tmp_path,
        requirements__txt="numpy>=1\n",
        requirements__lock="six==1.17.0 --hash=sha256:aa\nnumpy==2.0 \\\n  --hash=sha256:bb\n",
    )
    assert spec.lock == "requirements.lock"
    assert spec.requirements == ("numpy==2.0 --hash=sha256:bb", "six==1.17.0 --hash=sha256:aa")


def test_a_pylock_is_used_as_it_is(tmp_path):
    text = 'lock-version = "1.0"\r\n[[packages]]\r\nname = "numpy"\r\nversion = "2.0"\r\n'
    spec = environment(tmp_path, requirements__txt="numpy\n", pylock__toml=text)
    assert (spec.lock, spec.requirements) == ("pylock.toml", ())
    assert spec.lock_text == text.replace("\r", "").strip()


def test_the_backend_config_names_a_lock(tmp_path):
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "gpu.lock").write_text("numpy==2.0\n")
    spec = environment(tmp_path, config={"lock": "locks/gpu.lock"}, requirements__txt="numpy\n")
    assert spec.requirements == ("numpy==2.0",)
    with pytest.raises(InvalidEnvironment, match="key 'lock': there is no file"):
        environment(tmp_path, config={"lock": "gone.lock"})


@pytest.mark.parametrize(
    ("declared", "message"),
    [("scipy", "'scipy' is declared, but it is not in it"), ("numpy<2", "but it has 2.0")],
)
def test_a_lock_that_is_older_than_what_is_declared_is_refused(tmp_path, declared, message):
    with pytest.raises(InvalidEnvironment) as caught:
        environment(tmp_path, requirements__txt=declared, requirements__lock="numpy==2.0\n")
    assert message in str(caught.value)
    assert "requirements.lock" in str(caught.value)


@pytest.fixture
def step(tmp_path):
    """A project in a folder of a repository."""
    folder = tmp_path / "all" / "steps" / "train"
    folder.mkdir(parents=True)
    return folder


def of_step(step, giver: Giver, fetched=None):
    project = read_project(step, ENVIRONMENT_KEYS)
    return read_environment(project, None, BackendConfig(), Permissions(giver, fetched=fetched))


@pytest.mark.parametrize("key", ["conda_env", "python_env"])
def test_the_file_of_an_environment_may_be_beside_the_project(step, tmp_path, key):
    (step / "MLproject").write_text(f"{key}: ../env.yaml\n")
    (step.parent / "env.yaml").write_text(
        "dependencies: [-r ../limits.txt]\n"
        if key == "python_env"
        else "dependencies: [{pip: [-r ../limits.txt]}]\n"
    )
    (step.parents[1] / "limits.txt").write_text("six\n")
    assert of_step(step, Giver.OWN).requirements == ("six",)
    assert of_step(step, Giver.FETCHED, fetched=tmp_path / "all").requirements == ("six",)
    for fetched in (step, None):
        with pytest.raises(InvalidEnvironment, match="is outside of the project"):
            of_step(step, Giver.FETCHED, fetched=fetched)


@pytest.mark.parametrize(
    "line", ["-e ../../lib", "../../lib", "x @ file:../../lib", "-f ../../lib"]
)
@pytest.mark.parametrize("giver", [Giver.FETCHED, Giver.RECORD])
def test_a_project_of_another_person_takes_no_package_from_beside_what_was_fetched(
    step, line, giver
):
    lib = step.parents[1] / "lib"
    lib.mkdir()
    (lib / "setup.py").touch()
    (step / "requirements.txt").write_text(f"{line}\n")
    assert of_step(step, Giver.OWN).files == {
        ".outside/2/lib/setup.py": hash_file(lib / "setup.py")
    }
    assert of_step(step, giver, fetched=step.parents[1]).files
    with pytest.raises(InvalidEnvironment, match="is outside of the project"):
        of_step(step, giver, fetched=step.parent)


def test_a_link_is_no_way_out_of_what_was_fetched(step, tmp_path):
    outside = tmp_path / "of mine"
    outside.mkdir()
    (outside / "setup.py").touch()
    (step.parent / "lib").mkdir()
    (step.parent / "lib" / "setup.py").touch()
    (step.parent / "lib" / "data").symlink_to(outside / "setup.py")
    (step.parent / "link").symlink_to(outside)
    for line in ("-e ../lib", "-e ../link", "-r ../link/setup.py", "-f ../link"):
        (step / "requirements.txt").write_text(f"{line}\n")
        with pytest.raises(InvalidEnvironment, match="outside of the project"):
            of_step(step, Giver.FETCHED, fetched=tmp_path / "all")


def test_of_a_package_beside_the_project_nothing_hidden_is_taken(step):
    """As a project may ask for `-e ../..`, which may be the user's home."""
    above = step.parents[1]
    for name in ("setup.py", "x.py", ".env", ".aws/credentials", "sub/.netrc"):
        (above / name).parent.mkdir(exist_ok=True)
        (above / name).touch()
    (step / "requirements.txt").write_text("-e ../..\n")
    found = {name.rpartition("outside/2/")[2] for name in of_step(step, Giver.OWN).files}
    assert {"setup.py", "x.py"} <= found
    assert not [name for name in found if "/." in f"/{name}"]


def test_of_a_folder_of_packages_beside_the_project_only_the_packages_are_taken(step):
    shelf = step.parent / "wheels"
    shelf.mkdir()
    for name in ("x-1-py3-none-any.whl", "notes.txt", "y-1.tar.gz"):
        (shelf / name).touch()
    (step / "requirements.txt").write_text("-f ../wheels\nx\n")
    assert set(of_step(step, Giver.OWN).files) == {
        ".outside/1/wheels/x-1-py3-none-any.whl",
        ".outside/1/wheels/y-1.tar.gz",
    }
