"""Servers that projects come from, on this machine's loopback: git over https and ssh, files."""

from __future__ import annotations

import contextlib
import getpass
import http.server
import os
import ssl
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.conftest import free_port, listens, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


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
