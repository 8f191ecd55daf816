"""Explains a failed program by its output, where MLflow's own message does not help."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from container_backend.errors import EngineError
from container_backend.labels_and_tags import ENVIRONMENT_DIRECTORY, LABEL_EXPERIMENT, LABEL_PYTHON
from container_backend.machine import read_template
from container_backend.store import mlflow_version

if TYPE_CHECKING:
    from container_backend.container import RunContainer
    from container_backend.engine import Engine

# From mlflow.store.db.utils._verify_schema; from alembic, for the database of a newer MLflow.
_SCHEMA: Final = re.compile(r"out-of-date database schema|Can't locate revision identified by")
# From mlflow.tracking.fluent.start_run, after mlflow.set_experiment with another experiment.
_OTHER_EXPERIMENT: Final = re.compile(
    r"Cannot start run with ID \S+ because active (?:experiment|run) ID does not match"
)
# From the dynamic linker, by way of Python's import, ctypes, cffi or a program; from packages that look for
# their library by its name (python-magic, pyzbar, cairocffi).
_LIBRARY: Final = re.compile(
    r"\b(lib[\w.+-]+\.so)[.\d]*: cannot open shared object file"
    r"|(?:failed to find |Unable to find |no library called \"?)((?:lib)?(?:magic|zbar|cairo))\b"
)
_OF_DRIVER: Final = re.compile(r"lib(?:cuda|nvidia-ml|nvcuvid|nvidia-encode)\.so")
# From the import of an installed package that knows only older versions of another one.
_OLD_PACKAGE: Final = re.compile(
    r'File "[^"]*/site-packages/(\w+)[^"]*", line \d+, in <module>\n(?:[ \t].*\n)*'
    r"((?:ImportError: cannot import name(?!.*partially initialized)|AttributeError: "
    r"|ModuleNotFoundError: No module named 'pkg_resources'|ValueError: numpy\.dtype size changed).*)"
)
_NO_PKG_RESOURCES: Final = "ModuleNotFoundError: No module named 'pkg_resources'"
_LONGEST: Final = 200
# What the launcher writes of a step: see `_failed` in templates/container_backend_steps.py.
_STEP: Final = re.compile(r"^=== Step '(.+)' failed(?:: (.*))? ===$", re.MULTILINE)
_EXIT_CODE: Final = re.compile(r"the program ended with exit code \d+: ")
# What Python writes at the end of a traceback.
_NO_MODULE: Final = re.compile(r"^ModuleNotFoundError: (No module named '[^']+')", re.MULTILINE)
_ERROR: Final = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Warning)\b:? ?.*", re.MULTILINE)
# A traceback is the cause if no more than these lines follow.
_LAST_LINES: Final = 5
_VERSION: Final = re.compile(r'^VERSION\b.*= "([^"]+)"', re.MULTILINE)
# From MLflow's clients: of a store that does not have the run, and of a server that does not answer.
_OTHER_STORE: Final = re.compile(
    r"Run (?:with id=|')(?P<run>\w+)'? not found|The filesystem tracking backend \(e\.g\., "
    r"|API request to (?P<server>https?://(?:localhost|127\.0\.0\.1)[:/]\S*) failed .*refused"
)
# From Python's input, at the end of a traceback.
_ASKS: Final = "EOFError: EOF when reading a line"
# From the shells that run commands: bash, dash, busybox.
_NO_PROGRAM: Final = re.compile(
    r"^(?:bash|sh): (?:line )?\d+: (\S+): (?:command )?not found$", re.MULTILINE
)


def explain(tail: bytes, engine: Engine, container: RunContainer) -> str | None:
    """The cause and the remedy; None if the output matches no known failure."""
    return _explained(tail.decode("utf-8", "replace"), engine, container)


def _explained(text: str, engine: Engine, container: RunContainer) -> str | None:
    if steps := list(_STEP.finditer(text)):
        name, reason = steps[-1].groups()
        before = text[: steps[-1].start()]
        why = reason or _explained(before, engine, container) or _last_error(before)
        return f"step '{name}' failed" + (f": {_EXIT_CODE.sub('', why)}" if why else "")
    if _OTHER_EXPERIMENT.search(text):
        experiment = container.labels.get(LABEL_EXPERIMENT) or "its experiment"
        return (
            f"the program calls mlflow.set_experiment, but its run is in '{experiment}' already. "
            "Leave the call out, and choose the experiment at the start (--experiment-name)"
        )
    if said := _store_or_program(text, container):
        return said
    if _SCHEMA.search(text):
        found = _mlflow_in(engine, container)
        there = f"MLflow {found}" if found else "the MLflow"
        return (
            f"{there} of the image cannot read the tracking database, which MLflow "
            f"{mlflow_version()} of this machine uses with another schema. Put "
            f"mlflow=={mlflow_version()} into the requirements, or start a tracking server "
            "(`mlflow server`) and set MLFLOW_TRACKING_URI to it"
        )
    return _explain_import(text, engine, container)


def _explain_import(text: str, engine: Engine, container: RunContainer) -> str | None:
    """What is missing in the image, or too old for the rest of it."""
    if libraries := list(_LIBRARY.finditer(_end_of(text))):
        return _explain_library(libraries[-1])
    if outdated := _OLD_PACKAGE.search(text):
        package = outdated[1]
        version = _mlflow_in(engine, container) if package == "mlflow" else None
        return (
            f"{f'MLflow {version}' if version else package} of the image does not work with a newer version "
            f"of another package ({outdated[2].strip()[:_LONGEST]}). Set exclude_newer in the backend config "
            f'to "commit" or to a day soon after the release of that {package}, or pin the other package'
        )
    if _NO_PKG_RESOURCES in _end_of(text):
        return (
            "setuptools 82 and newer have no pkg_resources. Put setuptools<82 into the requirements"
        )
    if missing := _NO_MODULE.search(_end_of(text)):
        return (
            f"{missing[1]}, which neither its environment nor its project has. Add the package to "
            "the project's requirements"
        )
    return None


def _explain_library(found: re.Match[str]) -> str:
    file, name = found[1], found[2]
    library = found[0].partition(":")[0] if file else f"lib{name.removeprefix('lib')}"
    if _OF_DRIVER.match(library):
        return f"the program needs a GPU: {library} is of its driver. Give the container one: -A gpus=all"
    known = dict(line.split() for line in read_template("libraries.txt").splitlines())
    # Of a library without a version, any.
    stem = library.partition(".so")[0]
    package = known.get(library) or next(
        (known[each] for each in known if each.partition(".so")[0] == stem), None
    )
    named = f"its Debian package, {package}," if package else "its Debian package"
    return (
        f"the image lacks the shared library {library}. Put {named} into the project's apt.txt, or set "
        f'system_packages in the backend config ("auto" finds what is missing)'
    )


def _end_of(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_LAST_LINES:])


def _last_error(text: str) -> str:
    found = _ERROR.findall(_end_of(text))
    return str(found[-1]).strip() if found else ""


def _store_or_program(text: str, container: RunContainer) -> str | None:
    """What a project names that is in no container."""
    if (other := _OTHER_STORE.search(_end_of(text))) and not _is_own_store(other, container):
        return (
            "the program names a tracking store that does not have its run, by mlflow.set_tracking_uri or "
            "a variable. Leave that out, and choose the store at the start (MLFLOW_TRACKING_URI)"
        )
    if _ASKS in _end_of(text):
        return "the program asks for input, and a run has none. Make it a parameter"
    if missing := _NO_PROGRAM.search(_end_of(text)):
        if "/" in missing[1]:
            return (
                f"there is no '{missing[1]}' in the container, or its first line names a program that is not "
                "there. Look at .dockerignore, and at the ends of its lines, which are those of Linux"
            )
        return (
            f"the image has no program '{missing[1]}'. Put its Debian package into the project's "
            "apt.txt, or name an image that has it (docker_env, base_image)"
        )
    return None


def _is_own_store(found: re.Match[str], container: RunContainer) -> bool:
    """True if the message is of another run, or of the server of the run itself."""
    run, server = found["run"], found["server"]
    if run is not None:
        return run != container.run_id
    own = container.environment.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    return bool(server and own) and server.startswith(f"{own}/")


def _mlflow_in(engine: Engine, container: RunContainer) -> str | None:
    """The version of MLflow in an environment image of ours; None for another image."""
    try:
        minor = ".".join(container.labels[LABEL_PYTHON].split(".")[:2])
        packages = f"{ENVIRONMENT_DIRECTORY}/lib/python{minor}/site-packages"
        text = engine.containers.read_file(container.id, f"{packages}/mlflow/version.py")
    except (EngineError, KeyError):
        return None
    match = _VERSION.search((text or b"").decode("utf-8", "replace"))
    return match[1] if match else None
