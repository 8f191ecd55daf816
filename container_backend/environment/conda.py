"""``conda.yaml`` → an environment without conda if the Python index has all of its packages.

The format: https://docs.conda.io/projects/conda/en/stable/user-guide/tasks/manage-environments.html
Match specifications of packages:
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html#package-match-specifications
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from container_backend.environment.declared import (
    PYTHON_TEMPLATE,
    CondaPackages,
    Declared,
    Line,
    Template,
    allowed_python,
    is_list_of_texts,
    own_python,
    refuse_unknown_keys,
)
from container_backend.environment.python_env import line_numbers
from container_backend.errors import InvalidEnvironment
from container_backend.machine import load_mapping

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_logger = logging.getLogger(__package__)
CONDA_TEMPLATE: Final = Template("Dockerfile.conda.j2", base="conda_base_image")
_KEYS: Final = ("name", "channels", "dependencies", "prefix", "platforms")
_SPECIFICATION: Final = re.compile(
    r"(?:(?P<channel>[\w./:-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>[^\[\]]*)"
)
_CHANNEL: Final = re.compile(r"[\w.:/@%+~-]+")


@dataclass(frozen=True)
class _Package:
    text: str
    name: str
    version: str
    line: Line


def read_conda_env(file: Path, _root: Path) -> Declared:
    """Read a conda environment file."""
    content, node = load_mapping(file, InvalidEnvironment, texts_only=True)
    refuse_unknown_keys(file, content, _KEYS)
    items = content.get("dependencies") or []
    if not isinstance(items, list):
        raise InvalidEnvironment(f"{file}, key 'dependencies': a list is needed.")
    numbers = line_numbers(node).get("dependencies", [])
    packages: list[_Package] = []
    lines: list[Line] = []
    for item, number in zip(items, numbers, strict=True):
        if isinstance(item, str):
            packages.append(_package(Line(item, file, number)))
        else:
            lines += _pip_lines(item, Line("pip", file, number))
    python = next((package for package in packages if package.name == "python"), None)
    others = [package for package in packages if package.name != "python"]
    taken = {package.text: _on_the_index(package) for package in others}
    version = _python_version(python)
    source = str(file) if python is not None else ""
    if all(taken.values()):
        if taken:
            _logger.warning(
                "%s: taken from the Python index, not from conda: %s",
                file,
                ", ".join(f"{text} as {requirement}" for text, requirement in taken.items()),
            )
        lines += [Line(taken[package.text] or "", file, package.line.number) for package in others]
        return Declared(tuple(lines), version, source, template=PYTHON_TEMPLATE)
    wanted = python.text if python and python.version else f"python={version or own_python()}"
    listed = tuple(sorted({wanted, *(other.text for other in others)}))
    return Declared(
        tuple(lines), version, source, conda=CondaPackages(_channels(file, content), listed)
    )


def _channels(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    listed = content.get("channels") or ["conda-forge"]
    if not is_list_of_texts(listed) or not all(map(_CHANNEL.fullmatch, listed)):
        raise InvalidEnvironment(f"{file}, key 'channels': a list of names or addresses is needed.")
    return tuple(listed)


def _pip_lines(item: object, line: Line) -> list[Line]:
    """``- pip: [requirement, …]``."""
    listed = item.get("pip") if isinstance(item, dict) and set(item) == {"pip"} else None
    if not is_list_of_texts(listed):
        raise InvalidEnvironment(
            f"{line.where}: a package is needed, or 'pip:' with a list of requirements."
        )
    return [
        Line(text, line.file, line.number + offset) for offset, text in enumerate(listed, start=1)
    ]


def _package(line: Line) -> _Package:
    text = line.text.strip()
    if match := _SPECIFICATION.fullmatch(text):
        return _Package(text, match["name"].lower(), match["version"].strip(), line)
    raise InvalidEnvironment(f"{line.where}: '{line.text}' is not a conda package.")


def _on_the_index(package: _Package) -> str | None:
    """The package as a requirement; None if the Python index may have another under that name."""
    if package.name not in SAME_ON_THE_INDEX:
        return None
    version = _version(package.version)
    return None if version is None else f"{package.name}{version}"


def _version(text: str) -> str | None:
    """A version in pip's syntax: ``=1.2`` or ``1.2.*`` → ``==1.2.*``; None for ``=1.2=build``."""
    if not text:
        return ""
    if exact := re.fullmatch(r"==\s*([\w.!+]+)", text):
        return f"=={exact[1]}"
    if fuzzy := re.fullmatch(r"=?\s*([\w.!+]+?)(\.?\*)?", text):
        return f"=={fuzzy[1]}.*"
    try:
        return str(SpecifierSet(text.replace(" ", "")))
    except InvalidSpecifier:
        return None  # a build string, `1.2|1.3`, …


def _python_version(package: _Package | None) -> str | None:
    """``3.11`` or ``3.11.7`` if the package names it, else a version of its range."""
    if package is None or not package.version:
        return None
    if match := re.fullmatch(r"={0,2}\s*(3\.\d+(?:\.\d+)?)(\.?\*)?(=.*)?", package.version):
        return match[1]
    try:
        allowed = SpecifierSet(package.version.replace(" ", ""))
    except InvalidSpecifier as error:
        raise InvalidEnvironment(
            f"{package.line.where}: '{package.text}' is not a version of Python.",
            remedy="Write one like 'python=3.11'.",
        ) from error
    minor = allowed_python(allowed)
    if minor is None:
        raise InvalidEnvironment(f"{package.line.where}: no version of Python is '{package.text}'.")
    return minor


SAME_ON_THE_INDEX: Final = frozenset(
    """
    absl-py accelerate aiohttp altair anyio arrow attrs beautifulsoup4 black bokeh boto3
    botocore bottleneck cachetools catboost category_encoders certifi cffi charset-normalizer
    click cloudpickle colorama cryptography cython dask databricks-cli databricks-sdk datasets
    decorator deprecated dill distributed dynaconf einops eli5 evaluate evidently fastapi
    fastparquet filelock flask fsspec gcsfs gensim gitpython google-cloud-storage
    great-expectations gunicorn h5py hdbscan html5lib httpx huggingface_hub hydra-core hyperopt idna
    imageio imbalanced-learn importlib-metadata ipykernel ipython jinja2 joblib jsonschema
    jupyter jupyterlab keras kiwisolver lifelines lightgbm llvmlite loguru lxml markdown
    markupsafe marshmallow matplotlib mlflow mlflow-skinny more-itertools mypy networkx nltk
    notebook numba numexpr numpy omegaconf openpyxl optuna orjson packaging pandas paramiko
    patsy pillow pip platformdirs plotly pmdarima pre-commit prophet protobuf psutil
    psycopg2-binary pyarrow pydantic pygments pymongo pymysql pyodbc pyparsing pyspark pytest
    python-dateutil python-dotenv pytz pyyaml regex requests rich ruff s3fs scikit-image
    scikit-learn scipy seaborn sentencepiece setuptools shap simplejson six sktime sqlalchemy
    statsmodels sympy tabulate tenacity tensorboard tensorflow termcolor threadpoolctl
    tokenizers toml tomli toolz tornado tqdm transformers typer typing-extensions
    typing_extensions tzdata ujson umap-learn urllib3 uvicorn werkzeug wheel wrapt xarray
    xgboost xlrd xlsxwriter zarr
    """.split()  # noqa: SIM905 a list of words reads best as one
)
