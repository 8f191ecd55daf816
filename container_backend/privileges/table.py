"""Who is trusted with what: the tables that every check asks. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

TRUST_PROJECT: Final = "trust_project"
# How the user sets this switch.
TRUST_OPTION: Final = f"-c '{{\"{TRUST_PROJECT}\": true}}'"
ALLOW_ENGINE: Final = "allow_engine"


class Right(Enum):
    """What a giver of names, files or labels may do; the value is for the documents.

    The first three need no check: without them, there is no project. The last two have none, because
    no file of a project is read for docker arguments or settings; those of a record are asked for by
    ``check_record``.
    """

    RUN = "run a program in a container, within limits"
    RESULTS = "write to its own run"
    BUILD = "choose packages, whose build scripts run in a build"
    TEMPLATE = "change the steps of the build by its own `Dockerfile.j2`"
    LOGINS = "have the user's logins sent to the indexes and registries that it names"
    BUILD_LOGINS = "have the user's logins where programs of the project run in a build"
    STORE = "change other runs, models and experiments of its store"
    OUTPUT = "fill this machine's disk with output"
    LOOPBACK = "use this machine's own network for a server on it"
    PATHS = "name files and folders of this machine outside of the project"
    NEIGHBOURS = "take packages, and lists of packages, from outside of its folder"
    ADDRESSES = "have files downloaded with the user's logins, or from a network of this machine"
    VARIABLES = "name variables of the user by name alone"
    MACHINE = "name docker arguments and settings that reach this machine"
    ENGINE = "use the engine"


class Giver(Enum):
    """Where a name, a file or a label comes from; the value is for the documents."""

    USER = "the user who types the command"
    OWN = "a project in a folder of the user"
    FETCHED = "a project that was fetched (git, zip, `docker://`)"
    RECORD = "the record of a run that is repeated"
    IMAGE = "an image (its labels and its entry point)"
    LABEL = "a label of a container"
    INDEX = "a package index"
    OTHERS = "another user of the engine"


# The switch that allows a right; YES needs none, NO has none.
YES: Final = "yes"
NO: Final = "no"
_NOTHING: Final = dict.fromkeys(Right, NO)
ALLOWED: Final[Mapping[Giver, Mapping[Right, str]]] = {
    Giver.USER: {**dict.fromkeys(Right, YES), Right.ENGINE: ALLOW_ENGINE},
    # A clone that was typed as a folder is another person's project, too: no key of a file reaches
    # this machine.
    Giver.OWN: {
        **dict.fromkeys(Right, YES),
        Right.BUILD_LOGINS: TRUST_PROJECT,
        Right.PATHS: TRUST_PROJECT,
        Right.ADDRESSES: TRUST_PROJECT,
        Right.VARIABLES: TRUST_PROJECT,
        Right.MACHINE: NO,
        Right.ENGINE: NO,
    },
    Giver.FETCHED: {
        **dict.fromkeys(Right, TRUST_PROJECT),
        Right.RUN: YES,
        Right.RESULTS: YES,
        Right.BUILD: YES,
        Right.NEIGHBOURS: NO,  # but for what was fetched with it
        Right.MACHINE: NO,
        Right.ENGINE: NO,
    },
    Giver.RECORD: {
        **dict.fromkeys(Right, TRUST_PROJECT),
        Right.RUN: YES,
        Right.RESULTS: YES,
        Right.BUILD: YES,
        Right.NEIGHBOURS: NO,
    },
    Giver.IMAGE: {**_NOTHING, Right.RUN: YES},
    Giver.LABEL: _NOTHING,
    Giver.INDEX: {**_NOTHING, Right.RUN: YES, Right.BUILD: YES},
    Giver.OTHERS: _NOTHING,
}


@dataclass(frozen=True)
class Privilege:
    """A kind of privilege; the user may ask for everything that is not ``refused``.

    Attributes:
        contained: Docker arguments that stay inside the container: a record may name them.
        reaching: Docker arguments that reach this machine: only a trusted record may name them.
        project: Keys of MLproject that ask for the privilege. A project that is not in the user's
            own folder needs the switch.
        switch: The setting that allows the privilege to another person's project.
        record_settings: Keys of the backend config that a record may have.
        user_settings: Keys of the backend config that only a trusted record may have.
        refused: Docker arguments that are refused to every user → the reason.
    """

    kind: str
    contained: tuple[str, ...] = ()
    reaching: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    switch: str = ""
    record_settings: tuple[str, ...] = ()
    user_settings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


# A record may not ask for anything outside this table. `env` is contained if it has a value; a
# name alone asks for a variable of the user.
PRIVILEGES: Final = (
    Privilege("user", reaching=("user",)),
    Privilege("groups", reaching=("group-add",)),
    Privilege("capabilities", contained=("cap-drop",), reaching=("cap-add", "privileged")),
    Privilege("security options", reaching=("security-opt",)),
    Privilege("namespaces", reaching=("ipc", "pid")),
    Privilege("runtime", reaching=("runtime",)),
    Privilege("devices", contained=("gpus",), reaching=("device",)),
    Privilege(
        "limits",
        contained=(
            *("cpu-shares", "cpus", "cpuset-cpus", "memory", "memory-swap", "pids-limit"),
            *("shm-size", "ulimit"),
        ),
    ),
    Privilege(
        "mounts",
        contained=("read-only", "tmpfs"),
        reaching=("mount", "volume"),
        project=("docker_env.volumes", "parameters.NAME.default"),
        switch=TRUST_PROJECT,
        user_settings=("storage_dir",),
    ),
    Privilege(
        "variables",
        contained=("env",),
        reaching=("env-file",),
        project=("docker_env.environment",),
        switch=TRUST_PROJECT,
    ),
    Privilege("networks", contained=("add-host", "dns", "hostname"), reaching=("network",)),
    Privilege("the engine's socket", switch="allow_engine", user_settings=("allow_engine",)),
    Privilege("trust", user_settings=("trust_project", "privileges", "docker_args", "tracking")),
    Privilege(
        "image",
        contained=("entrypoint", "platform"),
        project=("Dockerfile.j2",),
        switch=TRUST_PROJECT,
        user_settings=(
            *(
                "base_image",
                "build_secrets",
                "conda_base_image",
                "exclude_newer",
                "image_repository",
                "lock",
                "pull",
            ),
            *("push", "python_match", "python_source", "rebuild", "system_packages", "template"),
        ),
        refused={
            "pull": "missing images are pulled",
        },
    ),
    Privilege(
        "course of the run",
        contained=("label", "workdir"),
        record_settings=(
            *("grace", "keep", "record_code", "retries", "retry_program", "stop_signal"),
            *("system_metrics", "timeout"),
        ),
        user_settings=("detach",),
        refused={
            "restart": "a run is started once; start another",
            "cidfile": "the container's id is a tag of the run",
        },
    ),
)
CONTAINED_ARGS: Final = frozenset(name for row in PRIVILEGES for name in row.contained)
# Docker arguments for which a negative number means: no limit.
LIMITS: Final = frozenset({"memory", "memory-swap", "pids-limit"})
RECORD_SETTINGS: Final = frozenset(name for row in PRIVILEGES for name in row.record_settings)
REFUSED_ARGS: Final = {name: why for row in PRIVILEGES for name, why in row.refused.items()}
