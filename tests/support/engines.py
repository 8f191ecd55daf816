"""Engines of a test's own: a real dockerd in namespaces of its own, to be filled up and killed.

Everything that is one's own hangs on one process that waits for the end of its input: the mounts,
the network, and all processes, of which it is the first. They end with it, and it with the tests,
however those end. What can be left then are rules of iptables for an interface that is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from container_backend.engine import Engine, EngineHost, connect
from container_backend.engine import connection as engines
from tests.support.client import client_of
from tests.support.forwarding import relay
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

# In the namespaces: a /run of its own, where no containerd of the system is found; name servers;
# a disk, if there is one; and a first process that keeps no dead ones, which would look alive.
_HOLD = """
set -e
mount -t tmpfs tmpfs /run
servers=$(readlink -m /etc/resolv.conf)
mkdir -p "${servers%/*}"
touch "$servers"
mount --bind "$1/resolv.conf" "$servers"
mkdir "$1/data"
[ ! -e "$1/disk" ] || mount -o loop "$1/disk" "$1/data"
ip link set lo up
echo held
exec env --ignore-signal=CHLD cat
"""
# linux/sched.h
_CLONE_NEWNET = 0x40000000
_RESOLVED = Path("/run/systemd/resolve/resolv.conf")


class OwnEngine:
    """A dockerd, while the context lasts."""

    def __init__(self, disk_bytes: int | None = None, *, live_restore: bool = False) -> None:
        """Nothing is started yet.

        Args:
            disk_bytes: The size of a disk for what it stores; by default, it is the machine's.
            live_restore: Whether its containers go on while it is away.
        """
        self._disk_bytes = disk_bytes
        self._options = ["--live-restore"] if live_restore else []
        self._name = uuid.uuid4().hex[:8]
        self._cleanup = contextlib.ExitStack()
        self._holder = 0
        self._dockerd: subprocess.Popen[bytes] | None = None
        self.folder = Path()

    @property
    def host(self) -> str:
        """For ``DOCKER_HOST``."""
        return f"unix://{self.folder}/docker.sock"

    @contextlib.contextmanager
    def connected(self) -> Iterator[Engine]:
        """A connection to it."""
        connected = connect(EngineHost(self.host))
        try:
            yield connected
        finally:
            connected.close()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            # A short path: those of sockets end after 107 bytes.
            self.folder = Path(tempfile.mkdtemp(prefix="engine-"))
            cleanup.callback(shutil.rmtree, self.folder)
            cleanup.callback(_remove_groups, self.folder.name)
            self._holder = cleanup.enter_context(self._namespaces())
            cleanup.enter_context(_network(f"cb{self._name}", self._holder))
            self.start()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @contextlib.contextmanager
    def _namespaces(self) -> Iterator[int]:
        """The process that holds them, by its number here."""
        servers = Path("/etc/resolv.conf").read_text()
        # A resolver on the loopback is not there for those in namespaces.
        if "nameserver 127.0.0.53" in servers and _RESOLVED.exists():
            servers = _RESOLVED.read_text()
        (self.folder / "resolv.conf").write_text(servers)
        if self._disk_bytes is not None:
            with (self.folder / "disk").open("wb") as disk:
                disk.truncate(self._disk_bytes)
            _system("mkfs.ext4", "-q", "-m", "0", self.folder / "disk")
        process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", _HOLD, "hold", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
        )  # fmt: skip
        try:
            assert process.stdout.readline() == b"held\n"
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            yield int(children)
        finally:
            process.kill()
            process.communicate()
            if self._dockerd is not None:
                self._dockerd.wait()

    def start(self) -> None:
        """Start dockerd on what is there; returns when it answers."""
        log = self.folder / "log"
        with log.open("ab") as output:
            self._dockerd = dockerd = subprocess.Popen(
                [*inside(self._holder), *self._program(), "--host", self.host,
                 "--data-root", self.folder / "data", "--exec-root", self.folder / "exec",
                 "--pidfile", self.folder / "pid", "--cgroup-parent", f"/{self.folder.name}",
                 *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )  # fmt: skip
        wait_until(lambda: self._answers() or dockerd.poll() is not None)
        assert dockerd.poll() is None, log.read_text()

    def _program(self) -> list[str]:
        """What starts dockerd in the namespaces."""
        return ["dockerd"]

    def _answers(self) -> bool:
        with contextlib.suppress(engines.EngineUnavailable), self.connected():
            return True
        return False

    def kill(self) -> None:
        """End dockerd and its containerd as a lack of memory does; nothing is put in order."""
        programs = [pid for pid in self._processes() if _name_of(pid) in {"dockerd", "containerd"}]
        assert len(programs) == 2
        for pid in programs:
            with contextlib.suppress(ProcessLookupError):  # where one ends with the other
                os.kill(pid, signal.SIGKILL)
        self._dockerd.wait()
        wait_until(lambda: not set(programs) & set(self._processes()))

    def lose_power(self) -> None:
        """End it and all of its containers at once, as a machine that loses power does."""
        while running := [pid for pid in self._processes() if pid != self._holder]:
            for pid in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._dockerd.wait()

    def stop(self) -> None:
        """End it as an upgrade or a reboot does; returns when it has ended."""
        (dockerd,) = [pid for pid in self._processes() if _name_of(pid) == "dockerd"]
        os.kill(dockerd, signal.SIGTERM)
        self._dockerd.wait()

    def _processes(self) -> list[int]:
        """Those in its namespaces, by their numbers here."""
        own = Path(f"/proc/{self._holder}/ns/pid").readlink()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "ns/pid").readlink() == own:
                    found.append(int(folder.name))
        return found

    def runs(self, command: str) -> bool:
        """Whether a process of the engine runs a command, in a container or outside."""
        wanted = f"{command}\0".replace(" ", "\0").encode()
        for folder in Path(f"/proc/{self._holder}/root/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "cmdline").read_bytes() == wanted:
                    return True
        return False

    def fill_up(self) -> None:
        """Leave no room on its disk."""
        assert self._disk_bytes is not None
        everything = f"cat /dev/zero > {self.folder}/data/filler"
        subprocess.run(
            [*inside(self._holder), "sh", "-c", everything],
            env=_environment(),
            stderr=subprocess.DEVNULL,
            check=False,
        )

    @contextlib.contextmanager
    def reaches(self, port: int) -> Iterator[None]:
        """Inside, a port of its own loopback leads to that of this machine's."""
        with ThreadPoolExecutor(1) as thread:
            listening = thread.submit(_listen_in, self._holder, port).result()
        with relay(listening, port):
            yield

    def take(self, image: str, of: Engine) -> str:
        """Have an image of another engine, with its name; gives the id, which is the same."""
        found = client_of(of).images.get(image)
        with self.connected() as own:
            (loaded,) = client_of(own).images.load(found.save(named=image))
        assert loaded.id == found.id
        return loaded.id


def _listen_in(holder: int, port: int) -> socket.socket:
    """A socket in the network of a process; the thread that asks stays in it, and is to end."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{holder}/ns/net").open("rb") as network:
        if libc.setns(network.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    return socket.create_server(("127.0.0.1", port))


def _remove_groups(name: str) -> None:
    """The control groups that containers were in; those of killed ones stay, empty."""
    root = Path("/sys/fs/cgroup")
    for group in [*root.glob(name), *root.glob(f"*/{name}")]:
        for folder, _, _ in os.walk(group, topdown=False):
            wait_until(lambda folder=folder: _remove_empty_group(Path(folder)))


def _remove_empty_group(folder: Path) -> bool:
    """Whether it is gone. It is busy until the last process in it, killed, has ended."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _name_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _environment() -> dict[str, str]:
    """Where a user became root with a plain ``su``, the path is without these."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"}


def _system(*arguments: object) -> str:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        env=_environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout


def inside(holder: int) -> list[str]:
    """What a command begins with; `ip netns exec` would hide the mounts of cgroups."""
    return ["nsenter", "--target", str(holder), "--mount", "--net", "--pid"]


@contextlib.contextmanager
def _network(interface: str, holder: int) -> Iterator[None]:
    """A line between here and the namespaces, by which those reach what this machine reaches."""
    with contextlib.ExitStack() as cleanup:
        _here, there = _connect(interface, holder, cleanup)
        for table, *rule in _rules(interface, there):
            _system("iptables", "--wait", "--table", table, "--insert", *rule)
            cleanup.callback(_system, "iptables", "--wait", "--table", table, "--delete", *rule)
        yield


def _connect(interface: str, holder: int, cleanup: contextlib.ExitStack) -> tuple[str, str]:
    """The addresses of both ends; a route says at once that they are taken."""
    with (Path(tempfile.gettempdir()) / "container-backend-test.addresses").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        here, there = _free_addresses()
        _system(
            *("ip", "link", "add", interface, "type", "veth"),
            *("peer", "name", "eth0", "netns", holder),
        )
        cleanup.callback(_system, "ip", "link", "delete", interface)
        _system("ip", "address", "add", f"{here}/30", "dev", interface)
        _system("ip", "link", "set", interface, "up")
    within = inside(holder)
    _system(*within, "ip", "address", "add", f"{there}/30", "dev", "eth0")
    _system(*within, "ip", "link", "set", "eth0", "up")
    _system(*within, "ip", "route", "add", "default", "via", here)
    return here, there


def _rules(interface: str, there: str) -> list[tuple[str, ...]]:
    return [
        ("filter", "FORWARD", "--in-interface", interface, "--jump", "ACCEPT"),
        ("filter", "FORWARD", "--out-interface", interface, "--jump", "ACCEPT"),
        ("nat", "POSTROUTING", "--source", there, "!", "--out-interface", interface,
         "--jump", "MASQUERADE"),
    ]  # fmt: skip


def _free_addresses() -> tuple[str, str]:
    """Two of a network of four that no route of this machine knows."""
    routes = json.loads(_system("ip", "-json", "-4", "route", "show", "table", "all"))
    used = {route["dst"] for route in routes}
    for third in range(256):
        if f"10.231.{third}.0/30" not in used:
            return f"10.231.{third}.1", f"10.231.{third}.2"
    raise AssertionError("no network is free")


if __name__ == "__main__":
    # A shell with an engine of its own, to try things out.
    with OwnEngine(int(sys.argv[1]) if len(sys.argv) > 1 else None) as tried:
        subprocess.run(["bash"], env={**os.environ, "DOCKER_HOST": tried.host}, check=False)
