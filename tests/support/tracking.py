"""Programs that ask the tracking proxy, without MLflow."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Question = tuple[str, str, object]  # method, path, body

# Asks what is in the file `questions`, where OWN stands for the id of the run. Prints for each the
# status and the answer, as a line of JSON.
_ASKS = textwrap.dedent("""
    import json, os, urllib.error, urllib.request
    asked = open("questions").read().replace("OWN", os.environ["MLFLOW_RUN_ID"])
    for method, path, body in json.loads(asked):
        prefix = "/api/2.0/mlflow/" if not path.startswith("/") else ""
        request = urllib.request.Request(
            os.environ["MLFLOW_TRACKING_URI"] + prefix + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"],
                     "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                print(json.dumps([answer.status, answer.read().decode()]))
        except urllib.error.HTTPError as error:
            print(json.dumps([error.code, error.read().decode()]))
""")


def write_asking(folder: Path, questions: Sequence[Question], parameters: str = "{}") -> str:
    """Make a project that asks, and return its folder.

    Args:
        questions: A path without a slash is below ``/api/2.0/mlflow/``.
    """
    folder.mkdir()
    entry = f"{{parameters: {parameters}, command: python main.py}}"
    (folder / "MLproject").write_text(f"name: x\nentry_points: {{main: {entry}}}\n")
    (folder / "main.py").write_text(_ASKS)
    (folder / "questions").write_text(json.dumps(questions))
    return str(folder)


def answers(output: str) -> list[tuple[int, Any]]:
    """The statuses and answers in the output of such a program."""
    found = [json.loads(line) for line in output.splitlines() if line.startswith("[")]
    return [(status, json.loads(text) if text[:1] == "{" else text) for status, text in found]
