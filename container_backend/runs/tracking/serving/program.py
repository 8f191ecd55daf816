"""A program that asks the store: checked, translated, recognised if it repeats itself, and waited for."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from container_backend.container import local_path
from container_backend.machine import human_size
from container_backend.privileges import MOST_ARTIFACTS
from container_backend.runs.tracking.rules import (
    MODEL,
    REGISTERED,
    RUN,
    SCHEME,
    TRACE,
    Asked,
    Family,
    Guard,
    Place,
    Refused,
    Route,
    Rule,
    Shown,
    ended,
    missing,
    place_of,
)
from container_backend.runs.tracking.serving.reading import (
    TRACES,
    read_json,
    read_spans,
    refuse_place_of_trace,
)
from container_backend.runs.tracking.serving.repeats import Made, Repeats, key_of
from container_backend.store import Answer, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from container_backend.runs.tracking.grants import Grant, Grants
    from container_backend.runs.tracking.serving.roots import Roots
    from container_backend.runs.tracking.serving.served import Served

# Requests of one program that are answered at once.
_MOST_AT_ONCE: Final = 8
# Repeated, these take effect twice, or fail.
_NOTED: Final = frozenset(
    {Rule.NEW_RUN, Rule.NEW_MODEL, Rule.NEW_REGISTERED, Rule.NEW_VERSION, Rule.OWN}
)
# What an answer has made: the rule → its kind, and where the answer has the id.
_MADE: Final = {
    Rule.NEW_RUN: (RUN, ("run", "info", "run_id")),
    Rule.NEW_MODEL: (MODEL, ("model", "info", "model_id")),
    Rule.NEW_REGISTERED: (REGISTERED, ("registered_model", "name")),
}
_LOGGED_MODEL: Final = re.compile(r"models:/+(m-[A-Za-z0-9]+)")


class Program:
    """The program of a grant."""

    def __init__(self, grant: Grant, grants: Grants, store: Served, roots: Roots) -> None:
        self.grant = grant
        self._store = store
        self._roots = roots
        self._family = Family(grants.beside(grant.submission, ".family"), grant.run_id)
        self._guard = None if grant.is_own else Guard(grant, self._family, self._exists)
        self._repeats = Repeats(grants.beside(grant.submission, ".journal"))
        self._shown = Shown(roots.place_at, self._is_served)
        self._uploaded = 0
        self._asking = 0
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)
        self._has_ended = False
        self._attempt = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def sees(self, kind: str, named: str, *, to_change: bool = False) -> bool:
        """True for what the program may read, or change."""
        guard = self._guard
        return guard is None or (self._family.has if to_change else guard.sees)(kind, named)

    def adopt(self, run_id: str) -> None:
        """Let the program read and change the run of a step that it has started."""
        self._family.add(RUN, run_id)

    def take(self, size: int) -> None:
        """Count bytes of an artifact.

        Raises:
            Refused: They are too many for a fetched project, or the run has ended.
        """
        if self._has_ended:
            raise ended()
        self._uploaded += size
        if not self.grant.is_own and self._uploaded > MOST_ARTIFACTS:
            raise Refused(
                413, "PERMISSION_DENIED",
                f"A fetched project has at most {human_size(MOST_ARTIFACTS)} of artifacts in a run; "
                "the file was dropped. If you trust it: trust_project.",
            )  # fmt: skip

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """While a request is answered; not too many at once."""
        self._asking += 1
        self._idle.clear()
        try:
            async with self._turns:
                yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._idle.set()

    async def end(self) -> None:
        """Take nothing more, and wait until no request of the program is being answered."""
        self._has_ended = True
        await self._idle.wait()

    def fence(self) -> bool:
        """End what an attempt that is over has asked for; false while something is being written.

        What waits for the store is dropped. After true, nothing of that attempt is written any more.
        """
        self._attempt += 1
        if self._asking:
            return False
        self._repeats.forget_all()
        return True

    def check(self, route: Route, parts: tuple[str, ...], request: Request) -> Asked:
        """Raise Refused for a request that the program may not send."""
        asked = Asked(
            route,
            parts,
            parse_qs(request.query, keep_blank_values=True),
            {} if route.pattern == TRACES else read_json(request),
            request.headers,
            read_spans(request) if route.pattern == TRACES else (),
        )
        if self._guard is not None:
            self._guard.check(asked)
        return asked

    def answer(
        self,
        route: Route,
        parts: tuple[str, ...],
        request: Request,
        is_waited_for: Callable[[], bool],
    ) -> Answer:
        """Raises Refused."""
        asked = self.check(route, parts, request)
        if listed := self._artifacts_of(route, asked):
            return listed
        sent = self._translated(asked, request)
        attempt = self._attempt

        def is_needed() -> bool:
            """False once the run or the attempt is over, or the client is gone: it sends again."""
            return self._attempt == attempt and not self._has_ended and is_waited_for()

        if not is_needed():
            raise ended()
        if route.reads:
            return self._show(asked, self._call(sent, is_needed))
        answer = self._repeats.once(
            key_of(request),
            lambda: self._make(asked, sent, is_needed),
            lambda since: Made(self._call, self._family).find(asked, sent, since),
            is_waited_for,
            noted=route.rule in _NOTED,
        )
        return self._show(asked, answer)

    def arrived(self, request: Request, is_waited_for: Callable[[], bool]) -> None:
        """The answer to a request was sent."""
        self._repeats.arrived(key_of(request), is_waited_for)

    def _call(self, request: Request, is_needed: Callable[[], bool] | None = None) -> Answer:
        is_needed = is_needed or (lambda: not self._has_ended)
        return self._store.call(request, self.grant.artifact_root, is_needed)

    def _make(self, asked: Asked, request: Request, is_needed: Callable[[], bool]) -> Answer:
        answer = self._call(request, is_needed)
        if answer.is_ok:
            self._note(asked, json.loads(answer.body or b"{}"))
        return answer

    def _note(self, asked: Asked, said: Any) -> None:  # noqa: ANN401 JSON
        rule = asked.route.rule
        if rule in _MADE:
            kind, keys = _MADE[rule]
            for key in keys:
                said = said[key]
            self._family.add(kind, str(said))
        elif rule is Rule.NEW_TRACE:
            info = asked.body.get("trace", {}).get("trace_info", {})
            made = said.get("trace_info", {}).get("request_id")
            for trace in filter(None, (*asked.spans, info.get("trace_id"), made)):
                self._family.add(TRACE, str(trace))

    def _translated(self, asked: Asked, request: Request) -> Request:
        """The request as the store takes it."""
        rule, body = asked.route.rule, dict(asked.body)
        refuse_place_of_trace(asked)
        if self._guard is not None:
            self._guard.narrow(rule, body)
        if rule is Rule.NEW_RUN and self._guard is not None:
            body["tags"] = list(body.get("tags") or ())
            self._guard.with_parent(body)
        elif rule is Rule.NEW_VERSION and str(body.get("source", "")).startswith(SCHEME):
            place = place_of(str(body["source"]))
            body["source"] = self._roots.address(place) if place else body["source"]
        elif asked.route.pattern.endswith("experiments/create"):
            for named in asked.named("artifact_location"):
                if named:
                    raise Refused(
                        403, "PERMISSION_DENIED",
                        f"A program cannot choose where artifacts lie ('{named}'): leave artifact_location "
                        "out, or create the experiment outside of the run.",
                    )  # fmt: skip
        if body == asked.body:
            return request
        return Request(
            request.method, request.path, request.query, json.dumps(body).encode(), request.headers
        )

    def _show(self, asked: Asked, answer: Answer) -> Answer:
        """The answer as the program sees it."""
        if not answer.is_ok:
            if self._guard is not None and asked.route.rule is Rule.EXPERIMENT:
                raise missing("The experiment")  # by the same text as one that is there
            return answer
        try:
            said = json.loads(answer.body or b"{}")
        except ValueError:
            said = None
        if not isinstance(said, dict):
            if self._guard is None or asked.route.rule in {Rule.ALL, Rule.NEW_TRACE}:
                return answer
            raise Refused(502, "INTERNAL_ERROR", "The store has answered something else than JSON.")
        if self._guard is not None:
            self._guard.filter(asked.route.rule, said)
        self._shown.answer(said)
        if asked.route.pattern.endswith("/get-download-uri"):
            self._show_source(asked, said)
        if self._guard is not None and asked.route.rule is Rule.REGISTERED and asked.route.reads:
            self._guard.hand(_leads_to(said))
        return Answer(answer.status, json.dumps(said).encode(), answer.headers)

    def _show_source(self, asked: Asked, said: dict[str, Any]) -> None:
        """The address of a version's files, which comes without the version."""
        query = urlencode({"name": asked.named("name")[0], "version": asked.named("version")[0]})
        got = self._call(Request("GET", "/api/2.0/mlflow/model-versions/get", query))
        version = json.loads(got.body).get("model_version", {})
        source = _LOGGED_MODEL.fullmatch(str(version.get("source", "")))
        run_id, model_id = version.get("run_id", ""), source[1] if source else ""
        model_id = model_id or version.get("model_id", "")
        if self._guard is not None:
            self._guard.hand([run_id, model_id])
        shown = self._shown.source(str(said.get("artifact_uri", "")), run_id, model_id)
        said["artifact_uri"] = shown

    def _artifacts_of(self, route: Route, asked: Asked) -> Answer | None:
        """The listing of artifacts, which is read from the disk without following a link."""
        if route.pattern == "2.0/mlflow/artifacts/list":
            kind, named = RUN, (asked.named("run_id") or asked.named("run_uuid") or [""])[0]
            path = (asked.named("path") or [""])[0]
        elif asked.route.pattern.endswith("/artifacts/directories"):
            kind, named = MODEL, asked.parts[0]
            path = (asked.named("artifact_directory_path") or [""])[0]
        else:
            return None
        place = self._roots.find(kind, named)
        if place is None:
            return None
        said = {"root_uri": self._shown_root(place), "files": self._roots.listed(place, path)}
        return Answer.of(said)

    def _is_served(self, address: str) -> bool:
        """True for artifacts that go through the proxy: a project of the user has the logins for others."""
        return not self.grant.is_own or local_path(address) is not None

    def _shown_root(self, place: Place) -> str:
        address = self._roots.address(place)
        return place.address if self._is_served(address) else address

    def _exists(self, _kind: str, named: str) -> bool:
        """True for a trace that is in the store, and where the store does not say."""
        return (
            self._call(Request("GET", f"/api/3.0/mlflow/traces/{named}")).status
            != HTTPStatus.NOT_FOUND
        )


def _leads_to(said: dict[str, Any]) -> list[str]:
    """The runs and logged models of the versions in an answer."""
    versions = [said.get("model_version"), *(said.get("model_versions") or ())]
    versions += (said.get("registered_model") or {}).get("latest_versions") or ()
    return [
        str(each[name])
        for each in versions
        if each
        for name in ("run_id", "model_id")
        if each.get(name)
    ]
