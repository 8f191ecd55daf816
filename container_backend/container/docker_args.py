"""``--docker-args name=value`` → arguments of the Engine API, with the names of ``docker run``.

https://docs.docker.com/reference/cli/docker/container/run/
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from container_backend.container.env_file import lines_of_env_file
from container_backend.engine import parse_size
from container_backend.errors import InvalidConfig
from container_backend.labels_and_tags import LABEL_PREFIX
from container_backend.privileges import REFUSED_ARGS

_SHORT: Final = {"c": "cpu-shares", "e": "env", "h": "hostname", "l": "label", "m": "memory",
                 "u": "user", "v": "volume", "w": "workdir", "net": "network"}  # fmt: skip
# Options of `docker run` that apply to every run anyway, and names that this package chooses.
_IMPLIED: Final = frozenset(
    {"rm", "init", "d", "detach", "i", "interactive", "t", "tty", "a", "attach", "name"}
)
# Names whose values become fields of a ContainerSpec.
_IN_FIELDS: Final = frozenset(
    {"entrypoint", "env", "env-file", "group-add", "network", "user", "volume", "workdir"}
)
_PLATFORM: Final = re.compile(r"[a-z0-9]+/[a-z0-9_]+(/v[0-9]+)?")


@dataclass
class DockerArgs:
    """Docker arguments in the format of the Engine API; not changed after parsing.

    Attributes:
        unwritten: Variables whose values are of the user's environment or of a file.
        binds: ``host:container[:options]``.
        host_config: ``host_config`` of :meth:`Containers.create`.
        container: Options of :meth:`Containers.create`.
        user: ``user[:group]``; None for the default.
        groups: Supplementary groups of the user.
        platform: ``os/architecture[/variant]`` of image and container; None for the engine's.
        entrypoint: Replaces the image's entry point; None to keep it.
        typed: Long name and given value of each argument that does not become a field of a
            ContainerSpec.
    """

    environment: dict[str, str] = field(default_factory=dict)
    unwritten: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)
    binds: list[str] = field(default_factory=list)
    host_config: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    network: str | None = None
    user: str | None = None
    groups: list[str | int] = field(default_factory=list)
    platform: str | None = None
    entrypoint: tuple[str, ...] | None = None
    typed: list[tuple[str, Any]] = field(default_factory=list)


_Parser = Callable[[DockerArgs, Sequence[Any], Mapping[str, str]], None]
_Reader = Callable[[Sequence[Any]], Any]


def is_platform(text: str) -> bool:
    """True for ``os/architecture[/variant]``."""
    return _PLATFORM.fullmatch(text) is not None


def long_name(name: str) -> str:
    """``-v``, ``--volume`` → ``volume``."""
    bare = name.lstrip("-")
    return _SHORT.get(bare, bare)


def parse_docker_args(
    given: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> DockerArgs:
    """Parse docker arguments; raises InvalidConfig for an unknown or refused name or a bad value.

    Args:
        given: Name → value; True for a flag, a list for a repeated flag.
        environ: Values for ``env`` and ``env-file`` entries without a value.
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
        except (ValueError, OSError) as error:
            shown = value if name not in {"env", "e"} else "…"
            raise InvalidConfig(
                f"docker argument '{raw}': '{shown}' cannot be read: {error}."
            ) from error
    _check_swap(args.host_config.get("mem_limit", 0), args.host_config.get("memswap_limit", 0))
    return args


def _check_swap(memory: int, swap: int) -> None:
    """What the engine would refuse once the image is built: swap is memory and swap together."""
    if 0 < swap < memory or (swap > 0 and not memory):
        raise InvalidConfig(
            "docker argument 'memory-swap' is memory and swap together: it needs 'memory', of at most as much.",
            remedy="As in -A memory=2g -A memory-swap=4g; -1 is no limit.",
        )


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


def _int(value: object) -> int:
    return int(_text(value))


def _size(value: object) -> int:
    return parse_size(_text(value))


def _pair(text: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """``NAME=value``, or ``NAME`` for this process's value; None if it has none."""
    name, equals, value = text.partition("=")
    if not name:
        raise ValueError("a name is needed, as in NAME=value")
    if equals:
        return name, value
    return (name, environ[name]) if name in environ else None


def _env(args: DockerArgs, values: Sequence[Any], environ: Mapping[str, str]) -> None:
    for value in values:
        text = _text(value)
        pair = _pair(text, environ)
        if pair is not None:
            args.environment |= [pair]
            (args.unwritten.discard if "=" in text else args.unwritten.add)(pair[0])


def _env_file(args: DockerArgs, values: Sequence[Any], environ: Mapping[str, str]) -> None:
    for value in values:
        kept = lines_of_env_file(Path(_text(value)).expanduser().read_bytes())
        _env(args, kept, environ)
        args.unwritten |= {line.partition("=")[0] for line in kept}


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


def _mounts(values: Sequence[Any]) -> list[dict[str, Any]]:
    """``type=bind,source=/here,target=/there,readonly``, with the docker command's synonyms."""
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
    return mounts


def _words(values: Sequence[Any]) -> tuple[str, ...]:
    """``""``: none; several values are the words of one."""
    return tuple(filter(None, map(_text, values)))


def _platform(value: object) -> str:
    platform = _text(value)
    if not is_platform(platform):
        raise ValueError("write it as os/architecture, e.g. linux/arm64")
    return platform


def _gpus(value: object) -> list[dict[str, Any]]:
    """``all``, a number, or ``device=0,1``."""
    text = _text(value).strip("\"'")
    if text.startswith("device="):
        which: dict[str, Any] = {"DeviceIDs": text.removeprefix("device=").split(",")}
    else:
        which = {"Count": -1 if text == "all" else int(text)}
    return [{**which, "Capabilities": [["gpu"]]}]


def _ulimit(value: object) -> dict[str, Any]:
    name, _, numbers = _text(value).partition("=")
    soft, _, hard = numbers.partition(":")
    return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}


def _cpus(value: object) -> int:
    return int(float(_text(value)) * 1_000_000_000)


def _list(kind: Callable[[Any], Any]) -> _Reader:
    return lambda values: [kind(value) for value in values]


def _last(kind: Callable[[Any], Any]) -> _Reader:
    return lambda values: kind(values[-1])


def _colon_pairs(values: Sequence[Any]) -> dict[str, str]:
    return dict(_text(value).partition(":")[::2] for value in values)


def _host(key: str, read: _Reader) -> _Parser:
    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        args.host_config[key] = read(values)

    return parse


def _container(key: str) -> _Parser:
    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        args.container[key] = _text(values[-1])

    return parse


def _field(name: str, read: _Reader) -> _Parser:
    def parse(args: DockerArgs, values: Sequence[Any], _environ: Mapping[str, str]) -> None:
        setattr(args, name, read(values))

    return parse


_PARSERS: Final[dict[str, _Parser]] = {
    "add-host": _host("extra_hosts", _colon_pairs),
    "cap-add": _host("cap_add", _list(_text)),
    "cap-drop": _host("cap_drop", _list(_text)),
    "cpu-shares": _host("cpu_shares", _last(_int)),
    "cpus": _host("nano_cpus", _last(_cpus)),
    "cpuset-cpus": _host("cpuset_cpus", _last(_text)),
    "device": _host("devices", _list(_text)),
    "dns": _host("dns", _list(_text)),
    "entrypoint": _field("entrypoint", _words),
    "env": _env,
    "env-file": _env_file,
    "gpus": _host("device_requests", _last(_gpus)),
    "group-add": _field("groups", _list(_text)),
    "hostname": _container("hostname"),
    "ipc": _host("ipc_mode", _last(_text)),
    "label": _label,
    "memory": _host("mem_limit", _last(_size)),
    "memory-swap": _host("memswap_limit", _last(_size)),
    "mount": _host("mounts", _mounts),
    "network": _field("network", _last(_text)),
    "pid": _host("pid_mode", _last(_text)),
    "pids-limit": _host("pids_limit", _last(_int)),
    "platform": _field("platform", _last(_platform)),
    "privileged": _host("privileged", _last(_flag)),
    "read-only": _host("read_only", _last(_flag)),
    "runtime": _host("runtime", _last(_text)),
    "security-opt": _host("security_opt", _list(_text)),
    "shm-size": _host("shm_size", _last(_size)),
    "tmpfs": _host("tmpfs", _colon_pairs),
    "ulimit": _host("ulimits", _list(_ulimit)),
    "user": _field("user", _last(_text)),
    "volume": _volume,
    "workdir": _container("working_dir"),
}
