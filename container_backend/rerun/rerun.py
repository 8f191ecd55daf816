"""Repeat an earlier run: the same image, code and parameters, if they still exist."""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend import labels_and_tags
from container_backend.config import parse_config
from container_backend.container import ACCESS_VARIABLES, long_name
from container_backend.engine import EngineHost, connect
from container_backend.errors import ContainerBackendError, ImageUnavailable, NotRepeatable
from container_backend.image import IMAGE_SCHEME, ReadyImage, have, is_image_address, reference_of
from container_backend.privileges import Giver, Permissions, check_record
from container_backend.project import digest_of_code, fetch, is_git_address, unpack
from container_backend.rerun.past_run import PastRun, find_run
from container_backend.rerun.rebuild import find_exact, plan_again
from container_backend.runs import Repetition, Submission
from container_backend.store import CODE, Experiment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container_backend.engine import Engine
    from container_backend.image import ImagePlan
    from container_backend.project import RecordedCode

_logger = logging.getLogger(__package__)
# The setting of a registry, which would get the user's login: left out without trust.
_REPOSITORY: Final = "image_repository"
# The tags in which MLflow records the source of the code.
_SOURCE_TAGS: Final = (
    labels_and_tags.MLFLOW_SOURCE_NAME,
    labels_and_tags.MLFLOW_SOURCE_TYPE,
    labels_and_tags.MLFLOW_GIT_COMMIT,
    labels_and_tags.MLFLOW_GIT_ADDRESS,
    labels_and_tags.MLFLOW_GIT_BRANCH,
    "mlflow.gitRepoURL",
    "mlflow.gitBranchName",
)


@dataclass(frozen=True)
class Again:
    """How to repeat a run.

    Attributes:
        parameters: Replace those of the old run.
        config: Keys of the backend config that replace those of the old run.
        docker_args: Arguments of ``docker run`` that replace those of the old run.
        host: The engine; default: that of the environment.
        best_effort: Replace what is gone by its current version.
        trust: Give the new run the privileges of the old run on this machine.
        experiment: Default: that of the old run.
        run_name: Default: that of the old run.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    docker_args: Mapping[str, Any] = field(default_factory=dict)
    host: EngineHost | None = None
    best_effort: bool = False
    trust: bool = False
    experiment: Experiment = field(default_factory=Experiment)
    run_name: str | None = None


def submission_of(run_id: str, again: Again) -> Submission:
    """The submission that repeats a run; it is not started.

    Args:
        run_id: A run id, or its beginning.

    Raises:
        InvalidInput: There is no such run, there are several, or another tool made the run.
        NotRepeatable: Code, image or record are gone or have changed; the message names all.
        TrackingUnreachable: The tracking store does not answer.
    """
    past = find_run(run_id)
    recorded = past.recorded
    config, docker_args = _allowed(past, again)
    is_elsewhere = again.experiment != Experiment()
    submission = Submission(
        uri=recorded.source,
        entry_point=recorded.entry_point,
        parameters={**recorded.parameters, **again.parameters},
        config=parse_config({**config, **again.config}),
        docker_args=docker_args,
        tracking_uri=past.store.tracking_uri,
        experiment=again.experiment if is_elsewhere else Experiment(id=past.run.experiment_id),
        run_name=again.run_name or past.run.name,
        build_image=recorded.build_image,
        host=again.host,
    )
    untyped = frozenset(recorded.parameters) - set(again.parameters)
    if is_image_address(recorded.source):
        uri = _image_source(past, again, submission)
        repetition = Repetition(past.run_id, recorded=untyped, trusted=again.trust)
        return replace(submission, uri=uri, repetition=repetition)
    with ExitStack() as on_error:
        folder = Path(tempfile.mkdtemp(prefix=labels_and_tags.TEMPORARY_PREFIX)).resolve()
        on_error.callback(shutil.rmtree, folder, ignore_errors=True)
        lacks: list[str] = []
        directory, code = _find_code(past, folder, lacks, trust=again.trust)
        image = _find_image(past, again, submission, directory, lacks)
        _refuse(past, lacks, best_effort=again.best_effort)
        on_error.pop_all()
    tags = {name: past.tags[name] for name in _SOURCE_TAGS if name in past.tags} if code else {}
    repetition = Repetition(
        past.run_id, directory, folder, image, code, tags, recorded=untyped, trusted=again.trust
    )
    return replace(submission, repetition=repetition)


def _image_source(past: PastRun, again: Again, submission: Submission) -> str:
    """The address of a project image, which is pulled if it is missing."""
    source = past.recorded.source
    # The source has a digest if the image came from a registry; other images have only their id.
    exact = source if "@" in source else f"{IMAGE_SCHEME}{past.image_id}"
    with closing(connect(again.host)) as engine:
        try:
            have(engine, reference_of(exact), pull=submission.config.pull)
        except ImageUnavailable:
            named = source.partition("@")[0]
            lack = (
                f"image: neither the engine nor a registry has {reference_of(exact)}; "
                f"instead: the image that is called {reference_of(named)} now"
            )
            _refuse(past, [lack], best_effort=again.best_effort)
            return named
    return exact


def _refuse(past: PastRun, lacks: list[str], *, best_effort: bool) -> None:
    if not lacks:
        return
    if best_effort:
        for lack in lacks:
            _logger.warning("=== Not as in run (ID '%s'): %s ===", past.run_id, lack)
        return
    listed = "\n".join(f"    {lack}" for lack in lacks)
    raise NotRepeatable(
        f"The run '{past.run_id}' cannot be repeated as it was:\n{listed}",
        remedy="With --best-effort, the replacements above are used.",
    )


def _allowed(past: PastRun, again: Again) -> tuple[dict[str, Any], dict[str, Any]]:
    """The config and docker arguments of the record, and those of the user in their place.

    A record gives no access to this machine; arguments and variables that the user types do.

    Raises:
        InvalidConfig: The record asks for privileges, and ``trust`` is not set.
    """
    typed = _by_long_name({**parse_config(again.config).docker_args, **again.docker_args})
    variables = {str(each).partition("=")[0] for each in typed.get("env", [])}
    kept = _by_long_name(past.recorded.docker_args)
    kept = {name: values for name, values in kept.items() if name == "env" or name not in typed}
    kept["env"] = [
        each for each in kept.get("env", []) if str(each).partition("=")[0] not in variables
    ]
    config = dict(past.recorded.config)
    if not again.trust:
        config.pop(_REPOSITORY, None)
        check_record(f"The run '{past.run_id}'", kept, config, ACCESS_VARIABLES)
    merged = {**typed, **kept, "env": [*kept["env"], *typed.get("env", [])]}
    arguments = {
        name: values[0] if len(values) == 1 else values for name, values in merged.items() if values
    }
    return config, arguments


def _by_long_name(docker_args: Mapping[str, Any]) -> dict[str, list[Any]]:
    named: dict[str, list[Any]] = {}
    for name, value in docker_args.items():
        values = value if isinstance(value, list) else [value]
        named.setdefault(long_name(name), []).extend(values)
    return named


def _find_code(
    past: PastRun, folder: Path, lacks: list[str], *, trust: bool
) -> tuple[Path, RecordedCode | None]:
    """The code in a folder of its own, and its record; without the record if the code differs.

    A program can write any record of its run, and with it the place of any code of the user. So
    without ``trust``, or the signature of this user, only the copy among the artifacts is taken.
    """
    code = past.recorded.code
    is_trusted = trust or past.recorded.is_signed(past.run_id)
    problems: list[str] = []
    for directory in _candidates(past, folder, problems, is_trusted=is_trusted):
        found = digest_of_code(directory)
        if found == code.digest or (is_trusted and not code.digest):
            return directory, code
        problems.append(f"the files there are not those that ran: their digest is {found}")
    lacks.append(f"code: {'; '.join(problems) or code.why_not or 'its place was not recorded'}")
    if not is_trusted:
        raise NotRepeatable(
            f"The run '{past.run_id}' cannot be repeated: {lacks[-1]}. Its record says that the code is at "
            f"'{past.recorded.source}', but is not signed by you: it was made by another user, by an "
            "older version, or by a program.",
            remedy="If you trust it, take the code from there: --trust --best-effort.",
        )
    return _current_code(past, folder, lacks), None


def _candidates(
    past: PastRun, folder: Path, problems: list[str], *, is_trusted: bool
) -> Iterator[Path]:
    code = past.recorded.code
    if code.archived:
        directory = folder / "archive"
        directory.mkdir()
        try:
            with past.artifact(CODE) as file, file.open("rb") as packed:
                unpack(packed, directory)
        except (ValueError, OSError) as error:
            problems.append(f"the archive among the artifacts: {error}")
        else:
            yield directory
    if not code.commit or not is_trusted:
        return
    for number, address in enumerate(_repositories(past)):
        with ExitStack() as needed:
            subdirectory = f"#{code.subdirectory}" if code.subdirectory else ""
            try:
                source = fetch(f"{address}{subdirectory}", code.commit, needed, trust=True)
            except ContainerBackendError as error:
                problems.append(error.message)
                continue
            if source.temporary is None:
                continue
            kept = folder / f"git-{number}"
            inside = source.directory.relative_to(source.temporary)
            shutil.move(source.temporary, kept)
            yield kept / inside


def _repositories(past: PastRun) -> list[str]:
    """Where the commit may be: the repository on this disk, the source of the run, the remote."""
    remote = past.tags.get(labels_and_tags.MLFLOW_GIT_ADDRESS, "")
    named = (past.recorded.code.repository, past.recorded.source.partition("#")[0], remote)
    found = [each for each in named if each and (is_git_address(each) or Path(each).is_dir())]
    return list(dict.fromkeys(found))


def _current_code(past: PastRun, folder: Path, lacks: list[str]) -> Path:
    """A copy of the project as it is now.

    Raises:
        NotRepeatable: The source of the run is gone.
    """
    source = past.recorded.source
    copied = folder / "current"
    try:
        with ExitStack() as needed:
            found = fetch(source, None, needed, trust=True)
            shutil.copytree(found.directory, copied, symlinks=True)
    except (ContainerBackendError, OSError) as error:
        raise NotRepeatable(
            f"The run '{past.run_id}' cannot be repeated: {lacks[-1]}; and there is no project at "
            f"'{source}' now."
        ) from error
    lacks[-1] += f"; instead: the current files at '{source}'"
    return copied


def _find_image(
    past: PastRun, again: Again, submission: Submission, directory: Path, lacks: list[str]
) -> ImagePlan | ReadyImage | None:
    with closing(connect(again.host)) as engine:
        recorded = past.recorded.environment
        if recorded is None:
            return _ready_image(past, engine, lacks, saved=again.trust)
        secrets = {
            name: source.read(name) for name, source in submission.config.build_secrets.items()
        }
        permissions = Permissions(Giver.RECORD, again.trust)
        own = submission.config.image_repository or ""
        return plan_again(
            *(engine, past, recorded, directory, secrets, lacks), own=own, permissions=permissions
        )


def _ready_image(
    past: PastRun, engine: Engine, lacks: list[str], *, saved: bool
) -> ReadyImage | None:
    """The image that the project names, by its digest."""
    # No registry has an image with the code.
    digest = "" if past.recorded.build_image else past.repository_digest
    exact = find_exact(engine, past.image_id, digest, saved=saved)
    if exact is not None:
        return ReadyImage(exact, saved_logins=saved)
    name = past.tags.get(labels_and_tags.TAG_IMAGE)
    lacks.append(
        f"image: neither the engine nor a registry has {name} as of {digest or past.image_id}; "
        "instead: the image that has that name now"
    )
    return None
