from .python import DOCKER as DOCKER
from .python import MLFLOW_ENV_MANAGERS as MLFLOW_ENV_MANAGERS
from .python import attach as attach
from .python import build as build
from .python import run as run
from .python import run_with_mlflow as run_with_mlflow
