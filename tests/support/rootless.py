"""An engine that an ordinary user starts: dockerd in a user namespace, without a right of root."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.engines import OwnEngine, inside

if TYPE_CHECKING:
    from pathlib import Path

# A user whom every machine has, with numbers for those in containers, which here no other has.
USER = "nobody"
_USER = pwd.getpwnam(USER)
_NUMBERS = f"{USER}:3000000000:65536"
# What a machine with systemd and udev has: numbers for each user, and a device that all may open.
_PREPARE = """
echo "$1" > /run/subids
mknod --mode=666 /run/tun c 10 200
touch /etc/subuid /etc/subgid
mount --bind /run/subids /etc/subuid
mount --bind /run/subids /etc/subgid
mount --bind /run/tun /dev/net/tun
"""
_SCRIPT = "dockerd-rootless.sh"
# With these, an ordinary user may read an interpreter that is in a folder of root's.
_READS = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


class RootlessEngine(OwnEngine):
    """A dockerd of :data:`USER`, while the context lasts."""

    def _program(self) -> list[str]:
        subprocess.run([*inside(self._holder), "sh", "-ec", _PREPARE, "sh", _NUMBERS], check=True)
        (self.folder / "run").mkdir(exist_ok=True)
        for path in (self.folder, *self.folder.iterdir()):
            os.chown(path, _USER.pw_uid, _USER.pw_gid)
        return [
            *_as_user(),
            *("env", f"HOME={self.folder}", f"XDG_RUNTIME_DIR={self.folder}/run"),
            # Where Debian's package has the script.
            *("sh", "-c", f'PATH=$PATH:/usr/share/docker.io/contrib exec {_SCRIPT} "$@"', _SCRIPT),
        ]

    def run_command(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``container-backend`` as the engine's user, whom a folder is given to; wait for its end."""
        os.chown(folder, _USER.pw_uid, _USER.pw_gid)
        environment = {"HOME": str(self.folder), "XDG_STATE_HOME": f"{self.folder}/state"}
        return subprocess.run(
            [*_as_user(*_READS), sys.executable, "-m", "container_backend", *arguments],
            cwd=folder,
            env={**os.environ, **environment, "DOCKER_HOST": self.host},
            capture_output=True,
            text=True,
            check=False,
        )


def _as_user(*options: str) -> list[str]:
    ids = (f"--reuid={_USER.pw_uid}", f"--regid={_USER.pw_gid}", "--clear-groups")
    return ["setpriv", *ids, *options, "--"]
