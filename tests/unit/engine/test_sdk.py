"""The Docker SDK is imported without what it needs for engines over ssh alone."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from container_backend.engine import connect, find_host
import container_backend.engine.connection
print(sorted({"paramiko", "cryptography", "nacl"} & sys.modules.keys()))
from docker.transport import sshconn
print(sshconn.paramiko.SSHClient.__module__)
import paramiko.client
print(paramiko.client.SSHClient is sshconn.paramiko.SSHClient)
"""


def test_paramiko_is_imported_when_it_is_used():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "paramiko.client", "True"]
