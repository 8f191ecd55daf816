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
from packaging.utils import canonicalize_name

from container_backend.environment.declared import (
    PYTHON_TEMPLATE,
    CondaPackages,
    Declared,
    Line,
    Template,
    allowed_python,
    is_list_of_texts,
    own_python,
    warn_of_unknown_keys,
)
from container_backend.environment.python_env import line_numbers
from container_backend.errors import InvalidEnvironment
from container_backend.machine import load_mapping, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

_logger = logging.getLogger(__package__)
CONDA_TEMPLATE: Final = Template("Dockerfile.conda.j2", base="conda_base_image")
_KEYS: Final = ("name", "channels", "dependencies", "prefix", "platforms")
_SPECIFICATION: Final = re.compile(
    r"(?:(?P<channel>[\w./:-]+)::)?(?P<name>[A-Za-z0-9_][\w.-]*)\s*(?P<version>[^\[\]]*)"
)
# `=1.2=build`: this version, in this build.
_BUILT: Final = re.compile(r"={0,2}\s*([0-9][\w.!+]*)=([^=]+)")
_CHANNELS_OF_ALL: Final = frozenset({"", "conda-forge", "defaults", "main", "anaconda", "pytorch"})
# The build of a package that pip has installed, and builds for one kind of hardware.
_FROM_INDEX: Final = re.compile(r"pypi_\d+|<pip>")
_VARIANT: Final = re.compile(r"cuda|cudnn|gpu|cpu|rocm|(?:^|_)cu\d+", re.IGNORECASE)
_CHANNEL: Final = re.compile(r"[\w.:/@%+~-]+")


@dataclass(frozen=True)
class _Package:
    text: str
    name: str
    version: str
    line: Line
    channel: str = ""


def read_conda_env(file: Path, _root: Path) -> Declared:
    """Read a conda environment file."""
    content, node = load_mapping(file, InvalidEnvironment, texts_only=True)
    warn_of_unknown_keys(file, content, _KEYS)
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
    others = [package for package in packages if package.name not in {"python", "python_abi"}]
    version = _python_version(python)
    source = str(file) if python is not None else ""
    _refuse_windows(others)
    needed = [package for package in others if not _comes_with_python(package)]
    taken = {package.text: _on_the_index(package) for package in needed}
    missing = [text for text, requirement in taken.items() if requirement is None]
    if not missing:
        _warn_of_names(file, taken)
        lines += [Line(taken[package.text] or "", file, package.line.number) for package in needed]
        return Declared(tuple(lines), version, source, template=PYTHON_TEMPLATE)
    _logger.warning(
        "%s: conda (micromamba) is needed for %s: the Python index may not have the same",
        *(file, ", ".join(missing)),
    )
    wanted = python.text if python and python.version else f"python={version or own_python()}"
    listed = tuple(sorted({wanted, *(other.text for other in others)}))
    return Declared(
        tuple(lines), version, source, conda=CondaPackages(_channels(file, content), listed)
    )


def _warn_of_names(file: Path, taken: Mapping[str, str | None]) -> None:
    """Say which packages are taken from the index; pip itself is in every file."""
    said = [f"{text} as {requirement}" for text, requirement in taken.items() if text != "pip"]
    if said:
        _logger.warning(
            "%s: taken from the Python index, not from conda: %s", file, ", ".join(said)
        )


def _refuse_windows(packages: Iterable[_Package]) -> None:
    windows = [package for package in packages if _OF_WINDOWS.fullmatch(package.name)]
    if windows:
        raise InvalidEnvironment(
            f"{windows[0].line.where}: {', '.join(package.name for package in windows)}: packages of "
            "Windows, which the container does not have.",
            remedy="Leave them out. `conda env export --from-history` writes what you asked for, without "
            "what only one kind of machine has.",
        )


def _comes_with_python(package: _Package) -> bool:
    """True for what every Python brings in its own way.

    Programs and libraries without a build, which an export has, are wanted for themselves.
    """
    if package.name in _PROGRAMS and not _BUILT.fullmatch(package.version):
        return False
    return package.name in _WITH_PYTHON | _PROGRAMS or package.name.startswith(_RUNTIMES)


def _channels(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    listed = content.get("channels") or ["conda-forge"]
    if not is_list_of_texts(listed) or not all(map(_CHANNEL.fullmatch, listed)):
        raise InvalidEnvironment(f"{file}, key 'channels': a list of names or addresses is needed.")
    return tuple(listed)


def _pip_lines(item: object, line: Line) -> list[Line]:
    """``- pip: [requirement, …]``; nothing beneath it is no requirement."""
    listed = item.get("pip") or [] if isinstance(item, dict) and set(item) == {"pip"} else None
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
        name, version = match["name"].lower(), match["version"].strip()
        return _Package(text, name, version, line, match["channel"] or "")
    raise InvalidEnvironment(f"{line.where}: '{shortened(line.text)}' is not a conda package.")


def _on_the_index(package: _Package) -> str | None:
    """The package as a requirement; None if the Python index may have another under that name."""
    built = _BUILT.fullmatch(package.version)
    version, build = (built[1], built[2]) if built else ("", "")
    if _FROM_INDEX.fullmatch(build):  # conda lists what pip has installed
        return f"{package.name}=={version}"
    if package.channel not in _CHANNELS_OF_ALL:  # another channel has another package of that name
        return None
    own = canonicalize_name(package.name)
    name = _OTHER_NAMES.get(own, own if own in SAME_ON_THE_INDEX else "")
    if not name or _VARIANT.search(build):
        return None
    if name in _OTHER_VERSIONS:
        return name
    found = f"=={version}" if built else _version(package.version)
    return None if found is None else f"{name}{found}"


def _version(text: str) -> str | None:
    """A version in pip's syntax: ``=1.2`` or ``1.2.*`` → ``==1.2.*``; None for ``1.2|1.3``."""
    if not text:
        return ""
    if exact := re.fullmatch(r"==\s*([\w.!+]+)", text):
        return f"=={exact[1]}"
    if fuzzy := re.fullmatch(r"=?\s*([\w.!+]+?)(\.?\*)?", text):
        return f"=={fuzzy[1]}.*"
    try:
        return str(SpecifierSet(text.replace(" ", "")))
    except InvalidSpecifier:
        return None


def _python_version(package: _Package | None) -> str | None:
    """``3.11`` or ``3.11.7`` if the package names it, else a version of its range."""
    if package is None or not package.version:
        return None
    if match := re.fullmatch(r"={0,2}\s*(3\.\d+(?:\.\d+)?)(\.?\*)?(=.*)?", package.version):
        return match[1]
    any_minor = re.fullmatch(r"={0,2}\s*(\d+)(\.?\*)?", package.version)
    try:
        allowed = SpecifierSet(
            f"=={any_minor[1]}.*" if any_minor else package.version.replace(" ", "")
        )
    except InvalidSpecifier as error:
        raise InvalidEnvironment(
            f"{package.line.where}: '{shortened(package.text)}' is not a version of Python.",
            remedy="Write one like 'python=3.11'.",
        ) from error
    minor = allowed_python(allowed.contains)
    if minor is None:
        raise InvalidEnvironment(
            f"{package.line.where}: no version of Python is '{shortened(package.text)}'."
        )
    return minor


SAME_ON_THE_INDEX: Final = frozenset(
    """
    absl-py accelerate aiofiles aiohttp aiosignal alembic altair annotated-types anyio appdirs argcomplete
    argon2-cffi arrow asttokens async-timeout attrs azure-core azure-identity azure-storage-blob babel
    backcall beautifulsoup4 black bleach blinker bokeh boto3 botocore bottleneck cachetools captum catboost
    category-encoders certifi cffi chardet charset-normalizer click cloudpickle colorama colorlog comm
    contourpy coverage cryptography cycler cython dash databricks-cli databricks-sdk dataclasses-json
    datasets debugpy decorator defusedxml deprecated dill distlib distributed docopt dvc dynaconf
    einops eli5 entrypoints evaluate evidently execnet executing faker fastapi fastjsonschema fastparquet
    feast featuretools filelock fire flake8 flask flask-cors flask-sqlalchemy fonttools frozenlist fsspec
    ftfy gcsfs gensim gitdb gitpython google-api-core google-auth google-cloud-bigquery
    google-cloud-storage gradio graphql-core great-expectations greenlet grpcio gspread gunicorn h11 h5py
    hdbscan html5lib httpcore httpx huggingface-hub hydra-core hyperopt hypothesis idna imageio
    imbalanced-learn importlib-metadata importlib-resources imutils iniconfig ipykernel ipython ipywidgets
    isodate isort itsdangerous jedi jinja2 jmespath joblib json5 jsonpatch jsonschema jupyter
    jupyter-client jupyter-core jupyterlab kaggle keras kiwisolver langchain langid lazy-object-proxy
    lifelines lightgbm lightning llvmlite locket loguru lxml mako markdown markdown-it-py markupsafe
    marshmallow matplotlib matplotlib-inline mccabe mdurl missingno mistune mkl-fft mkl-random
    mkl-service mlflow mlflow-skinny mlxtend more-itertools multidict multiprocess mypy mypy-extensions nbclient nbconvert nbformat nest-asyncio
    networkx nltk nose notebook numba numexpr numpy oauthlib omegaconf onnx onnxruntime openai openpyxl
    optuna orjson packaging pandas pandas-profiling pandocfilters papermill paramiko parso partd
    pathspec patsy pexpect pickleshare pillow pip platformdirs plotly pluggy pmdarima polars portalocker
    pre-commit prefect prometheus-client prompt-toolkit prophet protobuf psutil psycopg2-binary ptyprocess
    pure-eval py4j pyarrow pyasn1 pycodestyle pycparser pydantic pydantic-core pyflakes pygments
    pyjwt pylint pymongo pymysql pynndescent pyodbc pyopenssl pyparsing pyrsistent pyserial pysftp pysocks
    pyspark pytest pytest-cov pytest-mock pytest-xdist python-dateutil python-dotenv python-slugify
    pytorch-lightning pytz pywavelets pyyaml pyzmq querystring-parser rapidfuzz regex requests
    requests-oauthlib rich rsa ruff s3fs s3transfer sacrebleu safetensors scikit-image
    scikit-learn scikit-optimize scikit-plot scipy scrapy selenium send2trash sentence-transformers
    sentencepiece setuptools shap shapely simplejson six skl2onnx sktime slicer smart-open smmap snowballstemmer
    soupsieve spacy sphinx sqlalchemy sqlparse stack-data starlette statsmodels stevedore streamlit
    sympy tabulate tblib tenacity tensorboard tensorboardx tensorflow tensorflow-datasets termcolor
    terminado textblob threadpoolctl tifffile tiktoken tinycss2 tokenizers toml tomli tomlkit toolz
    torchaudio torchmetrics torchvision tornado tqdm traitlets transformers tweepy typer typing-extensions
    tzdata tzlocal ujson umap-learn unidecode urllib3 uvicorn uvloop virtualenv wandb watchdog wcwidth
    webencodings websocket-client websockets werkzeug wheel widgetsnbextension wordcloud wrapt xarray
    xgboost xlrd xlsxwriter xlwt yarl yellowbrick ydata-profiling zarr zict zipp
    """.split()  # noqa: SIM905 a list of words reads best as one
)
# Packages that have another name on the Python index.
_OTHER_NAMES: Final = {
    "dask": "dask[complete]",
    "dask-core": "dask",
    "jupyter-lab": "jupyterlab",
    "lightgbm-base": "lightgbm",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "py-xgboost": "xgboost",
    "python-tzdata": "tzdata",
    "python-xxhash": "xxhash",
    "pytorch": "torch",
    "seaborn": "seaborn[stats]",
    "seaborn-base": "seaborn",
    "tensorflow-base": "tensorflow",
}
# Packages whose versions have another form there: 2024a is 2024.1.
_OTHER_VERSIONS: Final = frozenset({"tzdata"})
# What conda has as packages, and every Python brings in its own way.
_WITH_PYTHON: Final = frozenset(
    """
    _libgcc_mutex _openmp_mutex blas ca-certificates expat icu libblas libcblas libcxx libedit libexpat
    libffi libgcc libgcc-ng libgfortran libgfortran-ng libgfortran5 libiconv liblapack liblzma libmpdec
    libnsl libopenblas libsqlite libstdcxx libstdcxx-ng libuuid libxcrypt libzlib ncurses openblas
    python.app pywin32-on-windows readline tk tzcode yaml zlib
    """.split()  # noqa: SIM905 a list of words reads best as one
)
_PROGRAMS: Final = frozenset(
    """
    bzip2 gettext intel-openmp krb5 libgomp llvm-openmp lz4-c mkl numpy-base openssl sqlite tbb xz zstd
    """.split()  # noqa: SIM905 a list of words reads best as one
)
_RUNTIMES: Final = ("ld_impl_", "_sysroot_", "sysroot_")
_OF_WINDOWS: Final = re.compile(
    r"vc|vc14_runtime|vcomp14|vs20\d\d_.*|ucrt|m2w64-.*|msys2-.*|wincertstore|win_inet_pton|pywin32|"
    r"pywinpty|winpty"
)
