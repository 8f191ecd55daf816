"""Packages of conda: those that are the same on the Python index, and those that no image needs."""

from __future__ import annotations

import re
from typing import Final

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
OTHER_NAMES: Final = {
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
OTHER_VERSIONS: Final = frozenset({"tzdata"})
# What conda has as packages, and every Python brings in its own way.
WITH_PYTHON: Final = frozenset(
    """
    _libgcc_mutex _openmp_mutex blas ca-certificates expat icu libblas libcblas libcxx libedit libexpat
    libffi libgcc libgcc-ng libgfortran libgfortran-ng libgfortran5 libiconv liblapack liblzma libmpdec
    libnsl libopenblas libsqlite libstdcxx libstdcxx-ng libuuid libxcrypt libzlib ncurses openblas
    python.app pywin32-on-windows readline tk tzcode yaml zlib
    """.split()  # noqa: SIM905 a list of words reads best as one
)
PROGRAMS: Final = frozenset(
    """
    bzip2 gettext intel-openmp krb5 libgomp llvm-openmp lz4-c mkl numpy-base openssl sqlite tbb xz zstd
    """.split()  # noqa: SIM905 a list of words reads best as one
)
RUNTIMES: Final = ("ld_impl_", "_sysroot_", "sysroot_")
OF_WINDOWS: Final = re.compile(
    r"vc|vc14_runtime|vcomp14|vs20\d\d_.*|ucrt|m2w64-.*|msys2-.*|wincertstore|win_inet_pton|pywin32|"
    r"pywinpty|winpty"
)
_NVIDIA: Final = (
    "the wheels of torch and tensorflow bring their own: leave it out, if it is for these"
)
_DEBIAN: Final = "no Python package: put {0} into apt.txt instead"
# What else can be done than to take a package from conda.
ADVICE: Final = {
    **dict.fromkeys(
        ("cudatoolkit", "cudnn", "pytorch-cuda", "pytorch-mutex", "cuda", "cuda-toolkit", "nccl"),
        _NVIDIA,
    ),
    "cpuonly": "without it, the wheel of torch brings CUDA along",
    **{
        name: _DEBIAN.format(debian)
        for name, debian in (
            ("ffmpeg", "ffmpeg"),
            ("gcc", "gcc"),
            ("gcc-linux-64", "gcc"),
            ("git", "git"),
            ("graphviz", "graphviz"),
            ("gxx", "g++"),
            ("gxx-linux-64", "g++"),
            ("make", "make"),
            ("openjdk", "default-jre-headless"),
            ("wget", "wget"),
            ("curl", "curl"),
        )
    },
}
