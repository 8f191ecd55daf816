"""Takes the pictures in ``docs/images``: a run's system metrics and descriptions, as MLflow shows them.

Two projects are run in containers, one that works for a while and one that fails, with a tracking
store of their own; ``mlflow server`` shows it on the loopback interface to a browser.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import container_backend
from container_backend.engine import connect
from tests.support.client import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 200_000
PATIENCE_SECONDS = 90
# What every run of some seconds has.
CHARTS = (
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/network_receive_megabytes",
    "system/network_transmit_megabytes",
)

MLPROJECT = """\
name: forecast
entry_points:
  main:
    parameters:
      source: string
      rounds: {type: int, default: 6}
    command: "python train.py --source {source} --rounds {rounds}"
  evaluate:
    parameters:
      threshold: {type: float, default: 0.9}
    command: "python evaluate.py --threshold {threshold}"
"""
TRAIN = '''\
"""Some forty seconds of work: fetch, keep, compute, send back."""
import argparse, hashlib, time, urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("--source")
parser.add_argument("--rounds", type=int)
arguments = parser.parse_args()
kept = []
for turn in range(arguments.rounds):
    data = urllib.request.urlopen(arguments.source).read()
    kept.append(data)
    end = time.monotonic() + 5 + turn % 2 * 2
    while time.monotonic() < end:
        digest = hashlib.pbkdf2_hmac("sha256", data[:64], b"salt", 200_000)
    answer = urllib.request.Request(arguments.source, data=data[: len(data) // 4], method="POST")
    urllib.request.urlopen(answer).read()
    print(f"round {turn + 1}: {len(kept) * len(data) / 1e6:.0f} MB kept, digest {digest.hex()[:12]}", flush=True)
    time.sleep(1)
'''
EVALUATE = """\
import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--threshold", type=float)
arguments = parser.parse_args()
print("reading the scores of 5 folds")
scores = {fold: 0.93 - fold / 40 for fold in range(5)}
for fold, score in scores.items():
    print(f"fold {fold}: {score:.3f}")
mean = sum(scores.values()) / len(scores)
if mean < arguments.threshold:
    raise SystemExit(f"the mean score {mean:.3f} is below {arguments.threshold}")
"""


class Data(http.server.BaseHTTPRequestHandler):
    """Something to download, and a place to upload to."""

    content = os.urandom(32_000_000)

    def do_GET(self) -> None:
        """Give the data."""
        self._answer(self.content)

    def do_POST(self) -> None:
        """Take what is sent."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"")

    def log_message(self, *_: object) -> None:
        """Say nothing of it."""

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Browser:
    """A page in a browser without a window, by its DevTools protocol over two pipes.

    https://chromedevtools.github.io/devtools-protocol/
    """

    def __init__(self, commands: IO[bytes], answers: IO[bytes]) -> None:
        """Open an empty page."""
        self._commands, self._answers = commands, answers
        self._count = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Have the browser do something; gives its answer."""
        self._count += 1
        message: dict[str, object] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise SystemExit(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _read(self) -> bytes:
        text = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise SystemExit("the browser has ended")
            text += byte
        return bytes(text)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 whatever it is there
        """The value of an expression of JavaScript on the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def picture(self, url: str, shown: str, file: Path, *, width: int, height: int) -> None:
        """Take a picture of a page.

        Args:
            url: Of the page.
            shown: An expression of JavaScript that is true when everything is there.
            file: Where the picture goes.
            width: Of the window.
            height: Of the window.
        """
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.evaluate(shown):
            if time.monotonic() > deadline:
                text = self.evaluate("document.body.innerText")
                raise SystemExit(f"{url} does not show what it should: {shown}\n{text}")
            time.sleep(0.5)
        time.sleep(2)  # what moves comes to rest
        taken = self.call("Page.captureScreenshot", format="png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(taken["data"]))
        size = file.stat().st_size
        print(f"{file.relative_to(ROOT)}: {size / 1000:.0f} kB")
        if size > MOST_BYTES:
            raise SystemExit(f"{file} is larger than {MOST_BYTES / 1000:.0f} kB")


@contextlib.contextmanager
def process(words: list[str], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:  # noqa: ANN401
    """A process with those that it starts; ended with the context."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            words, stdout=output, stderr=output, start_new_session=True, **options
        )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@contextlib.contextmanager
def browser(program: str, folder: Path) -> Iterator[Browser]:
    """The browser, with a profile of its own."""
    commands, own_commands = os.pipe()
    own_answers, answers = os.pipe()
    words = [
        program, "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}",
        "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--force-color-profile=srgb",
    ]  # fmt: skip
    if os.geteuid() == 0:
        words.append("--no-sandbox")  # it refuses to have one as root
    shell = f'exec "$@" 3<&{commands} 4>&{answers}'
    with process(["sh", "-c", shell, "sh", *words], folder / "browser.log",
                 pass_fds=(commands, answers)):  # fmt: skip
        os.close(commands)
        os.close(answers)
        with open(own_commands, "wb") as to, open(own_answers, "rb") as back:  # noqa: PTH123
            yield Browser(to, back)


@contextlib.contextmanager
def tracking_server(store: str, folder: Path) -> Iterator[str]:
    """MLflow's page of a store; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1",
             "--port", str(port), "--workers", "1", "--backend-store-uri", store]  # fmt: skip
    with process(words, folder / "server.log") as started:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not listens(port):
            if started.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "server.log").read_text())
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"


def listens(port: int) -> bool:
    """True once a server accepts connections on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def data_server() -> Iterator[str]:
    """Something to download, on the network of containers; gives its address."""
    with contextlib.closing(connect()) as engine:
        address = client_of(engine).api.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    with http.server.ThreadingHTTPServer((address, 0), Data) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{address}:{server.server_port}/"
        server.shutdown()


def run_projects(folder: Path, store: str) -> tuple[str, str, str]:
    """Run both; gives the ids of their experiment and of the runs."""
    from mlflow.tracking import MlflowClient

    project = folder / "forecast"
    project.mkdir()
    for name, text in (("MLproject", MLPROJECT), ("train.py", TRAIN), ("evaluate.py", EVALUATE)):
        (project / name).write_text(text)
    client = MlflowClient(store)
    experiment = client.create_experiment("Forecast", artifact_location=str(folder / "artifacts"))
    with data_server() as source:
        parameters = {"source": source}
        good = container_backend.run(
            str(project), parameters=parameters, experiment_id=experiment, run_name="train"
        )
    failed = container_backend.run(
        str(project), "evaluate", experiment_id=experiment, run_name="evaluate", synchronous=False
    )
    failed.wait()
    return experiment, good.run_id, failed.run_id


def main(program: str) -> None:
    """Take all pictures with a browser."""
    with contextlib.ExitStack() as needed:
        folder = Path(
            needed.enter_context(
                tempfile.TemporaryDirectory(prefix="screenshots-", ignore_cleanup_errors=True)
            )
        )
        store = f"sqlite:///{folder}/mlflow.db"
        os.environ |= {"MLFLOW_TRACKING_URI": store, "DO_NOT_TRACK": "true"}
        experiment, good, failed = run_projects(folder, store)
        server = needed.enter_context(tracking_server(store, folder))
        page = needed.enter_context(browser(program, folder))
        runs = f"{server}/#/experiments/{experiment}/runs"
        page.picture(
            f"{runs}/{good}/system-metrics",
            f"{json.dumps(CHARTS)}.every(name => document.body.innerText.includes(name))"
            f" && document.querySelectorAll('.scatterlayer .lines path, .scatterlayer .point').length >= {len(CHARTS)}",
            IMAGES / "system-metrics.png",
            width=1280,
            height=1000,
        )
        page.picture(
            f"{runs}/{failed}",
            "document.querySelector('table code') && document.querySelector('pre')"
            " && document.body.innerText.includes('last lines')",
            IMAGES / "run-description.png",
            width=1280,
            height=900,
        )


if __name__ == "__main__":
    main(sys.argv[1])
