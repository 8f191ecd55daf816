"""Servers of a test's own: tracking, a registry, and where projects come from (git, ssh, files)."""

from __future__ import annotations

import contextlib
import getpass
import http.server
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import wait_until
from tests.support.worker import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self


# Below those of `net.ipv4.ip_local_port_range`; another session at the same time begins elsewhere.
_PORTS_PER_WORKER = 2000
_FIRST_PORT = 12000 + NUMBER * _PORTS_PER_WORKER
_ports = itertools.islice(
    itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS_PER_WORKER)),
    os.getpid() % _PORTS_PER_WORKER,
    None,
)


class _GitHandler(http.server.BaseHTTPRequestHandler):
    """Hands requests to ``git http-backend``, as a web server does. https://git-scm.com/docs/git-http-backend"""

    root: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            check=True,
            env={
                **os.environ,
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 the name that the base class calls

    def log_message(self, *_: object) -> None:
        """Not among the output of the tests."""


@contextlib.contextmanager
def _serving(handler: type, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def git_over_https(repositories: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Address of the server, and the certificate that it is to be trusted by."""
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    handler = type("Handler", (_GitHandler,), {"root": repositories})
    with _serving(handler, tls) as port:
        yield f"https://localhost:{port}", certificate


@contextlib.contextmanager
def files_over_http(folder: Path) -> Iterator[str]:
    """Address of a server of the files of a folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_: object) -> None:
            """Not among the output of the tests."""

    with _serving(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[str, str]]:
    """A real sshd: ``user@host`` for addresses, and the ssh command that knows host and keys."""
    folder.mkdir()
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    keys = folder / "authorized_keys"
    keys.write_text((folder / "user.pub").read_text())
    keys.chmod(0o600)
    port = free_port()
    host_key = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {keys}\n"
        f"PidFile none\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n"
        # Commands there use the engine that the tests use.
        + "".join(
            f"SetEnv DOCKER_HOST={host}\n" for host in [os.environ.get("DOCKER_HOST")] if host
        )
    )
    (folder / "config").write_text(
        f"Host gitserver 127.0.0.1\nHostName 127.0.0.1\nPort {port}\nIdentityFile {folder}/user\n"
        f"UserKnownHostsFile {folder}/known_hosts\nIdentitiesOnly yes\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd_config"], stderr=output
        )
    try:
        wait_until(lambda: listens("127.0.0.1", port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield f"{getpass.getuser()}@gitserver", f"ssh -F '{folder}/config'"
    finally:
        process.kill()
        process.wait()


def free_port(host: str = "127.0.0.1") -> int:
    """One of this worker's own, and of none that the kernel gives away while its server is down."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise AssertionError("no port is free")


def listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False


class TrackingServer:
    """A real ``mlflow server`` on a store, while the context lasts; it can go away and come back."""

    def __init__(self, folder: Path, store: str, host: str = "127.0.0.1") -> None:
        """Nothing is started yet.

        Args:
            folder: For its artifacts and its log.
            store: The address of what is behind it.
            host: The address that it listens on.
        """
        self._folder = folder
        self._store = store
        self._host = host
        self._port = free_port(host)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For ``MLFLOW_TRACKING_URI``."""
        return f"http://{self._host}:{self._port}"

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Inside, it does not answer."""
        self._stop()
        yield
        self._start()

    def _start(self) -> None:
        with (self._folder / "server.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow",
                    *("server", "--host", self._host, "--port", str(self._port)),
                    *("--workers", "1", "--backend-store-uri", self._store),
                    *("--artifacts-destination", str(self._folder / "artifacts")),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                # Jobs of its page would have seven more processes, a sixth of the CPU of all trials.
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: listens(self._host, self._port) or process.poll() is not None, 180)
        assert process.poll() is None, (self._folder / "server.log").read_text()

    def _stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def private_registry(tmp_path: Path) -> Iterator[str]:
    """A real registry whose data is in a folder; gives ``host:port``."""
    port = free_port()
    (tmp_path / "data").mkdir()
    subprocess.run(
        ["htpasswd", "-Bbc", str(tmp_path / "htpasswd"), "me", "r3gistry-password"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {tmp_path}/htpasswd}}}}\n"
    )
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(tmp_path / "config.yml")],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: listens("127.0.0.1", port) or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait()
