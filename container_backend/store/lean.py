"""Import MLflow at less cost, in a process that has no data.

MLflow works without the data libraries (mlflow-skinny), but imports them if they are installed: 0.4
of 1.8 s of CPU.
"""

from __future__ import annotations

import gc
import sys
import warnings
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType

# While two thousand modules are imported, nothing becomes garbage: 0.3 s of 2.1 (docs/measurements.md).
_GARBAGE_THRESHOLD: Final = 100_000
# MLflow's warning where that of an installed package (`mlflow.dataset_constructor`) cannot be imported.
_CONSTRUCTOR: Final = "Failure attempting to register dataset constructor"
_LIBRARIES: Final = frozenset({"matplotlib", "pandas", "pyarrow", "scipy", "sklearn"})


def import_mlflow_lean() -> None:
    """Hide the data libraries from modules of MLflow during ``import mlflow``; collect garbage rarely.

    Other modules find the libraries, such as the plugins for stores that MLflow imports.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD, 10, 10)
    if "mlflow" not in sys.modules:
        sys.meta_path.insert(0, _Finder())
        # They need the libraries, and this process needs no constructors of datasets.
        warnings.filterwarnings("ignore", _CONSTRUCTOR)


def is_mlflow_at_hand() -> bool:
    """True where MLflow is imported, or may be: not in a process of others, which stays as it is."""
    return "mlflow" in sys.modules or any(isinstance(each, _Finder) for each in sys.meta_path)


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in _LIBRARIES and _importer().partition(".")[0] == "mlflow":
            raise ModuleNotFoundError(f"'{name}' is hidden from MLflow", name=name)
        return self._until_imported(path, target) if name == "mlflow" else None

    def _until_imported(
        self, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec("mlflow", path, target)
        if spec is None or spec.loader is None:
            sys.meta_path.remove(self)
            return None
        execute = spec.loader.exec_module

        def execute_once(module: ModuleType) -> None:
            try:
                execute(module)
            finally:
                sys.meta_path.remove(self)

        spec.loader.exec_module = execute_once  # type: ignore[method-assign]
        return spec


def _importer() -> str:
    """The name of the module that executes the import statement."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or _is_machinery(frame)):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", ""))


def _is_machinery(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith("<frozen importlib")
