"""``--docker-args name=value`` → what the Engine API is told. The names are ``docker run``'s.

https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container_backend.engine import parse_size
from container_backend.errors import InvalidConfig
from container_backend.labels_and_tags import LABEL_PREFIX
from container_backend.privileges import REFUSED_ARGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SHORT: Final = {"c": "cpu-shares", "e": "env", "h": "hostname", "l": "label", "m": "memory",
                 "u": "user", "v": "volume", "w": "workdir", "net": "network"}  # fmt: skip
# Names of `docker run` that say what every run here does anyway, or that are ours to choose.
_IMPLIED: Final = frozenset(
    {"rm", "init", "d", "detach", "i", "interactive", "t", "tty", "a", "attach", "name"}
)
# Names whose values are among the fields of a container's specification.
_IN_FIELDS: Final = frozenset(
    {"env", "env-file", "group-add", "network", "user", "volume", "workdir"}
)
_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/v[0-9]+)?")


@dataclass
class DockerArgs:
    """Docker arguments as the Engine API takes them. Filled while parsing, then only read.

    Attributes:
        environment: Variables for the program.
        labels: For the container.
        binds: ``host:container[:options]``.
        host_config: For :meth:`Containers.create`, as its ``host_config``.
        container: For :meth:`Containers.create`, as its options.
        network: Name of a network, or None.
        user: ``user[:group]``, or None for the default.
        groups: Further groups of the user.
        platform: ``os/architecture[/variant]`` of image and container, or None for the engine's.
        typed: Long name and value, as given, of each that a container's specification shows as a
            docker argument.
    """

    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    binds: list[str] = field(default_factory=list)
    host_config: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    network: str | None = None
    user: str | None = None
    groups: list[str | int] = field(default_factory=list)
    platform: str | None = None
    typed: list[tuple[str, Any]] = field(default_factory=list)


def is_platform(text: str) -> bool:
    """Whether a text is the name of a platform: ``os/architecture[/variant]``."""
    return _PLATFORM.fullmatch(text) is not None


def long_name(name: str) -> str:
    """The name of an argument, of all that are written for it: ``-v``, ``--volume``."""
    bare = name.lstrip("-")
    return _SHORT.get(bare, bare)


def parse_docker_args(
    given: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> DockerArgs:
    """Read docker arguments.

    Args:
        given: Name → value; True for a flag, a list for a flag given more than once.
        environ: For ``env`` and ``env-file`` entries without a value.

    Raises:
        InvalidConfig: A name that is not known or a value that cannot be read.
    """
    args = DockerArgs()
    for raw, value in given.items():
        name = long_name(raw)
        if name in _IMPLIED:
            continue
        if name in REFUSED_ARGS:
            raise InvalidConfig(f"docker argument '{raw}' is refused: {REFUSED_ARGS[name]}.")
        parser = _PARSERS.get(name)
        if parser is None:
            raise _unknown(raw)
        values = [str(item) for item in value] if isinstance(value, list) else [value]
        if name not in _IN_FIELDS:
            args.typed += [(name, each) for each in values]
        try:
            parser(args, values, environ)
        except InvalidConfig:
            raise
        except (ValueError, OSError) as error:
            shown = value if name not in {"env", "e"} else "…"
            raise InvalidConfig(
                f"docker argument '{raw}': '{shown}' cannot be read: {error}."
            ) from error
    return args


def _unknown(name: str) -> InvalidConfig:
    known = sorted(_PARSERS)
    near = difflib.get_close_matches(name.lstrip("-"), known, n=1)
    return InvalidConfig(
        f"docker argument '{name}' is not supported."
        + (f" Did you mean '{near[0]}'?" if near else ""),
        remedy=f"Supported: {', '.join(known)}.",
    )


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text not in {"true", "false", "1", "0"}:
        raise ValueError("true or false is needed")
    return text in {"true", "1"}


def _text(value: object) -> str:
    if isinstance(value, bool):
        raise ValueError("a value is needed, as in name=value")  # noqa: TRY004 one kind for all
    return str(value)


def _pair(text: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """``NAME=value``, or ``NAME`` for this process's value; None where it has none."""
    name, equals, value = text.partition("=")
    if not name:
        raise ValueError("a name is needed, as in NAME=value")
    if equals:
        return name, value
    return (name, environ[name]) if name in environ else None


def _env(args: DockerArgs, values: Sequence[Any], environ: Mapping[str, str]) -> None:
    pairs = (_pair(_text(value), environ) for value in values)
    args.environment |= dict(pair for pair in pairs if pair is not None)


def _env_file(args: DockerArgs, values: Sequence[Any], environ: Mapping[str, str]) -> None:
    for value in values:
        lines = Path(_text(value)).expanduser().read_text(encoding="utf-8").splitlines()
        _env(args, [line for line in lines if line.strip() and not line.startswith("#")], environ)


def _label(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    for value in values:
        name, _, text = _text(value).partition("=")
        if name.startswith(LABEL_PREFIX):
            raise ValueError(f"labels that start with '{LABEL_PREFIX}' are reserved")
        args.labels[name] = text


def _volume(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    for value in values:
        source, colon, target = _text(value).partition(":")
        if not colon or not target.startswith("/"):
            raise ValueError("write it as host-folder:/container/folder[:ro]")
        if "/" in source or source.startswith((".", "~")):
            source = str(Path(source).expanduser().absolute())
        args.binds.append(f"{source}:{target}")


def _mounts(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    """``type=bind,source=/here,target=/there,readonly``, as the docker command reads it."""
    mounts = []
    for value in values:
        options = dict(part.partition("=")[::2] for part in _text(value).split(","))
        kind = options.pop("type", "volume")
        source = options.pop("source", options.pop("src", None))
        target = options.pop("target", options.pop("destination", options.pop("dst", None)))
        read_only = options.pop("readonly", options.pop("ro", "false")) in {"", "true", "1"}
        if kind not in {"bind", "volume", "tmpfs"} or not target or options:
            raise ValueError(
                "write it as type=bind|volume|tmpfs,source=…,target=/container/folder[,readonly]"
            )
        if kind == "bind":
            source = str(Path(source or "").expanduser().absolute())
        mounts.append({"Target": target, "Source": source, "Type": kind, "ReadOnly": read_only})
    args.host_config["mounts"] = mounts


def _platform(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    platform = _text(values[-1])
    if not is_platform(platform):
        raise ValueError("write it as os/architecture, e.g. linux/arm64")
    args.platform = platform


def _groups(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.groups = [_text(value) for value in values]


def _gpus(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    """``all``, a number, or ``device=0,1``."""
    text = _text(values[-1]).strip("\"'")
    if text.startswith("device="):
        which: dict[str, Any] = {"DeviceIDs": text.removeprefix("device=").split(",")}
    else:
        which = {"Count": -1 if text == "all" else int(text)}
    args.host_config["device_requests"] = [{**which, "Capabilities": [["gpu"]]}]


def _ulimit(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    limits = []
    for value in values:
        name, _, numbers = _text(value).partition("=")
        soft, _, hard = numbers.partition(":")
        limits.append({"Name": name, "Soft": int(soft), "Hard": int(hard or soft)})
    args.host_config["ulimits"] = limits


def _tmpfs(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.host_config["tmpfs"] = dict(_text(value).partition(":")[::2] for value in values)


def _hosts(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.host_config["extra_hosts"] = dict(_text(value).partition(":")[::2] for value in values)


def _cpus(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.host_config["nano_cpus"] = int(float(_text(values[-1])) * 1_000_000_000)


def _network(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.network = _text(values[-1])


def _user(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
    args.user = _text(values[-1])


def _host(key: str, kind: Callable[[Any], Any]) -> Callable[[DockerArgs, Sequence[Any], Any], None]:
    """A parser for one value that goes to the host config."""

    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        args.host_config[key] = kind(values[-1])

    return parse


def _host_list(key: str) -> Callable[[DockerArgs, Sequence[Any], Any], None]:
    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        args.host_config[key] = [_text(value) for value in values]

    return parse


def _container(key: str) -> Callable[[DockerArgs, Sequence[Any], Any], None]:
    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        args.container[key] = _text(values[-1])

    return parse


def _size(value: object) -> int:
    return parse_size(_text(value))


_PARSERS: Final[dict[str, Callable[[DockerArgs, Sequence[Any], Any], None]]] = {
    "add-host": _hosts,
    "cap-add": _host_list("cap_add"),
    "cap-drop": _host_list("cap_drop"),
    "cpu-shares": _host("cpu_shares", lambda value: int(_text(value))),
    "cpus": _cpus,
    "cpuset-cpus": _host("cpuset_cpus", _text),
    "device": _host_list("devices"),
    "dns": _host_list("dns"),
    "env": _env,
    "env-file": _env_file,
    "gpus": _gpus,
    "group-add": _groups,
    "hostname": _container("hostname"),
    "ipc": _host("ipc_mode", _text),
    "label": _label,
    "memory": _host("mem_limit", _size),
    "memory-swap": _host("memswap_limit", _size),
    "mount": _mounts,
    "network": _network,
    "pid": _host("pid_mode", _text),
    "pids-limit": _host("pids_limit", lambda value: int(_text(value))),
    "platform": _platform,
    "privileged": _host("privileged", _flag),
    "read-only": _host("read_only", _flag),
    "runtime": _host("runtime", _text),
    "security-opt": _host_list("security_opt"),
    "shm-size": _host("shm_size", _size),
    "tmpfs": _tmpfs,
    "ulimit": _ulimit,
    "user": _user,
    "volume": _volume,
    "workdir": _container("working_dir"),
}
