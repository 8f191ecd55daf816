"""Conda packages that are the same thing under the same name on the Python index.

Others need not be: conda's ``pytorch`` is ``torch`` there, its ``opencv`` is ``opencv-python``, and
``cudatoolkit`` is no Python package.
"""

from __future__ import annotations

from typing import Final

SAME_ON_THE_INDEX: Final = frozenset(
    """
    absl-py accelerate aiohttp altair anyio arrow attrs beautifulsoup4 black bokeh boto3
    botocore bottleneck cachetools catboost category_encoders certifi cffi charset-normalizer
    click cloudpickle colorama cryptography cython dask databricks-cli databricks-sdk datasets
    decorator deprecated dill distributed dynaconf einops eli5 evaluate evidently fastapi
    fastparquet filelock flask fsspec gcsfs gensim gitpython google-cloud-storage great-
    expectations gunicorn h5py hdbscan html5lib httpx huggingface_hub hydra-core hyperopt idna
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
