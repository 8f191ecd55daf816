"""Requests that a client sends again because their answer was lost: each takes effect once.

MLflow's client repeats a request after a broken connection, a timeout or a server error, word for word. The
answer of the first is given again if the client cannot have it: its connection broke before the answer
was sent, or the proxy was killed. Two equal requests whose answers arrived are two requests. What a
killed proxy had made, and not noted, is found in the store.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from container_backend.runs.tracking.rules import MODEL, REGISTERED, RUN, Asked, Family, Rule
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# MLflow's client repeats a request for about this time: 7 times, with pauses of 2, 4, 8 … seconds.
_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 60.0


def key_of(request: Request) -> str:
    """The same for a request and its repetition."""
    said = json.dumps([request.method, request.path, request.query])
    return hashlib.sha256(said.encode() + request.body).hexdigest()


@dataclass
class _Sent:
    """A request that came in.

    Attributes:
        is_waited_for: True while the connection of the client is open.
        noted: The request is in the journal.
    """

    is_waited_for: Callable[[], bool]
    begun_at: float
    noted: bool
    answer: Future[Answer] = field(default_factory=Future)


class Repeats:
    """The requests of one program that change something."""

    def __init__(self, journal: Path) -> None:
        """Read what a proxy that was killed has noted."""
        self._journal = journal
        self._lock = threading.Lock()
        self._sent: dict[str, _Sent] = {}
        self._begun: dict[str, float] = {}
        self._looked_at = time.time()
        self._read()

    def once(
        self,
        key: str,
        call: Callable[[], Answer],
        found: Callable[[float], Answer | None],
        is_waited_for: Callable[[], bool],
        *,
        noted: bool,
    ) -> Answer:
        """The answer to a request: of a call, or of the request that this one repeats.

        Args:
            found: What a call that began then (seconds since 1970) has made, if it has.
            noted: The request is noted on disk: it would take effect twice, or fail the second time.
        """
        with self._lock:
            self._forget_old()
            before = self._sent.get(key)
            is_repeated = before is not None and not before.is_waited_for()
            if not is_repeated:
                sent = self._sent[key] = _Sent(is_waited_for, time.time(), noted)
                begun_at = self._begun.pop(key, None)
        if before is not None and is_repeated:
            answer = before.answer.result()
            before.is_waited_for = is_waited_for
            return answer
        try:
            if noted:
                self._note(key, "begun", sent.begun_at)
            answer = (begun_at is not None and found(begun_at)) or call()
            if answer.has_failed:
                self._forget(key, sent)
            elif noted:
                self._note(key, "done", sent.begun_at, answer)
            sent.answer.set_result(answer)
        except BaseException as error:
            self._forget(key, sent)
            sent.answer.set_exception(error)
            raise
        return answer

    def _forget(self, key: str, sent: _Sent) -> None:
        """A request that failed is called again when it is repeated."""
        with self._lock:
            if self._sent.get(key) is sent:
                del self._sent[key]

    def forget_all(self) -> None:
        """Forget the requests of a client that is no more."""
        with self._lock:
            self._sent.clear()
            self._begun.clear()
            self._journal.unlink(missing_ok=True)

    def arrived(self, key: str, is_waited_for: Callable[[], bool]) -> None:
        """The answer was sent to the client that waits by this function."""
        with self._lock:
            sent = self._sent.get(key)
            if sent is not None and sent.is_waited_for is is_waited_for:
                if sent.noted:
                    self._note(key, "arrived", time.time())
                del self._sent[key]

    def _forget_old(self) -> None:
        now = time.time()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        for key, sent in list(self._sent.items()):
            if now - sent.begun_at > _SECONDS and sent.answer.done():
                del self._sent[key]

    def _note(self, key: str, state: str, at: float, answer: Answer | None = None) -> None:
        said = {"key": key, "state": state, "at": at}
        if answer is not None:
            said["answer"] = {**asdict(answer), "body": answer.body.decode("utf-8", "replace")}
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def _read(self) -> None:
        with suppress(FileNotFoundError):
            for line in self._journal.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may be cut off
                    self._take(json.loads(line))

    def _take(self, said: dict[str, object]) -> None:
        key, state, at = str(said["key"]), said["state"], float(str(said["at"]))
        if time.time() - at > _SECONDS:
            return
        if state == "begun":
            self._begun[key] = at
            return
        self._begun.pop(key, None)
        self._sent.pop(key, None)
        if state == "done" and isinstance(given := said["answer"], dict):
            sent = _Sent(lambda: False, at, noted=True)
            body = str(given["body"]).encode()
            sent.answer.set_result(Answer(given["status"], body, given["headers"]))
            self._sent[key] = sent


class Made:
    """What is in the store and not yet known as made by a program."""

    def __init__(self, call: Callable[[Request], Answer], family: Family) -> None:
        self._call = call
        self._family = family

    def find(self, asked: Asked, request: Request, since: float) -> Answer | None:
        """What a request has made that began then, in a proxy that was killed."""
        rule, body = asked.route.rule, asked.body
        if rule is Rule.NEW_RUN:
            found = self._search(
                "runs", {"experiment_ids": [str(body.get("experiment_id"))], "max_results": 100,
                         "filter": f"attributes.start_time = {int(body.get('start_time') or 0)}"},
            )  # fmt: skip
            sent = {
                (tag["key"], tag["value"]) for tag in json.loads(request.body).get("tags") or ()
            }
            return self._newest("run", [
                run for run in found
                if sent <= {(tag["key"], tag["value"]) for tag in run["data"].get("tags") or ()}
            ])  # fmt: skip
        if rule is Rule.NEW_MODEL:
            found = self._search(
                "logged-models",
                {"experiment_ids": [str(body.get("experiment_id"))], "max_results": 50},
            )
            return self._newest("model", [
                model for model in found
                if body.get("source_run_id")
                and model["info"].get("source_run_id") == body["source_run_id"]
                and body.get("name", model["info"].get("name")) == model["info"].get("name")
                and model["info"]["creation_timestamp_ms"] >= since * 1000
            ])  # fmt: skip
        if rule is Rule.NEW_REGISTERED:
            query = urlencode({"name": str(body.get("name"))})
            answer = self._call(Request("GET", "/api/2.0/mlflow/registered-models/get", query))
            made = json.loads(answer.body).get("registered_model", {})
            if int(made.get("creation_timestamp", 0)) < since * 1000:
                return None
            self._family.add(REGISTERED, str(body.get("name")))
            return answer
        return None

    def _search(self, what: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        request = Request(
            "POST", f"/api/2.0/mlflow/{what}/search", "", json.dumps(body).encode(),
            {"content-type": "application/json"},
        )  # fmt: skip
        said = json.loads(self._call(request).body)
        return list(said.get("models" if what == "logged-models" else what) or ())

    def _newest(self, key: str, found: list[dict[str, Any]]) -> Answer | None:
        """The first that this program is not known to have made."""
        kind, name = (RUN, "run_id") if key == "run" else (MODEL, "model_id")
        for each in found:
            if not self._family.has(kind, str(each["info"][name])):
                self._family.add(kind, str(each["info"][name]))
                return Answer.of({key: each})
        return None
