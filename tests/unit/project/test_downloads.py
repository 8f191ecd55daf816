"""Downloads for a run, of addresses that a project names."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from container_backend.errors import InvalidProject
from container_backend.project.downloads import download_over_http

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    """A server on this machine; gives its address, and the logins that it was sent."""
    logins: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"of this machine")

        def log_message(self, *_: object) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://localhost:{served.server_port}/file", logins
    served.shutdown()
    served.server_close()


@pytest.fixture
def netrc(tmp_path, monkeypatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine localhost login me password p4ssw0rd\n")
    monkeypatch.setenv("NETRC", str(file))


def test_a_server_of_this_machine_is_not_asked_for_a_project(server, netrc, tmp_path):
    address, logins = server
    with pytest.raises(InvalidProject, match="is not a public address"):
        download_over_http(address, tmp_path / "file", is_public=True)
    assert logins == []
    # The control: what the user typed is downloaded with the user's login.
    download_over_http(address, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"of this machine"
    assert len(logins) == 1
    assert logins[0].startswith("Basic ")


def test_a_public_server_gets_no_login_of_the_user(server, netrc, tmp_path, monkeypatch):
    address, logins = server
    monkeypatch.setattr("ipaddress.IPv4Address.is_global", True)  # as if it were elsewhere
    monkeypatch.setattr("ipaddress.IPv6Address.is_global", True)
    download_over_http(address, tmp_path / "file", is_public=True)
    assert logins == [None]


def test_a_file_of_others_is_taken_up_to_a_size(server, tmp_path):
    address, _ = server
    with pytest.raises(InvalidProject, match="is bigger than 3 B"):
        download_over_http(address, tmp_path / "file", most=3)
    download_over_http(address, tmp_path / "file", most=1000)


def test_a_login_in_the_address_itself_is_sent(server, tmp_path, monkeypatch):
    address, logins = server
    monkeypatch.setattr("ipaddress.IPv4Address.is_global", True)
    monkeypatch.setattr("ipaddress.IPv6Address.is_global", True)
    with_login = address.replace("//", "//me:pw@")
    download_over_http(with_login, tmp_path / "file", is_public=True)
    assert logins == ["Basic bWU6cHc="]
