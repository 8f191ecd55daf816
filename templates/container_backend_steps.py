"""Steps of a program: what ``mlflow.run`` does in a container of a run.

A step of the same environment runs in this container. Another one is started by the user's machine, in a
container of its own beside this one: it is asked for here, by HTTP, and its output is shown here.
Part of the launcher: the standard library and MLflow alone, Python 3.7.
"""

import base64
import http.client
import json
import os
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

_SAID = "CONTAINER_BACKEND_STEPS"
_TOKEN = "CONTAINER_BACKEND_STEPS_TOKEN"
# What belongs to one process or container, and not to a step.
_OWN = {
    "_", "PWD", "OLDPWD", "SHLVL", "HOME", "HOSTNAME", "PATH", "PYTHONPATH", "VIRTUAL_ENV", "USER", "LOGNAME",
    "LD_LIBRARY_PATH", "PYTHONHOME", "JAVA_HOME", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN",
    "NO_PROXY", "no_proxy", _SAID, _TOKEN,
}  # fmt: skip
# Keys by which a project, or one of its entry points, declares an environment.
_ENVIRONMENTS = ("python_env", "conda_env", "docker_env", "requirements")
_LEFT_OUT = {".git", "mlruns", "mlartifacts", "__pycache__", ".venv", ".ipynb_checkpoints"}
# What an environment is made of is small; packages are not.
_MOST_BYTES = 1024 * 1024
_MOST_OF_PACKAGES = 64 * 1024 * 1024
_PACKAGES = (".whl", ".tar.gz", ".zip", ".conda")
_MOST_IN_ALL = 64 * 1024 * 1024
_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.5
_ANSWER_SECONDS = 60.0
_OF_MLFLOW = {
    "ENV_MANAGER", "SYNCHRONOUS", "DOCKER_ARGS", "STORAGE_DIR", "build_image", "docker_auth",
    "_mlflow_local_backend_run_id",
}  # fmt: skip
_SOURCE_NAME = "mlflow.source.name"
# The tags of the run that this thread is creating.
_adding = threading.local()


def install(local):
    """Have MLflow's local backend, a module, start each step where its environment is."""
    said = os.environ.get(_SAID)
    if not said:
        return
    driver = _Driver(json.loads(said), os.environ.get(_TOKEN, ""))
    in_place = local.LocalBackend.run
    create = local.get_or_create_run

    def run(
        self, project_uri, entry_point, params, version, backend_config, tracking_uri, experiment_id
    ):
        name = _name_of(project_uri, entry_point)
        folder = _local_folder(project_uri)
        backend_config = dict(backend_config or {})
        stays = backend_config.get("ENV_MANAGER") == "local" or (version and folder)
        if not stays and not driver.is_of_itself(folder):
            step = driver.start(
                project_uri,
                folder,
                entry_point,
                params,
                version,
                backend_config,
                experiment_id,
                name,
            )
            if step is not None:
                return step
        backend_config["ENV_MANAGER"] = "local"
        return _Named(in_place(self, project_uri, entry_point, params, version, backend_config, tracking_uri,
                               experiment_id), name)  # fmt: skip

    def run_beside(
        self, project_uri, entry_point, params, version, backend_config, tracking_uri, experiment_id
    ):
        name, folder = _name_of(project_uri, entry_point), _local_folder(project_uri)
        unused = [key for key in backend_config or {} if key not in _OF_MLFLOW]
        if unused or (backend_config or {}).get("DOCKER_ARGS"):
            said = ", ".join(unused + ["docker_args"] * bool(backend_config.get("DOCKER_ARGS")))
            _write(
                ("Step '%s' has the settings of its driver, and not: %s\n" % (name, said)).encode(),
                2,
            )
        return driver.start(project_uri, folder, entry_point, params, version, dict(backend_config or {}),
                            experiment_id, name, is_beside=True)  # fmt: skip

    def get_or_create_run(run_id, uri, *others, **named):
        if run_id:
            return create(run_id, uri, *others, **named)
        _adding.tags = driver.tags_of(uri)
        try:
            return create(run_id, uri, *others, **named)
        finally:
            _adding.tags = {}

    _add_tags()
    local.LocalBackend.run = run
    local.LocalBackend.run_beside = run_beside
    local.get_or_create_run = get_or_create_run


def _add_tags():
    """Have runs that MLflow creates for a step get the tags of that step, with the same request."""
    from mlflow.tracking import MlflowClient

    create = MlflowClient.create_run

    def create_run(self, *others, **named):
        added = getattr(_adding, "tags", None)
        if added:
            tags = named.get("tags") or {}
            named["tags"] = {
                **added,
                **tags,
                _SOURCE_NAME: added.get(_SOURCE_NAME, tags.get(_SOURCE_NAME)),
            }
        return create(self, *others, **named)

    MlflowClient.create_run = create_run


def install_backend(loader):
    """Have ``backend="docker"`` start a step beside this container, unless the program has an engine."""
    if not os.environ.get(_SAID) or os.environ.get("DOCKER_HOST"):
        return

    class Beside(loader.LocalBackend):
        run = loader.LocalBackend.run_beside

    loader.MLFLOW_BACKENDS["docker"] = Beside


def _name_of(uri, entry_point):
    """What a person calls the step: its entry point, or its folder if that is "main"."""
    if entry_point and entry_point != "main":
        return entry_point
    path = uri.split("#", 1)[-1].rstrip("/")
    name = os.path.basename(os.path.abspath(path) if "://" not in path else path)
    return name or entry_point


def _local_folder(uri):
    """The folder of a project; None for one at an address."""
    path, _, below = uri.partition("#")
    if path.startswith("file://"):
        path = urllib.parse.urlsplit(path).path
    path = uri if os.path.isdir(uri) else os.path.join(path, below) if os.path.isdir(path) else None
    return os.path.realpath(path) if path else None


class _Driver:
    """The program that asks for steps, and how it asks."""

    def __init__(self, said, token):
        self._said = said
        self._token = token
        # The program's own requests may go through a proxy of HTTP; these do not.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_of_itself(self, folder):
        """True for the driver's own project, if all of its entry points have one environment."""
        return folder is not None and folder == self._said["project"] and not _has_several(folder)

    def start(self, uri, folder, entry_point, params, version, backend_config, experiment_id, name,
              is_beside=False):  # fmt: skip
        """Start a step beside this container; None if its environment is the one of here.

        With ``is_beside``, that does not matter.
        """
        from mlflow.exceptions import ExecutionException

        if "refused" in self._said:
            raise ExecutionException(
                "Step '%s' cannot run here. %s" % (name, self._said["refused"])
            )
        place = self._place_of(folder)
        asked = {
            "uri": uri, "directory": folder, "shared": place is not None, "root": place or folder,
            "entry_point": entry_point or "main", "version": version, "folder": os.getcwd(),
            "parameters": {str(key): str(value) for key, value in (params or {}).items()},
            "experiment_id": str(experiment_id or ""), "parent": _parent(), "is_beside": is_beside,
            "run_id": backend_config.get("_mlflow_local_backend_run_id") or "",
            "environment": _changed_variables(),
        }  # fmt: skip
        step = uuid.uuid4().hex
        if folder is not None:
            with tempfile.TemporaryFile() as packed:
                _pack(packed, place or folder, folder, is_shared=place is not None)
                self.ask("PUT", step + "/project", packed)
        self.ask("PUT", step, json.dumps(asked).encode())
        following = _Following(self, step, name)
        try:
            begun = following.begin()
        except BaseException:  # as Ctrl-C
            following.cancel()
            raise
        if begun.get("in_place"):
            return None
        if not begun.get("run_id"):
            reason = begun.get("reason") or "it was not started"
            _write((_failed(name, reason) + "\n").encode(), 2)
            raise ExecutionException("Step '%s' could not be started: %s" % (name, reason))
        from mlflow.entities import RunStatus
        from mlflow.projects.submitted_run import SubmittedRun

        class Step(SubmittedRun):
            """A step beside this container."""

            run_id = begun["run_id"]

            def wait(self):
                return following.wait().get("status") == "FINISHED"

            def get_status(self):
                return RunStatus.from_string(following.said.get("status") or "RUNNING")

            def cancel(self):
                following.cancel()

        return Step()

    def _place_of(self, folder):
        """The project folder that a folder is in, of those that all steps see."""
        for place in self._said["places"]:
            if folder is not None and (folder == place or folder.startswith(place + os.sep)):
                return place
        return None

    def tags_of(self, uri):
        """The tags that a run in this container has on the user's machine."""
        if "refused" in self._said:
            return {}
        folder = _local_folder(uri)
        place = self._place_of(folder)
        source = self._said["sources"].get(place)
        tags = dict(self._said["tags"])
        if source is not None:
            tags.update(source["tags"])
            tags[_SOURCE_NAME] = _below(source["name"], os.path.relpath(folder, place))
        tags["mlflow.parentRunId"] = _parent()
        return {key: value for key, value in tags.items() if value}

    def ask(self, method, path, body=None):
        """The answer, as JSON. Asks again while the other side is away: each request may come twice."""
        url = self._said["address"] + "/container-backend/steps/" + path
        headers = {"Authorization": "Bearer " + self._token}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            data = body
            if hasattr(body, "seek"):
                headers["Content-Length"] = str(body.seek(0, os.SEEK_END))
                body.seek(0)
            request = urllib.request.Request(url, data=data, headers=headers, method=method)
            try:
                with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                    return json.loads(answer.read().decode() or "{}")
            except urllib.error.HTTPError as error:
                said = error.read().decode("utf-8", "replace")
                if error.code < 500 or time.monotonic() > deadline:
                    raise _refusal(said) from None
            except (OSError, ValueError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_SECONDS)


class _Following:
    """Shows the output of a step until its end, in a thread: the program may go on meanwhile."""

    def __init__(self, driver, step, name):
        self._driver, self._step, self._name = driver, step, name
        self.said = {}
        self._has_begun = threading.Event()
        self._has_ended = threading.Event()
        self._was_told = False
        # Not a daemon: the program ends when its steps have ended, as with MLflow's own.
        threading.Thread(target=self._follow, name="step-" + name).start()

    def _follow(self):
        offset, said = 0, {}
        try:
            while not said.get("has_ended"):
                known = "1" if said.get("run_id") else ""
                said = self._driver.ask(
                    "GET", "%s?offset=%d&known=%s" % (self._step, offset, known)
                )
                offset = said["offset"]
                _write(base64.b64decode(said["output"]))
                self.said = said
                if said.get("run_id"):
                    self._has_begun.set()
        except Exception as error:
            self.said = {
                "status": "FAILED",
                "reason": "nothing is known of it any more: %s" % error,
            }
        finally:
            self._has_begun.set()
            self._has_ended.set()

    def begin(self):
        """What is known once the run of the step exists, or cannot exist."""
        self._has_begun.wait()
        return self.said

    def wait(self):
        self._has_ended.wait()
        if self.said.get("status") != "FINISHED" and not self._was_told:
            self._was_told = True
            _write((_failed(self._name, self.said.get("reason") or "") + "\n").encode(), 2)
        return self.said

    def cancel(self):
        self._driver.ask("POST", self._step + "/cancel", b"{}")
        self._has_ended.wait()


class _Named:
    """A step in this container: as MLflow made it, and named when it fails."""

    def __init__(self, run, name):
        self.__dict__.update(_run=run, _name=name)

    def __getattr__(self, name):
        return getattr(self._run, name)

    def wait(self):
        succeeded = self._run.wait()
        if not succeeded:
            _write((_failed(self._name, "") + "\n").encode(), 2)
        return succeeded


def _failed(name, reason):
    # Read again by runs/ending/output_hints.py.
    return "=== Step '%s' failed%s ===" % (name, ": " + " ".join(reason.split()) if reason else "")


def _refusal(said):
    from mlflow.exceptions import MlflowException

    try:
        said = json.loads(said)["message"]
    except (ValueError, KeyError):
        pass
    return MlflowException(said)


def _parent():
    from mlflow.tracking import fluent

    active = fluent.active_run()
    return active.info.run_id if active else os.environ.get("MLFLOW_RUN_ID", "")


def _has_several(folder):
    """True if an entry point declares an environment of its own."""
    import yaml

    for name in os.listdir(folder):
        if name.lower() == "mlproject":
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                said = yaml.safe_load(file) or {}
            found = (said.get("entry_points") or {}).values() if isinstance(said, dict) else ()
            return any(isinstance(each, dict) and set(each) & set(_ENVIRONMENTS) for each in found)
    return False


def _changed_variables():
    """What the program, or the shell that started it, has set: a step on a user's machine inherits that."""
    try:
        with open("/proc/1/environ", "rb") as file:
            said = file.read().decode("utf-8", "surrogateescape")
    except OSError:  # another user's
        said = ""
    first = dict(each.partition("=")[::2] for each in said.split("\0") if each)
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _OWN
        and not name.startswith("CONDA_")
        and first.get(name) != value
        and (name + value).encode("utf-8", "ignore").decode() == name + value
    }


def _pack(packed, root, folder, is_shared):
    """Write a tar of what an environment may be made of; of all, if the step does not see the folder.

    The step's own folder comes first: not everything of a large project is sent.
    """
    left, inside = _MOST_IN_ALL, os.path.realpath(root) + os.sep
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for path in _files(folder, root):
            try:
                if os.path.islink(path) and not os.path.realpath(path).startswith(inside):
                    continue  # as `venv/bin/python`
                size = os.lstat(path).st_size
                most = _MOST_OF_PACKAGES if path.endswith(_PACKAGES) else _MOST_BYTES
                if is_shared and (size > most or size > left):
                    continue
                left -= size
                if left < 0:
                    raise _refusal(
                        "The project %s is larger than %d MB, and lies outside of the driver's "
                        "project folder: put it there." % (folder, _MOST_IN_ALL // 1024**2)
                    )
                tar.inodes = {}  # a second name of a file is a file of its own
                tar.add(path, os.path.relpath(path, root), recursive=False)
            except OSError:  # gone, or not readable
                continue


def _files(folder, root):
    """Files and links of a folder, and then of the rest of the folder above."""
    for top in [folder] + ([root] if root != folder else []):
        for parent, folders, files in os.walk(top):
            links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
            folders[:] = sorted(
                name for name in folders
                if name not in _LEFT_OUT and (top == folder or os.path.join(parent, name) != folder)
            )  # fmt: skip
            for name in sorted(files + links):
                yield os.path.join(parent, name)


def _below(source, path):
    if path == ".":
        return source
    sign = "/" if "#" in source or "://" not in source else "#"
    return source.rstrip("/") + sign + path


def _write(data, descriptor=1):
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:  # who reads it is gone
        return


def _download(addresses):
    """Download what path parameters name: an address and a path, in turn."""
    try:
        from mlflow.artifacts import download_artifacts
    except ImportError:
        sys.exit(
            "A path parameter names an address (%s), and this environment has no MLflow to download it: "
            "add mlflow to the packages of the step." % addresses[0]
        )
    for address, target in zip(addresses[::2], addresses[1::2]):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        folder = tempfile.mkdtemp(dir=os.path.dirname(target))
        try:
            found = download_artifacts(artifact_uri=address, dst_path=folder)
        except Exception as error:
            sys.exit("%s cannot be downloaded for a path parameter: %s" % (address, error))
        os.replace(found.rstrip("/"), target)


if __name__ == "__main__":
    _download(sys.argv[1:])
