"""Loaded by every Python program of a run: ``mlflow.run(".", "step")`` in it stays in its container.

MLflow would make an environment for the step, with tools that are not here. The container is that
environment already: the step runs in it, as with ``env_manager="local"``. A step with another environment
runs beside the container; see ``container_backend_steps.py``.
"""

import os
import sys

_LOCAL = "mlflow.projects.backend.local"
_LOADER = "mlflow.projects.backend.loader"


class _Finder:
    """Waits for MLflow's local backend to be imported, which most programs never do."""

    @classmethod
    def find_spec(cls, name: str, _path: object = None, _target: object = None) -> object:
        change = _CHANGES.pop(name, None)
        if change is None:
            return None
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: object) -> None:
                execute(module)
                change(module)

            spec.loader.exec_module = exec_module
        return spec


def _stay(module) -> None:  # noqa: ANN001 MLflow's module
    """Have MLflow choose its environment manager "local", and not start a container of its own."""
    load = module.load_project

    def load_project(directory: str) -> object:
        project = load(directory)
        project.docker_env = None
        return project

    module.load_project = load_project
    module._env_type_to_env_manager = lambda _: "local"
    from container_backend_steps import install

    install(module)


def _replace_backend(module) -> None:  # noqa: ANN001 MLflow's module
    from container_backend_steps import install_backend

    install_backend(module)


_CHANGES = {_LOCAL: _stay, _LOADER: _replace_backend}


def _load_hidden() -> None:
    """Load the sitecustomize of the image, which this file stands in front of."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec(
        "sitecustomize", [path for path in sys.path if os.path.abspath(path) != here]
    )
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.meta_path.insert(0, _Finder)
_load_hidden()
